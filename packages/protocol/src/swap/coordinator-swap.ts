import { type DecidedVersion, sameBytes } from '../decided-version.js';
import { isFenced, sameFence } from '../fence.js';
import { membersWithout } from '../member.js';
import { hasLostExperts } from '../membership/has-lost-experts.js';
import type { Death } from '../membership/severed.js';
import type { RankReport, Vote } from '../messages.js';
import { withRank } from '../rank-table.js';
import {
  type Addressees,
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapResult,
  type CoordinatorSwapState,
  phaseDeadlineMs,
  swapStateOf,
} from './coordinator-swap-state.js';
import { decideCommitted, decideVoid, deposed, refused, unchanged } from './decide.js';
import {
  enter,
  isSound,
  missingMembers,
  type OpenSwap,
  phasesUntil,
  proposedSwap,
  refuseVote,
  resumedSwap,
  strayNumber,
} from './open-swap.js';
import { resendingAt, withNews } from './resending.js';
import { isTakenBy } from './untaken-outcome.js';

/*
 * The coordinator's side of the swap. One number is open at a time:
 *
 *   idle ──begin──▶ preparing ──all yes──▶ deciding(committed) ──created──▶ activating
 *                      │ no / deadline / cancel / death                          │ all activated
 *                      ▼                                                         ▼
 *                  deciding(void) ──created──▶ discarding ──▶ idle ◀──all──── retiring
 *
 * Every phase is driven by state, not by one-off answers: the phase's message is sent again
 * until the ranks' reports show that it has been followed (see resending.ts). A commit exists only
 * once its record is created (S1, S2); before that nothing but `prepare` is told.
 *
 * Who must vote: every member of the base and of the target that is not proven dead. Two leaders
 * with one base need the votes of the same living members, whose fence lets one of them through;
 * a leader whose base is old finds that the living members of that base have committed another.
 * The dead have no say since nobody can hear of what they act on: a vote counts once its engine is
 * severed from all of them. Whatever one of them may have acted on before had everybody else's vote
 * as well.
 */

/** One step of the machine; `nowMs` is the leader's own monotonic clock. */
export function stepCoordinatorSwap(
  state: CoordinatorSwapState,
  event: CoordinatorSwapEvent,
  nowMs: number,
): CoordinatorSwapResult {
  if (state.deposed) return unchanged(state);
  switch (event.kind) {
    case 'begin':
    case 'resume':
    case 'settle-number':
      if (state.open === null && state.waiting.length === 0) return start(state, event, nowMs);
      return refused(state, `${event.kind} while a swap is open`);
    case 'vote':
      return onVote(state, event.vote, nowMs);
    case 'report':
      return onReport(state, event.report, nowMs);
    case 'deaths':
      return onDeaths(state, event.dead, nowMs);
    case 'record-created':
      return onRecordCreated(state, event.version, nowMs);
    case 'record-exists':
      return onRecordExists(state, event.existing, nowMs);
    case 'record-unknown':
      // Settled by creating again, at the next tick: never by a read.
      return unchanged(state);
    case 'cancel':
      return onCancel(state, event.reason, nowMs);
    case 'withhold-retire':
    case 'retire':
      return onRetireDecision(state, event.kind, nowMs);
    case 'stop-between-waves':
      return unchanged({ ...state, waiting: [] });
    case 'tick':
      return onTick(state, nowMs);
  }
}

function start(
  state: CoordinatorSwapState,
  event: Extract<CoordinatorSwapEvent, { readonly kind: 'begin' | 'resume' | 'settle-number' }>,
  nowMs: number,
): CoordinatorSwapResult {
  switch (event.kind) {
    case 'begin':
      return openNext({ ...state, waiting: event.waves }, nowMs);
    case 'resume': {
      const { record, bytes, baseMembers = [] } = event;
      const open = resumedSwap(record, bytes, baseMembers, nowMs);
      return settle({ ...state, open }, nowMs, [outcomeOf(state, bytes, null)]);
    }
    case 'settle-number': {
      // Safe: the living members have all answered this term without a vote for it.
      const open = strayNumber(state, event.version, nowMs);
      const nextVersion = Math.max(state.nextVersion, event.version + 1);
      return decideVoid({ ...state, nextVersion }, open, event.reason, nowMs);
    }
  }
}

