import { type AskedBy, byAsker, lastAsker } from '../commands/command-request.js';
import type { ControlRecord } from '../control-record.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import { includesMember, type Member, membersWithout, unionOfMembers } from '../member.js';
import {
  hearWitness,
  saysTheSame,
  type Witness,
  weighEvidence,
  witnessOfAnswer,
  witnessOfReport,
} from '../membership/evidence.js';
import { deathsOf, sameDeaths, unsevered } from '../membership/severed.js';
import { type DescribedEngine, groupDifference } from '../membership/situation.js';
import { watchLosses } from '../membership/watch-losses.js';
import type { RankAnswer, RankReport } from '../messages.js';
import { withRank } from '../rank-table.js';
import { initialCoordinatorSwap } from '../swap/coordinator-swap-state.js';
import type { Ground } from '../swap/ground.js';
import {
  alarm,
  endRequest,
  fillsClosed,
  type LeaderStep,
  situationOf,
  toSwap,
} from './leader-step.js';
import type {
  Activity,
  Interruption,
  LeaderEvent,
  LeaderOptions,
  LeaderRequest,
  LeaderResult,
  LeaderState,
  RequestOutcome,
} from './leader-types.js';
import { beginNext, firstDue } from './next-change.js';
import { isIdle, orderOf, refuseRequest } from './requests.js';
import { tellRefusal } from './tell-refusal.js';

export * from './leader-types.js';

/*
 * What a leader does: one swap after another, for what has happened to its members and for what
 * is asked of it. One number is open at a time; what goes first stops the rest between waves.
 *
 * Deaths. Proven while ranks prepare: the number becomes void, since its plan counts on the dead
 * one. While it is being created: that is settled first. After the commit all others go on; where
 * an expert would have no live replica, older versions are not retired before an evacuation is,
 * since one of their buffers may hold it.
 */

export function initialLeader(
  ground: Ground,
  control: ControlRecord,
  fence: Fence,
  options: LeaderOptions,
): LeaderState {
  const { timings } = options;
  const { newest, voided, members, nextVersion, retiredUpTo } = ground;
  const start = { fence, timings, newest, voided, members, nextVersion, retiredUpTo };
  return {
    ...options,
    fence,
    control,
    swap: initialCoordinatorSwap(start),
    evidence: { ...ground.evidence, declared: control.dead },
    mapping: ground.mapping,
    newestOutcome: ground.newestOutcome,
    loads: null,
    retained: ground.retained,
    engines: new Map(
      ground.answers.flatMap(({ rank, engine }) =>
        engine === null ? [] : [[rank, describedBy(engine)]],
      ),
    ),
    strangers: [],
    refusals: [],
    outcomes: ground.outcomes,
    leavers: ground.baseMembers,
    started: false,
    activity: null,
    requests: [],
    backOff: null,
    retryAtMs: Number.NEGATIVE_INFINITY,
    shunned: [],
    distrusted: [],
    silent: [],
    stuck: new Map(),
    failed: false,
  };
}

/**
 * One step of the machine; `nowMs` is the leader's own monotonic clock. What takeover left to do
 * begins with the first event.
 */
export function stepLeader(state: LeaderState, event: LeaderEvent, nowMs: number): LeaderResult {
  if (state.swap.deposed || state.failed) return { state, effects: [] };
  if (event.kind === 'report' && isRepeated(state, event.report)) {
    return { state: heardAgain(state, event.report, nowMs), effects: [] };
  }
  const step: LeaderStep = { state: { ...state }, effects: [], nowMs };
  const isNews = event.kind !== 'report' || mayBeginSomething(state, event.report);
  take(step, event);
  const hasEnded = isIdle(step.state) && !isIdle(state);
  if (!isNews && !hasEnded) return { state: step.state, effects: step.effects };
  if (!step.state.swap.deposed && !step.state.failed) advance(step);
  return { state: step.state, effects: step.effects };
}

