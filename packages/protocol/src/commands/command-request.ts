import { z } from 'zod';
import { type Requester, requesterSchema } from '../requester.js';
import { digestSchema, limits, rankSchema, versionSchema } from '../schemas.js';

export const requestIdSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/**
 * `done`: in force. `unknown`: the leader that began it is gone, and the records don't tell. All
 * others are those of the swaps that it took.
 */
export const commandOutcomeSchema = z.enum([
  'done',
  'committed',
  'void',
  'cancelled',
  'superseded',
  'outdated',
  'degraded',
  'unknown',
]);
export type CommandOutcome = z.infer<typeof commandOutcomeSchema>;

/** There are many of them in one record. */
const commandReasonCharactersMax = 500;

/** A command that has been taken, and what became of it: kept in the record `control`. */
export const commandRequestSchema = z.object({
  id: requestIdSchema,
  /** Of the question: an id stands for one. */
  digest: digestSchema,
  command: z.string().max(64),
  requester: requesterSchema,
  /** Null while it is running. */
  outcome: commandOutcomeSchema.nullable(),
  reason: z.string().max(commandReasonCharactersMax),
  /** In force when it began, and when it ended. */
  baseVersion: versionSchema.nullable(),
  version: versionSchema.nullable(),
  /** Mapping that is in force once its swaps are, null where it has none of its own. */
  targetDigest: digestSchema.nullable(),
  /** Version whose outcome ends it: that of a cancel. */
  awaitedVersion: versionSchema.nullable(),
  /** Ranks that hold nothing once it is done, of a drain and a leave. */
  emptiedRanks: z.array(rankSchema).max(limits.ranks),
});
export type CommandRequest = Readonly<z.infer<typeof commandRequestSchema>>;

/** What names a command among all that are sent: the same id is the same command. */
export interface CommandIdentity {
  readonly id: string;
  /** SHA-256 of the question. */
  readonly digest: string;
  readonly command: string;
  readonly requester: Requester;
}

/** Who asked for something, for those whom it concerns. */
export const askedBySchema = commandRequestSchema.pick({
  id: true,
  command: true,
  requester: true,
});
export type AskedBy = Readonly<z.infer<typeof askedBySchema>>;

export function askedByOf({ id, command, requester }: AskedBy): AskedBy {
  return { id, command, requester };
}

/** `rollback of alice (request 7f3a)`. */
export function describeAsker({ id, command, requester }: AskedBy): string {
  return `${command} of ${requester.user ?? 'an unnamed operator'} (request ${id})`;
}

/** What became of a command, as it is kept. */
export function endedRequest(
  request: CommandRequest,
  outcome: CommandOutcome,
  reason: string,
  version: number | null,
): CommandRequest {
  return { ...request, outcome, reason: reason.slice(0, commandReasonCharactersMax), version };
}

/** Who last gave a command, as far as it is kept; null where nobody did. */
export function lastAsker(requests: readonly CommandRequest[], command: string): AskedBy | null {
  const last = requests.findLast((request) => request.command === command);
  return last === undefined ? null : askedByOf(last);
}

/** `, rollback of alice (request 7f3a)`, or nothing. */
export function byAsker(askedBy: AskedBy | null): string {
  return askedBy === null ? '' : `, ${describeAsker(askedBy)}`;
}