function openNext(state: CoordinatorSwapState, nowMs: number): CoordinatorSwapResult {
  const [wave, ...waiting] = state.waiting;
  if (wave === undefined) return unchanged(state);
  if (!isSound(wave)) return refused({ ...state, waiting: [] }, 'wave that is not what it says');
  const open = proposedSwap(state, wave, nowMs);
  if (membersWithout(open.voters, state.dead).length === 0) {
    return refused({ ...state, waiting: [] }, 'wave without a living voter');
  }
  const next = { ...state, waiting, open, nextVersion: state.nextVersion + 1 };
  return { state: next, effects: [prepareOf(next, open, null)] };
}

function prepareOf(
  { fence }: CoordinatorSwapState,
  open: OpenSwap,
  ranks: Addressees,
): CoordinatorSwapEffect {
  const message = { schema: 1, fence, proposal: open.proposalBytes } as const;
  return { kind: 'send-prepare', message, ranks };
}

function outcomeOf(
  { fence }: CoordinatorSwapState,
  record: Uint8Array,
  ranks: Addressees,
): CoordinatorSwapEffect {
  return { kind: 'send-outcome', message: { schema: 1, fence, record }, ranks };
}

function onVote(state: CoordinatorSwapState, vote: Vote, nowMs: number): CoordinatorSwapResult {
  const { open } = state;
  if (open?.phase !== 'preparing' || vote.version !== open.proposal.version) {
    return unchanged(state);
  }
  const field = refuseVote(open, state.dead, state.fence, vote);
  if (field !== null) {
    return refused(state, 'vote', { rank: vote.rank, version: vote.version, field });
  }
  if (!vote.yes) {
    const refused = { ...open, refusal: vote };
    return decideVoid(state, refused, `rank ${vote.rank}: ${vote.reason}`, nowMs);
  }
  const counted = { ...open, votes: new Set(open.votes).add(vote.incarnation) };
  return settle({ ...state, open: counted }, nowMs, []);
}

/**
 * The store has taken the outcome. It is told at once, and announced only when a rank has taken
 * it: a leader that is fenced everywhere may still get its record created, while the ranks act on
 * what another has decided.
 */
function onRecordCreated(
  state: CoordinatorSwapState,
  version: number,
  nowMs: number,
): CoordinatorSwapResult {
  const { open } = state;
  if (open?.phase !== 'deciding' || open.proposal.version !== version) return unchanged(state);
  const { record, recordBytes, voters } = open;
  if (record === null || recordBytes === null) return unchanged(state);
  const outcome = { version, outcome: record.outcome, record: recordBytes };
  const next: CoordinatorSwapState =
    record.outcome === 'committed'
      ? {
          ...state,
          newest: { version, digest: record.digest },
          members: record.members,
          voided: [],
        }
      : // A void ends the series: its later waves were planned on top of this one.
        { ...state, voided: [...state.voided, version], waiting: [] };
  const phase = record.outcome === 'committed' ? 'activating' : 'discarding';
  const untaken = [...state.untaken, { outcome, record, voters }];
  return settle({ ...next, untaken, open: enter(open, phase, nowMs) }, nowMs, [
    { kind: 'settled', outcome, record },
    outcomeOf(state, recordBytes, null),
  ]);
}

/**
 * A number of this leader was unknown to every rank and record when it took over, so what is there
 * is its own write, a later leader's, or a write of an earlier one that landed late. That one can
 * only be void, as nobody has voted for it: then void is the outcome here as well.
 */
function onRecordExists(
  state: CoordinatorSwapState,
  existing: DecidedVersion,
  nowMs: number,
): CoordinatorSwapResult {
  const { open } = state;
  const { version, record: recordBytes } = existing.known;
  if (open?.phase !== 'deciding' || open.proposal.version !== version) return unchanged(state);
  const { record } = existing;
  if (sameBytes(recordBytes, open.recordBytes)) return onRecordCreated(state, version, nowMs);
  if (record.outcome === 'void' && isFenced(state.fence, record.fence)) {
    return onRecordCreated({ ...state, open: { ...open, record, recordBytes } }, version, nowMs);
  }
  return deposed(state, record.fence);
}

function onDeaths(
  state: CoordinatorSwapState,
  dead: readonly Death[],
  nowMs: number,
): CoordinatorSwapResult {
  const next = { ...state, dead };
  const { open } = state;
  if (open === null) return unchanged(next);
  const [died] = membersWithout(dead, state.dead).filter(({ incarnation }) =>
    open.voters.some((voter) => voter.incarnation === incarnation),
  );
  if (open.phase === 'preparing' && died !== undefined) {
    return decideVoid(next, open, `rank ${died.rank} has died, ${died.incarnation}`, nowMs);
  }
  return settle(next, nowMs, []);
}