/** It says what the rank's report before it said, and nothing waits for any: most of them. */
function isRepeated(state: LeaderState, report: RankReport): boolean {
  const { swap, evidence, started, requests } = state;
  const { rank, fence, refused, votedUpTo } = report;
  if (!started || swap.open !== null || swap.waiting.length > 0) return false;
  if (swap.untaken.length > 0 || requests.length > 0 || refused !== null) return false;
  const before = swap.reports.get(rank);
  if (before === undefined || before.votedUpTo !== votedUpTo) return false;
  return sameFence(before.fence, fence) && saysTheSame(evidence.witnesses.get(rank), report);
}

/** Newer is when it was heard, and what people are shown. */
function heardAgain(state: LeaderState, report: RankReport, nowMs: number): LeaderState {
  const { evidence } = hearWitness(state.evidence, report.rank, witnessOfReport(report, nowMs));
  const reports = withRank(state.swap.reports, report.rank, report);
  return { ...state, evidence, swap: { ...state.swap, reports } };
}

/** Most reports say what the ones before them said; what time makes due is seen to at each tick. */
function mayBeginSomething(state: LeaderState, report: RankReport): boolean {
  if (!state.started || (isIdle(state) && state.requests.length > 0)) return true;
  return !saysTheSame(state.evidence.witnesses.get(report.rank), report);
}

function take(step: LeaderStep, event: LeaderEvent): void {
  switch (event.kind) {
    case 'report':
      hear(step, event.report.rank, witnessOfReport(event.report, step.nowMs));
      tellRefusal(step, event.report);
      toSwap(step, event);
      return;
    case 'answer':
      onAnswer(step, event.answer);
      return;
    case 'unreadable':
      step.state.failed = true;
      step.effects.push({ kind: 'failed', error: event.error });
      return;
    case 'cancel':
      onCancel(step, event.reason, event.askedBy ?? null);
      return;
    case 'control':
      onControl(step, event.control);
      return;
    case 'request':
      onRequest(step, event);
      return;
    case 'loads':
      step.state.loads = event.loads;
      return;
    case 'outcomes-question': {
      const outcomes = step.state.outcomes.filter(({ version }) => version > event.since);
      step.effects.push({ kind: 'outcomes-answer', token: event.token, outcomes });
      return;
    }
    case 'tick':
      onTick(step);
      return;
    default:
      toSwap(step, event);
  }
}

function hear(step: LeaderStep, rank: number, witness: Witness): void {
  const before = step.state.evidence.witnesses.get(rank)?.engine?.offeredSlots;
  const { evidence, news } = hearWitness(step.state.evidence, rank, witness);
  step.state.evidence = evidence;
  if (news) weigh(step);
  if (witness.engine?.offeredSlots !== before) stopWhatFillsClosed(step);
}

/** What is under way or waits was planned before a rank offered fewer slots. */
function stopWhatFillsClosed(step: LeaderStep): void {
  const { open, waiting } = step.state.swap;
  const isPreparing = open?.phase === 'preparing' && open.mapping !== null;
  const opened = isPreparing ? [{ mapping: open.mapping }] : [];
  if (!fillsClosed(step.state, [...opened, ...waiting])) return;
  const reason = 'a rank offers fewer slots';
  interrupt(step, { outcome: 'superseded', reason }, true);
  toSwap(step, { kind: 'cancel', reason });
}

