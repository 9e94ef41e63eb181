import { z } from 'zod';
import type { IsobarError } from '../isobar-error.js';

/** What was heard, asked or sent: a closed list, so that no sender makes it grow. */
export const messageKinds = [
  'load',
  'report',
  'vote',
  'answer',
  'query',
  'prepare',
  'outcome',
  'retire',
  'state',
  'cut',
  'outcomes-question',
  'outcomes-answer',
  'leave-question',
  'command',
  'event',
  'record',
  'engine',
  'other',
] as const;
export type MessageKind = (typeof messageKinds)[number];

/** Why a message was not taken, or not sent; and what an operator can do about it. */
export const refusalAdvice = {
  malformed: 'find the sender: no Isobar process of this version sends it',
  'schema-version': 'run the same version of Isobar everywhere; else find the sender',
  'wrong-rank': 'find the sender: it speaks for a rank that its subject is not of',
  fenced: 'nothing after a change of leader; where it lasts, find the leader of the older term',
  runaway: 'find the sender: it names a term or version that no leader can have come to',
  unfit: 'find the agent: it votes on something else than was proposed to it',
  unvouched: 'find the sender: the command came from outside the account of operators',
  'no-inbox': 'find the sender: a command whose answer would go to no inbox is not asked by isobar',
  'not-permitted':
    'give this process the credentials of its role, and the servers its permissions (docs/SECURITY.md)',
  'too-large': 'find the sender: no message of that kind is so large',
  overflow: 'find who floods the subject: messages came faster than they can be read',
} as const;
export type RefusalReason = keyof typeof refusalAdvice;

/** Empty for a reason of a later version. */
export function adviceOn(reason: string): string {
  const advice: Readonly<Record<string, string>> = refusalAdvice;
  return Object.hasOwn(advice, reason) ? (advice[reason] ?? '') : '';
}

const refusalReasons = Object.keys(refusalAdvice);

/** Of one kind and reason, since the process began. */
export interface RefusalCount {
  readonly kind: string;
  readonly reason: string;
  readonly count: number;
}

const nameSchema = z.string().regex(/^[a-z-]{1,32}$/);

/** As told by another process, which may be of a later version: its kinds and reasons are names. */
export const refusalCountSchema = z.object({
  kind: nameSchema,
  reason: nameSchema,
  count: z.number().int().min(1),
});
export const refusalCountsSchema = z
  .array(refusalCountSchema)
  .max(messageKinds.length * refusalReasons.length);

/** Of one message; of kinds that are not listed only the server's max payload is the limit. */
export const messageBytesMax: Readonly<Partial<Record<MessageKind, number>>> = {
  vote: 16_384,
  query: 4_096,
  retire: 4_096,
  state: 4_096,
  cut: 4_096,
  'outcomes-question': 4_096,
  'leave-question': 4_096,
};

const reasonsByCode: ReadonlyMap<string, RefusalReason> = new Map([
  ['ISOBAR_PROTOCOL_SCHEMA_VERSION', 'schema-version'],
  ['ISOBAR_PROTOCOL_WRONG_RANK', 'wrong-rank'],
  ['ISOBAR_PROTOCOL_RUNAWAY', 'runaway'],
  ['ISOBAR_COORDINATOR_VOTE_UNFIT', 'unfit'],
  ['ISOBAR_PROTOCOL_REQUESTER_UNVOUCHED', 'unvouched'],
  ['ISOBAR_PROTOCOL_TOO_LARGE', 'too-large'],
  ['ISOBAR_BUS_NO_INBOX', 'no-inbox'],
  ['ISOBAR_BUS_NOT_PERMITTED', 'not-permitted'],
  ['ISOBAR_BUS_OVERFLOW', 'overflow'],
  ['ISOBAR_AGENT_FENCED', 'fenced'],
]);

export function refusalReasonOf({ code }: IsobarError): RefusalReason {
  return reasonsByCode.get(code) ?? 'malformed';
}

/** Counts what was refused. Bounded: kinds and reasons are closed lists. */
export class RefusalCounter {
  readonly #counts = new Map<
    string,
    { readonly kind: MessageKind; readonly reason: RefusalReason; count: number }
  >();

  /** @returns the total of that kind and reason */
  note(kind: MessageKind, reason: RefusalReason): RefusalCount {
    const key = `${kind} ${reason}`;
    const known = this.#counts.get(key) ?? { kind, reason, count: 0 };
    known.count += 1;
    this.#counts.set(key, known);
    return { ...known };
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, { count }) => sum + count, 0);
  }
}