function onReport(
  state: CoordinatorSwapState,
  report: RankReport,
  nowMs: number,
): CoordinatorSwapResult {
  if (report.fence !== null && isFenced(report.fence, state.fence)) {
    return deposed(state, report.fence);
  }
  const reports = withRank(state.reports, report.rank, report);
  const heard = {
    ...state,
    reports,
    nextVersion: nextAbove(state, report),
    open: heardBy(state, report, nowMs),
  };
  const announced = announce(heard, report);
  return settle(announced.state, nowMs, announced.effects);
}

/** No rank votes on a number that it, or its agent for an engine before, has voted on or seen decided. */
function nextAbove({ nextVersion }: CoordinatorSwapState, report: RankReport): number {
  const votedUpTo = Math.max(report.votedUpTo ?? 0, report.engine?.votedUpTo ?? 0);
  return Math.max(nextVersion, votedUpTo + 1);
}

function heardBy(
  { open, reports }: CoordinatorSwapState,
  report: RankReport,
  nowMs: number,
): OpenSwap | null {
  if (open === null) return null;
  return withActivated(withNews(open, reports.get(report.rank), report, nowMs), report);
}

function withActivated(open: OpenSwap, { engine }: RankReport): OpenSwap {
  if (engine === null || engine.activatedVersion < open.proposal.version) {
    return open;
  }
  if (open.activated.has(engine.incarnation)) return open;
  return { ...open, activated: new Set(open.activated).add(engine.incarnation) };
}

function announce(state: CoordinatorSwapState, report: RankReport): CoordinatorSwapResult {
  const { engine } = report;
  if (engine === null || !sameFence(report.fence, state.fence)) return unchanged(state);
  const taken = state.untaken.filter((outcome) => isTakenBy(outcome, engine));
  if (taken.length === 0) return unchanged(state);
  const untaken = state.untaken.filter((outcome) => !taken.includes(outcome));
  const effects = taken.map(
    ({ outcome, record }): CoordinatorSwapEffect => ({ kind: 'decided', outcome, record }),
  );
  return { state: { ...state, untaken }, effects };
}

/** Moves on through every phase that the ranks' reports show to be complete. */
function settle(
  state: CoordinatorSwapState,
  nowMs: number,
  effects: readonly CoordinatorSwapEffect[],
): CoordinatorSwapResult {
  const { open } = state;
  if (open === null || missingMembers(open, state.dead, state.reports).length > 0) {
    return { state, effects };
  }
  const { version } = open.proposal;
  switch (open.phase) {
    case 'activating': {
      if (isExpertMissing(state, open)) {
        return { state, effects: [...effects, { kind: 'experts-missing', version }] };
      }
      const message = { schema: 1, fence: state.fence, version } as const;
      const retiring = { ...state, open: enter(open, 'retiring', nowMs) };
      return settle(retiring, nowMs, [...effects, { kind: 'send-retire', message }]);
    }
    case 'retiring':
      return finish({ ...state, retiredUpTo: version }, open, nowMs, effects);
    case 'discarding':
      return finish(state, open, nowMs, effects);
    case 'preparing': {
      const decided = decideCommitted(state, open, nowMs);
      return { state: decided.state, effects: [...effects, ...decided.effects] };
    }
    case 'deciding':
      return { state, effects };
  }
}

function isExpertMissing(state: CoordinatorSwapState, open: OpenSwap): boolean {
  if (open.retiresAnyway || open.mapping === null) return false;
  const living = membersWithout(open.proposal.members, state.dead);
  if (living.length === open.proposal.members.length) return false;
  return hasLostExperts(
    open.mapping,
    living.map(({ rank }) => rank),
  );
}

/** No rank has been seen to have taken the outcome, though some voter lives that may. */
function isUntaken(state: CoordinatorSwapState, open: OpenSwap): boolean {
  const { version } = open.proposal;
  if (!state.untaken.some(({ outcome }) => outcome.version === version)) return false;
  return membersWithout(open.voters, state.dead).length > 0;
}

