import type { Proposal } from '@isobar/protocol';
import type { CommandReply } from './engine-commands.js';
import type { IncomingExpert } from './expert-memory.js';

/** What may go wrong with an engine's stagings; set by the faults of a run. */
export interface StagingFaults {
  /** The next staging fails: a source is gone. */
  failNext: boolean;
  /** The next staging stands still for so long, 0: none. */
  stallNextMs: number;
  /** The next expert that comes has a bit gone over. */
  corruptNext: boolean;
}

/** A version being brought in. */
export interface Staging {
  readonly proposal: Proposal;
  readonly proposalBytes: Uint8Array;
  readonly incoming: readonly IncomingExpert[];
  /** Commands that wait for its end. */
  readonly replies: CommandReply[];
  ended: boolean;
}
