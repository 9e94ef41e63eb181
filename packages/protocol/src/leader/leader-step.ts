import type { WaveRoom } from '@isobar/eplb';
import type { Draft } from '../draft.js';
import type { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import { type MapRecord, mappingOfRecord, wholeMapping } from '../map-record.js';
import { type Member, membersWithout } from '../member.js';
import { planRemoval } from '../membership/membership.js';
import { closedSlotsOf, fillsClosedSlot, usableSlots } from '../membership/offered-slots.js';
import type { Situation } from '../membership/situation.js';
import { refuseSize, roomForWave } from '../message-size.js';
import { decodeTransfers } from '../proposal.js';
import { stepCoordinatorSwap } from '../swap/coordinator-swap.js';
import type {
  CoordinatorSwapEffect,
  CoordinatorSwapEvent,
  CoordinatorSwapState,
} from '../swap/coordinator-swap-state.js';
import type { Wave } from '../swap/open-swap.js';
import { blamesSource } from '../swap/vote-refusal.js';
import type {
  LeaderAlarm,
  LeaderEffect,
  LeaderRequest,
  LeaderState,
  RequestOutcome,
  ShunnedEngine,
} from './leader-types.js';

/** A step under way: the state so far, and what it has brought about. */
export interface LeaderStep {
  readonly state: Draft<LeaderState>;
  readonly effects: LeaderEffect[];
  readonly nowMs: number;
}

export function situationOf(state: LeaderState): Situation {
  const { swap, mapping, evidence, engines, retained, control, shunned } = state;
  const { configuredRanks, topology, loads, distrusted } = state;
  return {
    newest: swap.newest,
    mapping,
    members: swap.members,
    evidence,
    engines,
    retained,
    isUnretired: swap.retiredUpTo < swap.newest.version,
    configuredRanks,
    topology,
    loads,
    drained: control.drained,
    usableSlots: usableSlots(mapping, evidence, control),
    roomFor: (members) => roomForWaves(state, members),
    shunned: shunned.map(({ member }) => member),
    distrusted,
  };
}

/** Whether waves would bring anything into slots that are closed by now. */
export function fillsClosed(state: LeaderState, waves: readonly Pick<Wave, 'mapping'>[]): boolean {
  if (waves.length === 0) return false;
  const closed = closedSlotsOf(situationOf(state));
  return waves.some(({ mapping }) => fillsClosedSlot(mapping, state.mapping, closed));
}

/** Why waves can't be begun, null where all that they lead to can be told. */
export function refuseTooLarge(state: LeaderState, waves: readonly Wave[]): IsobarError | null {
  return refuseSize(waves, state.swap, voidRecordsBytes(state), state.payloadBytesMax);
}

/**
 * What a wave made now may hold, so that it is not refused as too large.
 * @param members whom it lists
 */
export function roomForWaves(
  state: LeaderState,
  members: readonly Member[] = state.swap.members,
): WaveRoom {
  const { swap, mapping, payloadBytesMax } = state;
  const base = { members, voided: swap.voided };
  return roomForWave(wholeMapping(mapping), base, voidRecordsBytes(state), payloadBytesMax);
}

/** Of numbers decided void since the newest version, what a rank tells. */
export function voidRecordsBytes({ outcomes }: LeaderState): number {
  const voids = outcomes.filter(({ outcome }) => outcome === 'void');
  return voids.reduce((sum, { record }) => sum + record.byteLength + voidAroundBytes, 0);
}

/** What an outcome has around its record. */
const voidAroundBytes = 48;

export function alarm(
  step: LeaderStep,
  kind: LeaderAlarm,
  fields: Readonly<Record<string, unknown>>,
): void {
  step.effects.push({ kind: 'alarm', alarm: kind, fields });
}

export function endRequest(
  step: LeaderStep,
  request: LeaderRequest,
  outcome: RequestOutcome,
  reason: string,
): void {
  const requests = step.state.requests.filter((other) => other !== request);
  step.state.requests = requests;
  step.effects.push({ kind: 'request-ended', token: request.token, outcome, reason });
}

export function toSwap(step: LeaderStep, event: CoordinatorSwapEvent): void {
  // What is settled by this event was open before it; afterwards another may be.
  const before = step.state.swap;
  const { state: swap, effects } = stepCoordinatorSwap(before, event, step.nowMs);
  step.state.swap = swap;
  for (const effect of effects) onSwapEffect(step, effect, before);
}

function onSwapEffect(
  step: LeaderStep,
  effect: CoordinatorSwapEffect,
  before: CoordinatorSwapState,
): void {
  switch (effect.kind) {
    case 'settled':
      onSettled(step, effect.outcome, effect.record, before);
      return;
    case 'experts-missing':
      onExpertsMissing(step);
      return;
    case 'send-retire':
      // From now on any buffer of an older version may be gone.
      step.state.retained = null;
      step.effects.push(effect);
      return;
    case 'swap-finished': {
      const { outcome, reason } = effect;
      const { activity } = step.state;
      if (activity !== null) {
        step.state.activity = { ...activity, last: { outcome, reason } };
      }
      step.effects.push(effect);
      return;
    }
    case 'refused': {
      // A wave that can't be begun ends its series.
      const { activity, swap } = step.state;
      if (activity !== null && swap.open === null) {
        const last = { outcome: 'void', reason: effect.what } as const;
        step.state.activity = { ...activity, last };
      }
      step.effects.push(effect);
      return;
    }
    case 'alarm':
      alarm(step, effect.alarm, effect.fields);
      return;
    default:
      step.effects.push(effect);
  }
}

function onSettled(
  step: LeaderStep,
  outcome: KnownOutcome,
  record: MapRecord,
  before: CoordinatorSwapState,
): void {
  const { state, nowMs } = step;
  if (record.outcome === 'committed') {
    const { version } = before.newest;
    const held = { version, mapping: state.mapping, members: before.members };
    state.mapping = mappingOfRecord(record);
    state.newestOutcome = { record, bytes: outcome.record };
    state.retained = retainsBuffers(state) ? held : null;
    state.outcomes = [outcome];
    state.distrusted = [];
    return;
  }
  const { backOffMs, retryMs } = state.timings;
  const { version, reason } = record;
  // What something else came in the way of has not failed.
  const hasFailed = state.activity?.interrupted?.outcome !== 'superseded';
  if (hasFailed) {
    const untilMs = nowMs + backOffMs * patience(state, 64);
    state.backOff = { untilMs, version, reason };
    state.retryAtMs = nowMs + retryMs * patience(state, ownPatienceMax(state));
  }
  state.outcomes = [...state.outcomes, outcome];
  state.shunned = [...state.shunned, ...silentJoiners(before, nowMs + backOffMs)];
  state.distrusted = [...new Set([...state.distrusted, ...failedSources(before)])];
}

/**
 * How often the least wait goes into the next one: doubled with each void since the last commit. A
 * number costs a record and a line in every later proposal, so failures must become rare.
 */
function patience({ swap }: LeaderState, most: number): number {
  return Math.min(most, 2 ** Math.max(0, swap.voided.length - 1));
}

/** Of the leader's own changes, which nobody else would make: they are given up as rare as that last. */
function ownPatienceMax({ swap }: LeaderState): number {
  return swap.voided.length < 32 ? 8 : 512;
}

/** In-place engines copy into fixed addresses: nothing older is left of theirs. */
function retainsBuffers({ engines }: LeaderState): boolean {
  return [...engines.values()].every(({ description }) => description.activation === 'two-table');
}

/**
 * Ranks from which the one that refused was to fetch, where a source is to blame: which of them is
 * not known. A source may be wrong for whatever reason, and for ever, so it is asked once.
 */
function failedSources({ open }: CoordinatorSwapState): number[] {
  const refusal = open?.refusal ?? null;
  if (open === null || refusal === null || !blamesSource(refusal.reason)) return [];
  const transfers = decodeTransfers(open.proposal.transfers, refusal.rank);
  return transfers.map(({ sourceRank }) => sourceRank).filter((rank) => rank >= 0);
}

/** Engines that were to join and have not voted: they must not hold others up again at once. */
function silentJoiners({ open, members }: CoordinatorSwapState, untilMs: number): ShunnedEngine[] {
  if (open === null) return [];
  return membersWithout(open.proposal.members, members)
    .filter(({ incarnation }) => !open.votes.has(incarnation))
    .map((member) => ({ member, untilMs }));
}

/**
 * What a rank took with it may still be in buffers of the version before: then that is not retired
 * until an evacuation is. Where the buffers that are left can't take one, they must be freed first.
 */
function onExpertsMissing(step: LeaderStep): void {
  const plan = planRemoval(situationOf(step.state));
  const isCramped = plan.kind === 'degraded' && plan.lacks === 'buffers';
  toSwap(step, { kind: isCramped ? 'retire' : 'withhold-retire' });
}
