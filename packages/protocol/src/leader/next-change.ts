import { type AskedBy, lastAsker } from '../commands/command-request.js';
import { includesMember, type Member, sameMembers } from '../member.js';
import {
  firstWave,
  joinersOf,
  type MembershipPlan,
  planDrains,
  planEmptying,
  planJoin,
  planRemoval,
  ranksToDrain,
} from '../membership/membership.js';
import { closedSlotsOf, ranksToClear } from '../membership/offered-slots.js';
import {
  candidates,
  deadMembers,
  isJoining,
  isStarting,
  livingMembers,
  type Situation,
  silentMembers,
} from '../membership/situation.js';
import {
  alarm,
  endRequest,
  fillsClosed,
  type LeaderStep,
  refuseTooLarge,
  situationOf,
  toSwap,
} from './leader-step.js';
import type { Activity, LeaderRequest, LeaderState, OwnChange } from './leader-types.js';
import { isRenewalDue, renewalWave, renewsFirst } from './renewal.js';
import { isOnNewest, orderOf } from './requests.js';

/*
 * What comes next once nothing is open: what takeover left to do, numbers that strangers have
 * voted for, evacuations, joins and leaves, rollbacks, drains, rebalances. A version is renewed between
 * these where too many numbers have come to nothing.
 */

/** The leader's own changes that are due, but for those that are stuck as things are. */
function ownChangesDue(state: LeaderState, situation: Situation, nowMs: number): OwnChange[] {
  if (nowMs < state.retryAtMs) return [];
  const due: OwnChange[] = [];
  // What the dead held comes first: nobody joins before they are removed.
  if (deadMembers(situation).length > 0) due.push('evacuation');
  else {
    if (situation.newest.version === 0) due.push('start');
    else if (joinersOf(situation).length > 0) due.push('membership');
    const empties = ranksToDrain(situation).length > 0 || ranksToClear(situation).length > 0;
    if (!state.control.paused && empties) due.push('drain');
  }
  if (isRenewalDue(state)) due.push('renewal');
  return due.filter((change) => {
    const stuck = state.stuck.get(change);
    return stuck === undefined || stuck.plannedOn !== plannedOn(situation);
  });
}

/** All that a plan's feasibility rests on, but for buffers, which come and go. */
function plannedOn(situation: Situation): string {
  const incarnations = (members: readonly { readonly incarnation: string }[]) =>
    members.map(({ incarnation }) => incarnation).join();
  const fresh = candidates(situation, (engine) => isJoining(engine) || isStarting(engine));
  const { newest, drained, retained, usableSlots } = situation;
  const room = [drained.join(), usableSlots.join()];
  const parts = [incarnations(deadMembers(situation)), incarnations(fresh), ...room];
  return [newest.version, ...parts, retained !== null].join('/');
}

/** Requests that may begin now; what empties slots begins on its own. */
function requestsDue({ control, requests }: LeaderState): readonly LeaderRequest[] {
  return control.paused
    ? []
    : requests.filter(({ change }) => change !== 'drain' && change !== 'limit-slots');
}

export interface DueChange {
  readonly change: OwnChange | LeaderRequest['change'];
  /** The least goes first. */
  readonly order: number;
  readonly askedBy: AskedBy | null;
}

function askerOf(change: OwnChange, { control }: LeaderState): AskedBy | null {
  return change === 'drain' ? lastAsker(control.requests, change) : null;
}

/** What goes first of all that is due and not under way, null where nothing is. */
export function firstDue(state: LeaderState, nowMs: number): DueChange | null {
  const own = ownChangesDue(state, situationOf(state), nowMs);
  const due: DueChange[] = [
    ...own.map((change) => ({
      change,
      order: orderOfOwn(state, change),
      askedBy: askerOf(change, state),
    })),
    ...requestsDue(state).map(({ change, askedBy = null }) => ({
      change,
      order: orderOf(change),
      askedBy,
    })),
  ].sort((a, b) => a.order - b.order);
  return due[0] ?? null;
}

