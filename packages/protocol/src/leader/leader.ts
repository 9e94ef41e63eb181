import type { ControlRecord } from '../control-record.js';
import type { DecidedVersion } from '../decided-version.js';
import type { Fence } from '../fence.js';
import type { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { Cut, RankAnswer, RankReport, Vote } from '../messages.js';
import { stepCoordinatorSwap } from '../swap/coordinator-swap.js';
import {
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapState,
  initialCoordinatorSwap,
  type SwapTimings,
} from '../swap/coordinator-swap-state.js';
import type { Ground } from '../swap/ground.js';
import type { Wave } from '../swap/open-swap.js';

export interface LeaderTimings extends SwapTimings {
  /** A member that all others have lost for this long is cut. */
  readonly cutAfterMs: number;
  /** After a void version automatic rebalances are refused for this long. */
  readonly backOffMs: number;
  /** After a void of an evacuation or a change of members it is tried again. */
  readonly retryMs: number;
}

/** What a leader runs from the end of its takeover on. */
export interface LeaderState {
  readonly fence: Fence;
  readonly timings: LeaderTimings;
  readonly configuredRanks: readonly number[];
  readonly control: ControlRecord;
  readonly ground: Ground;
  readonly swap: CoordinatorSwapState;
  /** The newest committed outcome and every later one, ascending. */
  readonly outcomes: readonly KnownOutcome[];
  readonly backOff: BackOff | null;
  readonly started: boolean;
}

export interface BackOff {
  readonly untilMs: number;
  readonly version: number;
  readonly reason: string;
}

/** A change that is asked for, not one that the leader makes on its own. */
export interface LeaderRequest {
  readonly kind: 'request';
  /** By which the answers are known; drawn by the asker, unique within the leadership. */
  readonly token: number;
  readonly change: 'rebalance' | 'rollback' | 'drain' | 'leave';
  /** A rebalance that no operator asked for: refused while held or backing off. @default false */
  readonly automatic?: boolean;
  /** Of `rebalance` and `rollback`, each on top of the one before. */
  readonly waves?: readonly Wave[];
  /** Of `drain` and `leave`. */
  readonly rank?: number;
  /** The version that the request was made on. */
  readonly base: { readonly version: number; readonly digest: string };
}

export type LeaderEvent =
  | { readonly kind: 'vote'; readonly vote: Vote }
  | { readonly kind: 'report'; readonly report: RankReport }
  /** To the effect `ask`. */
  | { readonly kind: 'answer'; readonly answer: RankAnswer }
  | { readonly kind: 'record-created'; readonly version: number }
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  | { readonly kind: 'record-unknown'; readonly version: number }
  /** A record that this process can't read: it does not lead. */
  | { readonly kind: 'unreadable'; readonly error: IsobarError }
  | { readonly kind: 'cancel'; readonly reason: string }
  /** The control record as it was written. */
  | { readonly kind: 'control'; readonly control: ControlRecord }
  | LeaderRequest
  | { readonly kind: 'outcomes-question'; readonly token: number; readonly since: number }
  | { readonly kind: 'tick' };

/**
 * `superseded`: something of higher rank was due, the waves that had not begun never will.
 * `outdated`: the version that it was made on was replaced before it could begin.
 */
export type RequestOutcome = 'committed' | 'void' | 'cancelled' | 'superseded' | 'outdated';

export type LeaderEffect =
  | Exclude<CoordinatorSwapEffect, { readonly kind: 'alarm' }>
  | { readonly kind: 'send-cut'; readonly message: Cut }
  /** Ranks are to be asked, as at a takeover, for engines that no record lists. */
  | { readonly kind: 'ask'; readonly ranks: readonly number[] }
  | { readonly kind: 'request-accepted'; readonly token: number }
  | { readonly kind: 'request-refused'; readonly token: number; readonly error: IsobarError }
  | {
      readonly kind: 'request-ended';
      readonly token: number;
      readonly outcome: RequestOutcome;
      readonly reason: string;
    }
  | {
      readonly kind: 'outcomes-answer';
      readonly token: number;
      readonly outcomes: readonly KnownOutcome[];
    }
  | {
      readonly kind: 'alarm';
      readonly alarm: LeaderAlarm;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** This process can't lead; nothing is told or decided any more. */
  | { readonly kind: 'failed'; readonly error: IsobarError };

/**
 * `degraded`: fewer live slots than experts, nothing is committed. `death-unproven`: as at a
 * takeover. `engines-disagree`: an engine that would join differs from its group.
 */
export type LeaderAlarm = 'slow-phase' | 'degraded' | 'death-unproven' | 'engines-disagree';

export interface LeaderResult {
  readonly state: LeaderState;
  readonly effects: readonly LeaderEffect[];
}

/** @param configuredRanks ranks of the topology */
export function initialLeader(
  ground: Ground,
  control: ControlRecord,
  fence: Fence,
  timings: LeaderTimings,
  configuredRanks: readonly number[],
): LeaderState {
  const { newest, voided, members, nextVersion, retiredUpTo } = ground;
  const start = { fence, timings, newest, voided, members, nextVersion, retiredUpTo };
  return {
    fence,
    timings,
    configuredRanks,
    control,
    ground,
    swap: initialCoordinatorSwap(start),
    outcomes: ground.outcomes,
    backOff: null,
    started: false,
  };
}

/**
 * One step of the machine; `nowMs` is the leader's own monotonic clock. What takeover left to do
 * begins at the first tick.
 */
export function stepLeader(state: LeaderState, event: LeaderEvent, nowMs: number): LeaderResult {
  switch (event.kind) {
    case 'control':
      return { state: { ...state, control: event.control }, effects: [] };
    case 'outcomes-question': {
      const outcomes = state.outcomes.filter(({ version }) => version > event.since);
      const { token } = event;
      return { state, effects: [{ kind: 'outcomes-answer', token, outcomes }] };
    }
    case 'answer':
      return { state, effects: [] };
    case 'unreadable':
      return { state, effects: [{ kind: 'failed', error: event.error }] };
    case 'request':
      return onRequest(state, event, nowMs);
    case 'tick':
      return onTick(state, nowMs);
    default:
      return toSwap(state, event, nowMs);
  }
}

function toSwap(state: LeaderState, event: CoordinatorSwapEvent, nowMs: number): LeaderResult {
  const { state: swap, effects } = stepCoordinatorSwap(state.swap, event, nowMs);
  let { outcomes } = state;
  for (const effect of effects) {
    if (effect.kind !== 'decided') continue;
    const committed = effect.record.outcome === 'committed';
    outcomes = committed ? [effect.outcome] : [...outcomes, effect.outcome];
  }
  return { state: { ...state, swap, outcomes }, effects };
}

function onRequest(state: LeaderState, request: LeaderRequest, nowMs: number): LeaderResult {
  const { token, waves = [] } = request;
  const begun = toSwap(state, { kind: 'begin', waves }, nowMs);
  return { state: begun.state, effects: [{ kind: 'request-accepted', token }, ...begun.effects] };
}

function onTick(state: LeaderState, nowMs: number): LeaderResult {
  const { newestOutcome } = state.ground;
  if (state.started || newestOutcome === null) return toSwap(state, { kind: 'tick' }, nowMs);
  return toSwap({ ...state, started: true }, { kind: 'resume', ...newestOutcome }, nowMs);
}
