import type { DecidedVersion } from '../decided-version.js';
import type { Fence } from '../fence.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { CommittedRecord, MapRecord } from '../map-record.js';
import type { Member } from '../member.js';
import type { Death } from '../membership/severed.js';
import type { OutcomeMessage, Prepare, RankReport, Retire, SwapState, Vote } from '../messages.js';
import type { RankTable } from '../rank-table.js';
import type { VersionInForce } from '../version-in-force.js';
import type { OpenPhase, OpenSwap, PhaseDurations, Wave } from './open-swap.js';
import type { UntakenOutcome } from './untaken-outcome.js';

export interface SwapTimings {
  /** All votes must be in after this long, or the version is void. */
  readonly prepareDeadlineMs: number;
  /** After a void, ranks that don't report their staging gone are waited for this long. */
  readonly discardDeadlineMs: number;
  /** Beyond these an alarm names the ranks that are missing, once: a commit can't be taken back. */
  readonly decideDeadlineMs: number;
  readonly activateDeadlineMs: number;
  readonly retireDeadlineMs: number;
}

export interface CoordinatorSwapState {
  readonly fence: Fence;
  readonly timings: SwapTimings;
  readonly newest: VersionInForce;
  /** Versions decided void since `newest`. */
  readonly voided: readonly number[];
  readonly members: readonly Member[];
  /** Of these, and of a target's, those proven dead. */
  readonly dead: readonly Death[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
  /** Waves of the series that have not begun. */
  readonly waiting: readonly Wave[];
  readonly open: OpenSwap | null;
  readonly reports: RankTable<RankReport>;
  /** Outcomes created that no rank has been seen to have taken yet. */
  readonly untaken: readonly UntakenOutcome[];
  /** Fenced by another leader: nothing is told or decided any more. */
  readonly deposed: boolean;
}

export type CoordinatorSwapEvent =
  | { readonly kind: 'begin'; readonly waves: readonly Wave[] }
  /**
   * After a takeover: sees to it that the newest committed version is followed by all, members of
   * its base that it does not list included.
   */
  | {
      readonly kind: 'resume';
      readonly record: CommittedRecord;
      readonly bytes: Uint8Array;
      readonly baseMembers?: readonly Member[];
    }
  /** A number that only engines which no record lists have voted for: it is decided void. */
  | { readonly kind: 'settle-number'; readonly version: number; readonly reason: string }
  | { readonly kind: 'vote'; readonly vote: Vote }
  | { readonly kind: 'report'; readonly report: RankReport }
  /** All members proven dead; those known before among them. */
  | { readonly kind: 'deaths'; readonly dead: readonly Death[] }
  | { readonly kind: 'record-created'; readonly version: number }
  /** The store has an outcome of that number: the same, or another. */
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  | { readonly kind: 'record-unknown'; readonly version: number }
  | { readonly kind: 'cancel'; readonly reason: string }
  /** Answers to `experts-missing`: older versions stay until another version is retired, or go. */
  | { readonly kind: 'withhold-retire' }
  | { readonly kind: 'retire' }
  /** Waves that have not begun never will; the open one goes on. */
  | { readonly kind: 'stop-between-waves' }
  | { readonly kind: 'tick' };

export interface SwapDurations extends PhaseDurations {
  readonly totalMs: number;
}

/** Ranks that a message is for; null: all. */
export type Addressees = readonly number[] | null;

export type CoordinatorSwapEffect =
  | { readonly kind: 'send-prepare'; readonly message: Prepare; readonly ranks: Addressees }
  | { readonly kind: 'send-outcome'; readonly message: OutcomeMessage; readonly ranks: Addressees }
  | { readonly kind: 'send-retire'; readonly message: Retire }
  | { readonly kind: 'send-state'; readonly message: SwapState }
  | { readonly kind: 'create-record'; readonly version: number; readonly bytes: Uint8Array }
  /** A version's record is created: what comes next builds on it, but it may not be announced. */
  | { readonly kind: 'settled'; readonly outcome: KnownOutcome; readonly record: MapRecord }
  /** Some rank has taken the outcome: no later leader can come to another. */
  | { readonly kind: 'decided'; readonly outcome: KnownOutcome; readonly record: MapRecord }
  /** All living have activated, and some expert has no live replica: told until answered. */
  | { readonly kind: 'experts-missing'; readonly version: number }
  | {
      readonly kind: 'swap-finished';
      readonly version: number;
      readonly outcome: 'committed' | 'void';
      readonly reason: string;
      readonly durations: SwapDurations;
      /** Yes votes, and those that it needed. */
      readonly votes: { readonly yes: number; readonly needed: number };
      readonly wavesLeft: number;
    }
  | {
      readonly kind: 'refused';
      readonly what: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'alarm';
      readonly alarm: 'slow-phase';
      /** version, phase, missingRanks, members */
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'deposed'; readonly by: Fence };

export interface CoordinatorSwapResult {
  readonly state: CoordinatorSwapState;
  readonly effects: readonly CoordinatorSwapEffect[];
}

/** What a leader starts from, once its takeover is complete. */
export interface CoordinatorSwapStart {
  readonly fence: Fence;
  readonly timings: SwapTimings;
  readonly newest: VersionInForce;
  readonly voided: readonly number[];
  readonly members: readonly Member[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
}

export function initialCoordinatorSwap(start: CoordinatorSwapStart): CoordinatorSwapState {
  const nothing = { dead: [], waiting: [], open: null, untaken: [], deposed: false };
  return { ...start, ...nothing, reports: new Map() };
}

export function phaseDeadlineMs(timings: SwapTimings, phase: OpenPhase): number {
  switch (phase) {
    case 'preparing':
      return timings.prepareDeadlineMs;
    case 'deciding':
      return timings.decideDeadlineMs;
    case 'activating':
      return timings.activateDeadlineMs;
    case 'retiring':
      return timings.retireDeadlineMs;
    case 'discarding':
      return timings.discardDeadlineMs;
  }
}

export function swapStateOf(state: CoordinatorSwapState): SwapState {
  const decidedUpTo = Math.max(state.newest.version, ...state.voided);
  return {
    schema: 1,
    fence: state.fence,
    newest: { version: state.newest.version, digest: state.newest.digest },
    decidedUpTo,
    open: state.open?.proposal.version ?? null,
    retiredUpTo: state.retiredUpTo,
    schemaRange: [1, 1],
  };
}
