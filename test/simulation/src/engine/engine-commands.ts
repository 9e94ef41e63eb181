import type { EngineState } from '@isobar/protocol';

/** What an engine answers to a command: its state by then, or its refusal. */
export type CommandResult =
  | { readonly ok: true; readonly state: EngineState }
  | { readonly ok: false; readonly code: string; readonly message: string };

export type CommandReply = (result: CommandResult) => void;