/** Weighs all proofs of death; a newly proven one interrupts what counted on that member. */
function weigh(step: LeaderStep): void {
  const { swap, evidence: before, leavers } = step.state;
  // Leavers of the version that takeover left to be followed are waited for as well.
  const members = unionOfMembers(swap.members, leavers);
  const voters = unionOfMembers(members, swap.open?.voters ?? []);
  const heard = [...before.witnesses].flatMap(([rank, { engine }]) =>
    engine === null ? [] : [{ rank, incarnation: engine.incarnation }],
  );
  const evidence = weighEvidence(before, swap.members, [...voters, ...heard]);
  step.state.evidence = evidence;
  const recorded = swap.newest.version > 0 ? swap.members : [];
  const dead = deathsOf(evidence, voters, recorded);
  if (sameDeaths(dead, swap.dead)) return;
  const died = dead.filter((member) => !includesMember(swap.dead, member));
  if (died.length > 0) {
    const reason = died
      .map(({ rank, incarnation }) => `rank ${rank} has died, ${incarnation}`)
      .join('; ');
    interrupt(step, { outcome: 'superseded', reason }, true);
    step.state.retryAtMs = Number.NEGATIVE_INFINITY;
  }
  toSwap(step, { kind: 'deaths', dead });
  // Whose process has ended its peers are about to lose by themselves.
  if (died.some(({ hasEnded }) => !hasEnded)) severDead(step);
}

/** Asks for the cut of the dead whom living voters may still hear: no vote counts before. */
function severDead(step: LeaderStep): void {
  const { fence, evidence, swap } = step.state;
  const voters = swap.open?.phase === 'preparing' ? swap.open.voters : swap.members;
  const deaths = swap.dead.filter((death) => includesMember(voters, death));
  for (const member of unsevered(evidence, deaths, membersWithout(voters, deaths))) {
    step.effects.push({ kind: 'send-cut', message: { schema: 1, fence, member } });
  }
}

/**
 * Waves that have not begun never will.
 * @param voidsOpen whether the open one, where ranks prepare it, comes to nothing as well
 */
function interrupt(step: LeaderStep, why: Interruption, voidsOpen: boolean): void {
  const { activity, swap } = step.state;
  if (activity === null) return;
  const isVoided = voidsOpen && swap.open?.phase === 'preparing';
  if (isVoided || swap.waiting.length > 0) {
    const interrupted = activity.interrupted ?? why;
    step.state.activity = { ...activity, interrupted };
  }
  toSwap(step, { kind: 'stop-between-waves' });
}

function onAnswer(step: LeaderStep, answer: RankAnswer): void {
  const { fence } = step.state;
  if (answer.fence !== null && isFenced(answer.fence, fence)) {
    step.state.swap = { ...step.state.swap, deposed: true };
    step.effects.push({ kind: 'deposed', by: answer.fence });
    return;
  }
  const { engine, rank } = answer;
  if (engine !== null) {
    const engines = new Map(step.state.engines).set(rank, describedBy(engine));
    const difference = groupDifference(situationOf(step.state), engine.description);
    step.state.engines = engines;
    const member = { rank, incarnation: engine.description.incarnation };
    if (difference !== null) tellStranger(step, member, difference);
  }
  hear(step, rank, witnessOfAnswer(answer, step.nowMs));
}

/** Records and proposals that the state tells as well are not kept with every engine. */
function describedBy({ description, state }: DescribedEngine): DescribedEngine {
  return { description, state: { ...state, outcomes: [], vote: null } };
}

const strangersMax = 1_024;

function tellStranger(step: LeaderStep, member: Member, field: string): void {
  const { strangers } = step.state;
  if (includesMember(strangers, member)) return;
  step.state.strangers = [...strangers, member].slice(-strangersMax);
  alarm(step, 'engines-disagree', { ...member, field });
}

function onCancel(step: LeaderStep, reason: string, askedBy: AskedBy | null): void {
  interrupt(step, { outcome: 'cancelled', reason: `${reason}${byAsker(askedBy)}` }, true);
  toSwap(step, { kind: 'cancel', reason });
}