function orderOfOwn(state: LeaderState, change: OwnChange): number {
  if (change !== 'renewal') return orderOf(change);
  return renewsFirst(state) ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Begins what goes first. Nothing may be open. */
export function beginNext(step: LeaderStep): void {
  if (!step.state.started) {
    resumeNewest(step);
    if (step.state.activity !== null) return;
  }
  if (settleStrayNumber(step)) return;
  endEmptying(step);
  const own = ownChangesPossible(step);
  const due = [
    ...own.map((change) => ({
      order: orderOfOwn(step.state, change),
      begin: () => beginOwn(step, change),
    })),
    ...requestsDue(step.state).map((request) => ({
      order: orderOf(request.change),
      begin: () => beginRequest(step, request),
    })),
  ].sort((a, b) => a.order - b.order);
  for (const change of due) if (change.begin()) return;
}

/**
 * The leader's own changes, unless some living member is silent: its vote is needed, and without
 * it one number after another would come to nothing. Told once for the same members.
 */
function ownChangesPossible(step: LeaderStep): OwnChange[] {
  const situation = situationOf(step.state);
  const own = ownChangesDue(step.state, situation, step.nowMs);
  const { cutAfterMs } = step.state.timings;
  const silent = own.length === 0 ? [] : silentMembers(situation, step.nowMs, cutAfterMs);
  if (silent.length > 0 && !sameMembers(silent, step.state.silent)) {
    alarm(step, 'members-silent', { changes: own, members: silent });
  }
  step.state.silent = silent;
  return silent.length > 0 ? [] : own;
}

/** What takeover left to do: the newest version is followed by all. */
function resumeNewest(step: LeaderStep): void {
  const { newestOutcome, leavers } = step.state;
  step.state.started = true;
  if (newestOutcome === null) return;
  const { record, bytes } = newestOutcome;
  step.state.activity = activityOf(record.change);
  toSwap(step, { kind: 'resume', record, bytes, baseMembers: leavers });
}

function activityOf(change: Activity['change'], request: LeaderRequest | null = null): Activity {
  return { change, request, interrupted: null, last: null };
}

/**
 * An engine that no record lists may have voted for a number that nobody else knows of, for a
 * leader that is gone. Its vote binds it until the number has an outcome; as all that live have
 * answered this term without a vote for it, that can only be void.
 */
function settleStrayNumber(step: LeaderStep): boolean {
  const { newest, voided, reports } = step.state.swap;
  for (const { rank, engine } of reports.values()) {
    const version = engine?.openVote ?? null;
    if (version === null || version <= newest.version || voided.includes(version)) continue;
    if (livingMembers(situationOf(step.state)).length === 0) return false;
    const reason = `only rank ${rank} has voted for it, for a leader that is gone`;
    const interrupted = { outcome: 'superseded', reason } as const;
    const activity = { ...activityOf('membership'), interrupted };
    step.state.activity = activity;
    toSwap(step, { kind: 'settle-number', version, reason });
    return true;
  }
  return false;
}

/** @returns whether something is under way now */
function beginOwn(step: LeaderStep, change: OwnChange): boolean {
  const situation = situationOf(step.state);
  switch (change) {
    case 'start': {
      const waves = [firstWave(situation)];
      return beginPlan(step, change, { kind: 'waves', change, waves });
    }
    case 'membership':
      return beginPlan(step, change, planJoin(situation, joinersOf(situation)));
    case 'drain':
      return beginPlan(step, change, planDrains(situation));
    case 'evacuation':
      return beginRemoval(step, situation);
    case 'renewal': {
      const waves = [renewalWave(step.state)];
      return beginPlan(step, change, { kind: 'waves', change: 'membership', waves });
    }
  }
}

function beginRemoval(step: LeaderStep, situation: Situation): boolean {
  const plan = planRemoval(situation);
  const { newestOutcome } = step.state;
  const isCramped = plan.kind === 'degraded' && plan.lacks === 'buffers' && situation.isUnretired;
  if (!isCramped || newestOutcome === null) return beginPlan(step, 'evacuation', plan);
  // What older versions retain is in the way: they are retired first, whatever that loses.
  const { record, bytes } = newestOutcome;
  step.state.activity = activityOf(record.change);
  toSwap(step, { kind: 'resume', record, bytes });
  return true;
}

function beginPlan(
  step: LeaderStep,
  own: OwnChange,
  plan: MembershipPlan,
  request: LeaderRequest | null = null,
): boolean {
  if (plan.kind === 'degraded') {
    noteStuck(step, own, plan);
    return false;
  }
  const tooLarge = refuseTooLarge(step.state, plan.waves);
  if (tooLarge !== null) {
    const { code, message } = tooLarge;
    const fields = { lacks: 'payload', code, ...tooLarge.fields };
    if (request === null) noteStuck(step, own, { kind: 'degraded', lacks: 'payload', fields });
    else endRequest(step, request, 'degraded', message);
    return false;
  }
  const stuck = new Map(step.state.stuck);
  stuck.delete(own);
  step.state.stuck = stuck;
  step.state.activity = activityOf(plan.change, request);
  toSwap(step, { kind: 'begin', waves: plan.waves });
  return true;
}

type DegradedPlan = Extract<MembershipPlan, { readonly kind: 'degraded' }>;

function noteStuck(step: LeaderStep, change: OwnChange, plan: DegradedPlan): void {
  const situation = situationOf(step.state);
  const dead = deadMembers(situation).map(({ incarnation }) => incarnation);
  const about = plan.lacks === 'proof' ? [JSON.stringify(plan.fields)] : dead;
  const emptied = [...situation.drained, '', ...closedSlotsOf(situation)];
  const subject = [change, ...(change === 'drain' ? emptied : about)].join();
  // Buffers are freed, and connections lost, in the ranks' own time: planned again at every tick.
  const key = plan.lacks === 'buffers' || plan.lacks === 'proof' ? '' : plannedOn(situation);
  const isTold = step.state.stuck.get(change)?.subject === subject;
  const stuck = new Map(step.state.stuck).set(change, { plannedOn: key, subject });
  step.state.stuck = stuck;
  if (isTold) return;
  if (plan.lacks === 'proof') alarm(step, 'death-unproven', plan.fields);
  else alarm(step, 'degraded', { change, ...plan.fields });
}

/**
 * A drain is done when its ranks hold nothing, a limit when no slot beyond it does; given up where
 * that can't be, or is not wanted any more.
 */
function endEmptying(step: LeaderStep): void {
  if (step.state.requests.length === 0) return;
  const situation = situationOf(step.state);
  const members = new Set(step.state.swap.members.map(({ rank }) => rank));
  const { drained, slotLimits } = step.state.control;
  for (const request of step.state.requests) {
    const { change, ranks = [] } = request;
    if (change !== 'drain' && change !== 'limit-slots') continue;
    const isDrain = change === 'drain';
    const holding = isDrain ? ranksToDrain(situation) : ranksToClear(situation);
    const asked = isDrain ? drained : slotLimits.map(({ rank }) => rank);
    const wanted = ranks.filter((rank) => asked.includes(rank) && members.has(rank));
    const told = `rank ${(wanted.length === 0 ? ranks : wanted).join(', ')}`;
    if (wanted.length === 0) {
      const what = isDrain ? 'to be drained' : 'limited';
      endRequest(step, request, 'cancelled', `${told} is not ${what} any more`);
    } else if (!wanted.some((rank) => holding.includes(rank))) {
      const what = isDrain ? 'nothing' : 'nothing beyond its limit';
      endRequest(step, request, 'committed', `${told} holds ${what}`);
    } else if (step.state.stuck.has('drain')) {
      endRequest(step, request, 'degraded', `what ${told} holds has no other place`);
    }
  }
}

/** @returns whether it is under way now */
function beginRequest(step: LeaderStep, request: LeaderRequest): boolean {
  const { change, ranks = [], waves = [] } = request;
  if (change === 'leave') return beginLeave(step, request, ranks);
  if (change === 'drain' || change === 'limit-slots') return false;
  if (!isOnNewest(step.state, request)) {
    endRequest(step, request, 'outdated', whatIsInForce(step.state));
    return false;
  }
  if (fillsClosed(step.state, waves)) {
    endRequest(step, request, 'outdated', 'ranks offer fewer slots than it takes');
    return false;
  }
  step.state.requests = withoutRequest(step.state, request);
  return beginPlan(step, 'membership', { kind: 'waves', change, waves }, request);
}

/** What has replaced the version that a request was made on. */
function whatIsInForce({ swap, newestOutcome }: LeaderState): string {
  const reason = newestOutcome === null ? '' : `: ${newestOutcome.record.reason}`;
  return `version ${swap.newest.version} is in force${reason}`;
}

function beginLeave(step: LeaderStep, request: LeaderRequest, ranks: readonly number[]): boolean {
  const situation = situationOf(step.state);
  const living = livingMembers(situation);
  const told = `rank ${ranks.join(', ')}`;
  const isThere = (member: Member) => includesMember(living, member);
  const areThere =
    request.members?.every(isThere) ??
    ranks.every((rank) => living.some((member) => member.rank === rank));
  if (!areThere) {
    endRequest(step, request, 'superseded', `${told} is no living member any more`);
    return false;
  }
  const plan = planEmptying(situation, ranks, true, false);
  if (plan.kind === 'degraded') {
    endRequest(step, request, 'degraded', `what ${told} holds has no other place`);
    return false;
  }
  step.state.requests = withoutRequest(step.state, request);
  return beginPlan(step, 'membership', plan, request);
}

function withoutRequest({ requests }: LeaderState, request: LeaderRequest): LeaderRequest[] {
  return requests.filter((other) => other !== request);
}
