import type { z } from 'zod';
import type { CommandDefinition } from './command-definition.js';
import { memberCommands } from './members.js';
import { parameterCommands } from './parameters.js';
import { steeringCommands } from './steering.js';
import { watchingCommands } from './watching.js';

/** Every command of a deployment, by its name: who serves, checks, permits or documents them reads it here. */
export const commands = {
  ...watchingCommands,
  ...steeringCommands,
  ...memberCommands,
  ...parameterCommands,
} as const satisfies Readonly<Record<string, CommandDefinition>>;

export type CommandName = keyof typeof commands;
export const commandNames = Object.keys(commands) as readonly CommandName[];

/** A question as it is sent: what has a default may be left out. */
export type CommandInput<Name extends CommandName> = z.input<(typeof commands)[Name]['question']>;
/** A question as it has been read. */
export type CommandQuestion<Name extends CommandName> = z.output<
  (typeof commands)[Name]['question']
>;
export type CommandAnswer<Name extends CommandName> = z.output<(typeof commands)[Name]['answer']>;

export type ChangeCommandName = {
  [Name in CommandName]: (typeof commands)[Name]['access'] extends 'change' ? Name : never;
}[CommandName];
export type ReadCommandName = Exclude<CommandName, ChangeCommandName>;

/** Codes by which any command may be refused. */
export const commonRefusals = [
  'ISOBAR_COORDINATOR_COMMAND_MALFORMED',
  'ISOBAR_COORDINATOR_NOT_LEADING',
  'ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED',
] as const;

/** Codes by which any command that changes something may be refused. */
export const commonChangeRefusals = [
  'ISOBAR_COORDINATOR_BUSY',
  'ISOBAR_COORDINATOR_DEPOSED',
  'ISOBAR_COORDINATOR_REQUEST_ID_REUSED',
] as const;