function onRetireDecision(
  state: CoordinatorSwapState,
  decision: 'withhold-retire' | 'retire',
  nowMs: number,
): CoordinatorSwapResult {
  const { open } = state;
  if (open?.phase !== 'activating') return unchanged(state);
  if (missingMembers(open, state.dead, state.reports).length > 0) return unchanged(state);
  if (decision === 'withhold-retire') return finish(state, open, nowMs, []);
  return settle({ ...state, open: { ...open, retiresAnyway: true } }, nowMs, []);
}

function finish(
  state: CoordinatorSwapState,
  open: OpenSwap,
  nowMs: number,
  effects: readonly CoordinatorSwapEffect[],
): CoordinatorSwapResult {
  const finished: CoordinatorSwapEffect = {
    kind: 'swap-finished',
    version: open.proposal.version,
    outcome: open.record?.outcome ?? 'void',
    reason: open.record?.reason ?? '',
    durations: { ...phasesUntil(open, nowMs), totalMs: nowMs - open.startedAtMs },
    votes: {
      yes: open.votes.size,
      needed: membersWithout(open.voters, state.dead).length,
    },
    wavesLeft: state.waiting.length,
  };
  const next = openNext({ ...state, open: null }, nowMs);
  return { state: next.state, effects: [...effects, finished, ...next.effects] };
}

/** Ranks whose votes or reports do not yet show the open phase as followed. */
export function ranksMissing(state: CoordinatorSwapState, open: OpenSwap): number[] {
  return missingMembers(open, state.dead, state.reports).map(({ rank }) => rank);
}

function onCancel(
  state: CoordinatorSwapState,
  reason: string,
  nowMs: number,
): CoordinatorSwapResult {
  const stopped = { ...state, waiting: [] };
  const { open } = stopped;
  if (open?.phase !== 'preparing') return unchanged(stopped);
  return decideVoid(stopped, open, reason, nowMs);
}

function onTick(state: CoordinatorSwapState, nowMs: number): CoordinatorSwapResult {
  const { open } = state;
  const heartbeat: CoordinatorSwapEffect = { kind: 'send-state', message: swapStateOf(state) };
  if (open === null) return { state, effects: [heartbeat] };
  const phaseMs = nowMs - open.phaseSinceMs;
  if (open.phase === 'preparing' && phaseMs >= state.timings.prepareDeadlineMs) {
    const missing = ranksMissing(state, open).join(', ');
    const result = decideVoid(state, open, `no vote in time from rank ${missing}`, nowMs);
    return { state: result.state, effects: [heartbeat, ...result.effects] };
  }
  const isOverdue = phaseMs >= phaseDeadlineMs(state.timings, open.phase);
  if (open.phase === 'discarding' && isOverdue && !isUntaken(state, open)) {
    return finish(state, open, nowMs, [heartbeat]);
  }
  const members = missingMembers(open, state.dead, state.reports);
  const missingRanks = members.map(({ rank }) => rank);
  const resent = resend(state, open, missingRanks, nowMs);
  const effects = [heartbeat, ...resent.effects];
  if (open.alarmed || !isOverdue) return settle(resent.state, nowMs, effects);
  const fields = { version: open.proposal.version, phase: open.phase, missingRanks, members };
  const alarmed = { ...resent.state, open: { ...resent.open, alarmed: true } };
  return settle(alarmed, nowMs, [...effects, { kind: 'alarm', alarm: 'slow-phase', fields }]);
}

/** A record is created, and small messages are sent, at each tick; what holds a mapping is not. */
function resend(
  state: CoordinatorSwapState,
  open: OpenSwap,
  missingRanks: readonly number[],
  nowMs: number,
): CoordinatorSwapResult & { readonly open: OpenSwap } {
  const { fence } = state;
  const { recordBytes, phase } = open;
  const { version } = open.proposal;
  if (phase === 'retiring') {
    const message = { schema: 1, fence, version } as const;
    return { state, open, effects: [{ kind: 'send-retire', message }] };
  }
  if (phase === 'deciding') {
    const bytes = recordBytes;
    return {
      state,
      open,
      effects: bytes === null ? [] : [{ kind: 'create-record', version, bytes }],
    };
  }
  const { resends, ranks } = resendingAt(open, missingRanks, state.reports, nowMs);
  const next = { ...open, resends };
  const isDue = ranks === null || ranks.length > 0;
  const message =
    phase === 'preparing'
      ? prepareOf(state, open, ranks)
      : recordBytes && outcomeOf(state, recordBytes, ranks);
  const effects = isDue && message !== null ? [message] : [];
  return { state: { ...state, open: next }, open: next, effects };
}
