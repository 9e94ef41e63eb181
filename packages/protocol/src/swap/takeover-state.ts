import { type DecidedVersion, readDecidedVersion, sameBytes } from '../decided-version.js';
import type { Fence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { Member } from '../member.js';
import { type Evidence, initialEvidence } from '../membership/evidence.js';
import type { Cut, RankAnswer, RankReport } from '../messages.js';
import type { RankTable } from '../rank-table.js';
import type { Ground } from './ground.js';
import type { RankWord } from './known-versions.js';
import { type Weighed, weighedOf } from './takeover-words.js';

export interface TakeoverState {
  readonly fence: Fence;
  readonly configuredRanks: readonly number[];
  readonly cutAfterMs: number;
  /** Outcomes read in the store, and those created since. */
  readonly stored: ReadonlyMap<number, DecidedVersion>;
  /** Answers under this term, by rank, one of each incarnation. */
  readonly words: RankTable<readonly RankWord[]>;
  readonly weighed: Weighed;
  /** Answers since then of ranks that were missing. */
  readonly answered: number;
  /** Something was heard since then. */
  readonly isStale: boolean;
  readonly evidence: Evidence;
  /** Records still to be created before leading, in order; nothing else is decided meanwhile. */
  readonly creating: readonly PendingRecord[];
  readonly contradicted: readonly number[];
  readonly storeBehind: boolean;
  /** Since when answers are asked for, null before the first tick. */
  readonly askingSinceMs: number | null;
  /** That answers are missing was told. */
  readonly missingTold: boolean;
  readonly phase: 'asking' | 'deciding' | 'done' | 'failed';
}

export interface PendingRecord {
  readonly decided: DecidedVersion;
  /** Some rank keeps it; otherwise it is decided here. */
  readonly isTold: boolean;
  /** An earlier attempt may have landed. */
  readonly inDoubt: boolean;
}

export type TakeoverEvent =
  | {
      readonly kind: 'answer';
      readonly answer: RankAnswer;
      /** Records of the agent's and the engine's outcomes, read: see `takeoverAnswer`. */
      readonly outcomes: readonly DecidedVersion[];
    }
  | { readonly kind: 'record-created'; readonly version: number }
  /** The store already has an outcome of that number. */
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  /** Whether the record was created is not known: it is created again at the next tick. */
  | { readonly kind: 'record-unknown'; readonly version: number }
  | { readonly kind: 'report'; readonly report: RankReport }
  /** A record that this process can't read: it does not lead. */
  | { readonly kind: 'unreadable'; readonly error: IsobarError }
  | { readonly kind: 'tick' };

export type TakeoverEffect =
  | { readonly kind: 'ask'; readonly ranks: readonly number[] }
  | { readonly kind: 'send-cut'; readonly message: Cut }
  | { readonly kind: 'create-record'; readonly version: number; readonly bytes: Uint8Array }
  | {
      readonly kind: 'alarm';
      readonly alarm: TakeoverAlarm;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Some rank has seen this fence or a higher one: lead under a higher term, or not at all. */
  | { readonly kind: 'outranked'; readonly by: Fence }
  | { readonly kind: 'complete'; readonly ground: Ground }
  | { readonly kind: 'failed'; readonly error: IsobarError };

/**
 * `record-contradicted`: the store has another outcome of a version than ranks have acted on, which
 * is overruled. `death-unproven`: members that others have lost can't be cut: an operator must say
 * whether they are dead. `degraded`: such members are not cut, since the others could not hold every
 * expert. `answers-missing`: nobody leads until these ranks have answered, or are
 * proven dead.
 */
export type TakeoverAlarm =
  | 'record-contradicted'
  | 'death-unproven'
  | 'degraded'
  | 'answers-missing';

export interface TakeoverOptions {
  /** ControlRecord.dead */
  readonly dead: readonly Member[];
  /** A member that all others have lost for this long is cut. */
  readonly cutAfterMs: number;
}

export interface TakeoverResult {
  readonly state: TakeoverState;
  readonly effects: readonly TakeoverEffect[];
}

/**
 * @param configuredRanks ranks of the topology: all must answer while no member is known to live
 * @param stored outcomes read in the store, any order
 */
export function initialTakeover(
  fence: Fence,
  configuredRanks: readonly number[],
  stored: readonly DecidedVersion[],
  options: TakeoverOptions,
): TakeoverState {
  const read = new Map(stored.map((decided) => [decided.known.version, decided]));
  return {
    fence,
    configuredRanks,
    cutAfterMs: options.cutAfterMs,
    stored: read,
    words: new Map(),
    weighed: weighedOf({ stored: read, words: new Map() }, []),
    answered: 0,
    isStale: false,
    evidence: initialEvidence(options.dead),
    creating: [],
    contradicted: [],
    storeBehind: false,
    askingSinceMs: null,
    missingTold: false,
    phase: 'asking',
  };
}

/**
 * An answer with the outcomes in it read, or that this process can't read it.
 * @param takeover many ranks tell the same: what it knows is not read again
 */
export function takeoverAnswer(
  answer: RankAnswer,
  takeover: TakeoverState | null = null,
): TakeoverEvent {
  const known = [...answer.outcomes];
  for (const outcome of answer.engine?.state.outcomes ?? []) {
    if (!known.some(({ record }) => sameBytes(record, outcome.record))) known.push(outcome);
  }
  try {
    const outcomes = known.map((outcome) => readOutcome(takeover, outcome));
    return { kind: 'answer', answer, outcomes };
  } catch (error) {
    if (error instanceof IsobarError) return { kind: 'unreadable', error };
    throw error;
  }
}

function readOutcome(
  takeover: TakeoverState | null,
  { version, record }: KnownOutcome,
): DecidedVersion {
  const told = takeover?.weighed.outcomes.get(version) ?? [];
  return told.find(({ known }) => sameBytes(known.record, record)) ?? readDecidedVersion(record);
}
