import { IsobarError } from './isobar-error.js';
import { deploymentSchema, rankSchema, versionSchema } from './schemas.js';

/** Messages that the leader sends to every agent at once. */
export type SwapVerb = 'prepare' | 'outcome' | 'retire' | 'state' | 'cut';
/** Those of them that the leader also sends to single agents. */
export const orderVerbs = ['prepare', 'outcome'] as const satisfies readonly SwapVerb[];
export type OrderVerb = (typeof orderVerbs)[number];
/** Questions that agents ask of the leader. */
export type LeaderVerb = 'outcomes';

/** The subjects of one deployment, all under `isobar.v1.<deployment>.`. */
export interface Subjects {
  /** Load samples; `*` for all ranks. */
  load(rank: number | '*'): string;
  /** State of one rank as its agent tells it; `*` for all ranks. */
  report(rank: number | '*'): string;
  /** The leader's question to one agent; `*` for all ranks. */
  query(rank: number | '*'): string;
  swap(verb: SwapVerb): string;
  /** The leader's message to one agent that has not followed the one to all; `*` for all ranks. */
  order(rank: number | '*', verb: OrderVerb): string;
  leader(verb: LeaderVerb): string;
  /** One rank's question to the leader whether it may leave; `*` for all ranks. */
  leave(rank: number | '*'): string;
  vote(version: number | '*', rank: number | '*'): string;
  /** Events of the audit trail. */
  event(kind: string): string;
  /** Prefix of the operators' commands. */
  readonly commandPrefix: string;
}

/** @throws IsobarError ISOBAR_PROTOCOL_DEPLOYMENT_NAME */
export function subjectsOf(deployment: string): Subjects {
  if (!deploymentSchema.safeParse(deployment).success) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_DEPLOYMENT_NAME',
      `deployment ${JSON.stringify(deployment)} must be 1 to 64 letters, digits, _ or -`,
      { field: 'deployment', deployment },
    );
  }
  const prefix = `isobar.v1.${deployment}`;
  return {
    load: (rank) => `${prefix}.load.${rank}`,
    report: (rank) => `${prefix}.agent.${rank}.report`,
    query: (rank) => `${prefix}.agent.${rank}.query`,
    swap: (verb) => `${prefix}.swap.${verb}`,
    order: (rank, verb) => `${prefix}.agent.${rank}.${verb}`,
    leader: (verb) => `${prefix}.leader.${verb}`,
    leave: (rank) => `${prefix}.leader.leave.${rank}`,
    vote: (version, rank) => `${prefix}.vote.${version}.${rank}`,
    event: (kind) => `${prefix}.event.${kind}`,
    commandPrefix: `${prefix}.command`,
  };
}

/** Key-value bucket of a deployment. */
export function recordsBucket(deployment: string): string {
  return `isobar-${deployment}`;
}

/** JetStream stream of a deployment's events. */
export function eventStreamName(deployment: string): string {
  return `isobar-${deployment}-events`;
}

export function mapRecordKey(version: number): string {
  return `map.${version}`;
}

export const leaderRecordKey = 'leader';
export const controlRecordKey = 'control';

/** The rank that a subject of its own words names, null where it names none. */
export function rankOfSubject(subject: string): number | null {
  const tokens = subject.split('.');
  if (tokens[3] === 'leader' && tokens[4] === 'leave') return parseNumber(tokens[5], rankSchema);
  const token = tokens[3] === 'load' || tokens[3] === 'agent' ? tokens[4] : undefined;
  return parseNumber(token, rankSchema);
}

/** Version and rank that a vote's subject names, null where it names none. */
export function voteOfSubject(subject: string): { version: number; rank: number } | null {
  const tokens = subject.split('.');
  if (tokens[3] !== 'vote') return null;
  const version = parseNumber(tokens[4], versionSchema);
  const rank = parseNumber(tokens[5], rankSchema);
  return version === null || rank === null ? null : { version, rank };
}

/** The rank that a load, report, order, question or vote subject names, null where it names none. */
export function senderOfSubject(subject: string): number | null {
  return voteOfSubject(subject)?.rank ?? rankOfSubject(subject);
}

/**
 * A rank may speak only of itself: the subject is what a server permits it, the message is not.
 * @param subject of a load sample, a report, a vote, a wish to leave or the question that a rank answers
 * @throws IsobarError ISOBAR_PROTOCOL_WRONG_RANK where the subject names another rank, or none
 */
export function assertRankOfSubject(subject: string, rank: number): void {
  if (senderOfSubject(subject) === rank) return;
  const text = `a message of rank ${rank} came on ${subject}`;
  throw new IsobarError('ISOBAR_PROTOCOL_WRONG_RANK', text, { field: 'rank', subject });
}

function parseNumber(
  token: string | undefined,
  schema: typeof rankSchema | typeof versionSchema,
): number | null {
  if (token === undefined || !/^\d{1,15}$/.test(token)) return null;
  const parsed = schema.safeParse(Number(token));
  return parsed.success ? parsed.data : null;
}