function onControl(step: LeaderStep, control: ControlRecord): void {
  const evidence = { ...step.state.evidence, declared: control.dead };
  const areLimitsOthers = step.state.control.slotLimits !== control.slotLimits;
  step.state.control = control;
  step.state.evidence = evidence;
  weigh(step);
  if (areLimitsOthers) stopWhatFillsClosed(step);
  const { activity } = step.state;
  // What has happened to members is seen to; what somebody wants waits.
  const isWanted = activity !== null && (activity.request !== null || activity.change === 'drain');
  if (control.paused && isWanted) {
    const reason = `paused${byAsker(lastAsker(control.requests, 'pause'))}`;
    interrupt(step, { outcome: 'cancelled', reason }, false);
  }
}

function onRequest(step: LeaderStep, request: LeaderRequest): void {
  const { token } = request;
  const error = refuseRequest(step.state, request, step.nowMs);
  if (error !== null) {
    step.effects.push({ kind: 'request-refused', token, error });
    return;
  }
  step.state.requests = [...step.state.requests, request];
  step.effects.push({ kind: 'request-accepted', token });
}

function onTick(step: LeaderStep): void {
  const { state, nowMs } = step;
  const { fence, timings, swap, mapping, shunned } = state;
  const { cutAfterMs } = timings;
  const watched = watchLosses(state.evidence, swap.members, mapping, nowMs, cutAfterMs);
  state.evidence = watched.evidence;
  state.shunned = shunned.filter(({ untilMs }) => nowMs < untilMs);
  for (const member of watched.toCut) {
    step.effects.push({ kind: 'send-cut', message: { schema: 1, fence, member } });
  }
  severDead(step);
  if (watched.spared.length > 0) {
    alarm(step, 'degraded', { change: 'evacuation', lacks: 'slots', members: watched.spared });
  }
  if (watched.unproven.length > 0) {
    alarm(step, 'death-unproven', { members: watched.unproven });
  }
  const ranks = ranksToAsk(step.state);
  if (ranks.length > 0) step.effects.push({ kind: 'ask', ranks });
  toSwap(step, { kind: 'tick' });
}

/** Ranks whose engine is another than the one that has described itself. */
function ranksToAsk({ evidence, engines }: LeaderState): number[] {
  return [...evidence.witnesses]
    .filter(([rank, { engine }]) => {
      const known = engines.get(rank)?.description.incarnation;
      return engine !== null && engine.incarnation !== known;
    })
    .map(([rank]) => rank);
}

/** Ends what is over, and begins what goes first, for as long as that settles at once. */
function advance(step: LeaderStep): void {
  for (let round = 0; round < roundsMax; round += 1) {
    if (!isIdle(step.state)) {
      const { activity, swap } = step.state;
      // The open wave goes on in any case.
      const due = swap.waiting.length > 0 ? firstDue(step.state, step.nowMs) : null;
      if (activity !== null && due !== null && due.order < orderOf(activity.change)) {
        const reason = `a ${due.change} comes first${byAsker(due.askedBy)}`;
        interrupt(step, { outcome: 'superseded', reason }, false);
      }
      return;
    }
    const isOver = step.state.activity !== null || !step.state.started;
    conclude(step);
    // With its end members are others; whatever else may prove a death was weighed when it came.
    if (isOver) weigh(step);
    beginNext(step);
    if (step.state.activity === null) return;
  }
}

/** A version that nobody need follow is over at once: a few may be, one after another. */
const roundsMax = 8;

function conclude(step: LeaderStep): void {
  const { activity } = step.state;
  if (activity === null) return;
  step.state.activity = null;
  const { request, last, interrupted } = activity;
  if (request === null) return;
  const outcome = outcomeOf(activity);
  // A leave has no waves of its own making: it is planned again.
  if (request.change === 'leave' && outcome === 'superseded') {
    step.state.requests = [request, ...step.state.requests];
    return;
  }
  endRequest(step, request, outcome, interrupted?.reason ?? last?.reason ?? '');
}

function outcomeOf({ interrupted, last }: Activity): RequestOutcome {
  return interrupted?.outcome ?? last?.outcome ?? 'void';
}
