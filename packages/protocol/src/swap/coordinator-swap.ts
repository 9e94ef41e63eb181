import type { Change } from '../change.js';
import { type DecidedVersion, sameBytes } from '../decided-version.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import type { KnownOutcome } from '../known-outcome.js';
import {
  type CommittedRecord,
  encodeMapRecord,
  type MapRecord,
  type VoidRecord,
  type WholeMapping,
} from '../map-record.js';
import type { Member } from '../member.js';
import type { OutcomeMessage, Prepare, RankReport, Retire, SwapState, Vote } from '../messages.js';
import { encodeProposal, type Proposal } from '../proposal.js';

/*
 * The coordinator's side of the swap. One number is open at a time:
 *
 *   idle ──begin──▶ preparing ──all yes──▶ deciding(committed) ──created──▶ activating
 *                      │ no / deadline / cancel                                 │ all activated
 *                      ▼                                                        ▼
 *                  deciding(void) ──created──▶ discarding ──▶ idle ◀──all── retiring
 *
 * Every phase is driven by state, not by one-off answers: the phase's message is sent again
 * at each tick until the ranks' reports show that it has been followed. A commit exists only
 * once its record is created (S1, S2); before that nothing but `prepare` is told.
 */

/** Content of one wave; the machine gives it number, base and votes. */
export interface Wave {
  readonly change: Change;
  readonly reason: string;
  /** The whole mapping that results. */
  readonly mapping: WholeMapping;
  readonly digest: string;
  readonly layers: Int32Array;
  readonly rows: Int32Array;
  /** As Proposal.transfers. */
  readonly transfers: Int32Array;
  /** The members that result; those of the base where absent. */
  readonly members?: readonly Member[];
}

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

export type OpenPhase = 'preparing' | 'deciding' | 'activating' | 'retiring' | 'discarding';

export interface OpenSwap {
  readonly wave: Wave;
  readonly proposal: Proposal;
  readonly proposalBytes: Uint8Array;
  readonly phase: OpenPhase;
  readonly phaseSinceMs: number;
  readonly startedAtMs: number;
  readonly alarmed: boolean;
  /** Ranks that have voted yes. */
  readonly votes: ReadonlySet<number>;
  /** Set from `deciding` on. */
  readonly record: MapRecord | null;
  readonly recordBytes: Uint8Array | null;
}

export interface CoordinatorSwapState {
  readonly fence: Fence;
  readonly timings: SwapTimings;
  readonly newest: { readonly version: number; readonly digest: string };
  /** Versions decided void since `newest`. */
  readonly voided: readonly number[];
  readonly members: readonly Member[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
  /** Waves of the rebalance that have not begun. */
  readonly waiting: readonly Wave[];
  readonly open: OpenSwap | null;
  readonly reports: ReadonlyMap<number, RankReport>;
  /** Fenced by another leader: nothing is told or decided any more. */
  readonly deposed: boolean;
}

export type CoordinatorSwapEvent =
  | { readonly kind: 'begin'; readonly waves: readonly Wave[] }
  /** After a takeover: sees to it that the newest committed version is followed by all. */
  | { readonly kind: 'resume'; readonly record: CommittedRecord; readonly bytes: Uint8Array }
  | { readonly kind: 'vote'; readonly vote: Vote }
  | { readonly kind: 'report'; readonly report: RankReport }
  | { readonly kind: 'record-created'; readonly version: number }
  /** The store has an outcome of that number: the same, or another. */
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  | { readonly kind: 'record-unknown'; readonly version: number }
  | { readonly kind: 'cancel'; readonly reason: string }
  /** Waves that have not begun never will; the open one goes on. */
  | { readonly kind: 'stop-between-waves' }
  | { readonly kind: 'tick' };

export interface SwapDurations {
  readonly totalMs: number;
}

export type CoordinatorSwapEffect =
  | { readonly kind: 'send-prepare'; readonly message: Prepare }
  | { readonly kind: 'send-outcome'; readonly message: OutcomeMessage }
  | { readonly kind: 'send-retire'; readonly message: Retire }
  | { readonly kind: 'send-state'; readonly message: SwapState }
  | { readonly kind: 'create-record'; readonly version: number; readonly bytes: Uint8Array }
  /** A version is decided; the mapping in force changes with a committed one. */
  | { readonly kind: 'decided'; readonly outcome: KnownOutcome; readonly record: MapRecord }
  | {
      readonly kind: 'swap-finished';
      readonly version: number;
      readonly outcome: 'committed' | 'void';
      readonly reason: string;
      readonly durations: SwapDurations;
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
      /** version, phase, missingRanks */
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
  readonly newest: { readonly version: number; readonly digest: string };
  readonly voided: readonly number[];
  readonly members: readonly Member[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
}

export function initialCoordinatorSwap(start: CoordinatorSwapStart): CoordinatorSwapState {
  return { ...start, waiting: [], open: null, reports: new Map(), deposed: false };
}

/** One step of the machine; `nowMs` is the leader's own monotonic clock. */
export function stepCoordinatorSwap(
  state: CoordinatorSwapState,
  event: CoordinatorSwapEvent,
  nowMs: number,
): CoordinatorSwapResult {
  if (state.deposed) return { state, effects: [] };
  switch (event.kind) {
    case 'begin':
      return begin(state, event.waves, nowMs);
    case 'resume':
      return resume(state, event.record, event.bytes, nowMs);
    case 'vote':
      return onVote(state, event.vote, nowMs);
    case 'report':
      return onReport(state, event.report, nowMs);
    case 'record-created':
      return onRecordCreated(state, event.version, nowMs);
    case 'record-exists':
      return onRecordExists(state, event.existing, nowMs);
    case 'record-unknown':
      // Settled by creating again, at the next tick: never by a read.
      return { state, effects: [] };
    case 'cancel':
      return onCancel(state, event.reason, nowMs);
    case 'stop-between-waves':
      return { state: { ...state, waiting: [] }, effects: [] };
    case 'tick':
      return onTick(state, nowMs);
  }
}

function begin(
  state: CoordinatorSwapState,
  waves: readonly Wave[],
  nowMs: number,
): CoordinatorSwapResult {
  if (state.open !== null || state.waiting.length > 0) {
    const fields = { open: state.open?.proposal.version ?? null };
    return { state, effects: [{ kind: 'refused', what: 'begin while a swap is open', fields }] };
  }
  return openNext({ ...state, waiting: waves }, nowMs);
}

function openNext(state: CoordinatorSwapState, nowMs: number): CoordinatorSwapResult {
  const [wave, ...waiting] = state.waiting;
  if (wave === undefined) return { state, effects: [] };
  const proposal: Proposal = {
    schema: 1,
    version: state.nextVersion,
    base: state.newest,
    digest: wave.digest,
    members: [...state.members],
    voided: [...state.voided],
    change: wave.change,
    reason: wave.reason,
    layers: wave.layers,
    rows: wave.rows,
    transfers: wave.transfers,
  };
  const open: OpenSwap = {
    wave,
    proposal,
    proposalBytes: encodeProposal(proposal),
    phase: 'preparing',
    phaseSinceMs: nowMs,
    startedAtMs: nowMs,
    alarmed: false,
    votes: new Set(),
    record: null,
    recordBytes: null,
  };
  const next = { ...state, waiting, open, nextVersion: state.nextVersion + 1 };
  return { state: next, effects: [prepareOf(next, open)] };
}

function resume(
  state: CoordinatorSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
  nowMs: number,
): CoordinatorSwapResult {
  if (state.open !== null) {
    const fields = { open: state.open.proposal.version };
    return { state, effects: [{ kind: 'refused', what: 'resume while a swap is open', fields }] };
  }
  const { version, base, digest, members, voided, change, reason, mapping } = record;
  const nothing = {
    layers: new Int32Array(0),
    rows: new Int32Array(0),
    transfers: new Int32Array(0),
  };
  const open: OpenSwap = {
    wave: { change, reason, mapping, digest, ...nothing },
    proposal: { schema: 1, version, base, digest, members, voided, change, reason, ...nothing },
    proposalBytes: new Uint8Array(0),
    phase: 'activating',
    phaseSinceMs: nowMs,
    startedAtMs: nowMs,
    alarmed: false,
    votes: new Set(),
    record,
    recordBytes,
  };
  const message = { schema: 1, fence: state.fence, record: recordBytes } as const;
  return settle({ ...state, open }, nowMs, [{ kind: 'send-outcome', message }]);
}

function prepareOf(state: CoordinatorSwapState, open: OpenSwap): CoordinatorSwapEffect {
  const message = { schema: 1, fence: state.fence, proposal: open.proposalBytes } as const;
  return { kind: 'send-prepare', message };
}

function onVote(state: CoordinatorSwapState, vote: Vote, nowMs: number): CoordinatorSwapResult {
  const { open } = state;
  if (open?.phase !== 'preparing' || vote.version !== open.proposal.version) {
    return { state, effects: [] };
  }
  const refusal = refuseVote(state, open, vote);
  if (refusal !== null) {
    const fields = { rank: vote.rank, version: vote.version, field: refusal };
    return { state, effects: [{ kind: 'refused', what: 'vote', fields }] };
  }
  if (!vote.yes) return decideVoid(state, open, `rank ${vote.rank}: ${vote.reason}`, nowMs);
  const votes = new Set(open.votes).add(vote.rank);
  const counted = { ...open, votes };
  if (state.members.every((member) => votes.has(member.rank))) {
    return decideCommitted(state, counted, nowMs);
  }
  return { state: { ...state, open: counted }, effects: [] };
}

/** The field by which a vote is not one for the open proposal, null where it counts. */
function refuseVote(state: CoordinatorSwapState, open: OpenSwap, vote: Vote): string | null {
  const member = state.members.find((candidate) => candidate.rank === vote.rank);
  if (!sameFence(vote.fence, state.fence)) return 'fence';
  if (member === undefined) return 'rank';
  if (member.incarnation !== vote.incarnation) return 'incarnation';
  if (vote.digest !== open.proposal.digest) return 'digest';
  const { base } = open.proposal;
  if (vote.base.version !== base.version || vote.base.digest !== base.digest) return 'base';
  return null;
}

function decideCommitted(
  state: CoordinatorSwapState,
  open: OpenSwap,
  nowMs: number,
): CoordinatorSwapResult {
  const { proposal, wave } = open;
  const record: CommittedRecord = {
    schema: 1,
    outcome: 'committed',
    version: proposal.version,
    fence: state.fence,
    change: proposal.change,
    reason: proposal.reason,
    base: proposal.base,
    digest: proposal.digest,
    mapping: wave.mapping,
    members: proposal.members,
    voided: proposal.voided,
  };
  return decide(state, open, record, nowMs);
}

function decideVoid(
  state: CoordinatorSwapState,
  open: OpenSwap,
  reason: string,
  nowMs: number,
): CoordinatorSwapResult {
  const record: VoidRecord = {
    schema: 1,
    outcome: 'void',
    version: open.proposal.version,
    fence: state.fence,
    reason: reason.slice(0, 1_000),
  };
  return decide(state, open, record, nowMs);
}

function decide(
  state: CoordinatorSwapState,
  open: OpenSwap,
  record: MapRecord,
  nowMs: number,
): CoordinatorSwapResult {
  const recordBytes = encodeMapRecord(record);
  const deciding = enter({ ...open, record, recordBytes }, 'deciding', nowMs);
  return {
    state: { ...state, open: deciding },
    effects: [{ kind: 'create-record', version: record.version, bytes: recordBytes }],
  };
}

function enter(open: OpenSwap, phase: OpenPhase, nowMs: number): OpenSwap {
  return { ...open, phase, phaseSinceMs: nowMs, alarmed: false };
}

function onRecordCreated(
  state: CoordinatorSwapState,
  version: number,
  nowMs: number,
): CoordinatorSwapResult {
  const { open } = state;
  if (open?.phase !== 'deciding' || open.proposal.version !== version) {
    return { state, effects: [] };
  }
  const { record, recordBytes } = open;
  if (record === null || recordBytes === null) return { state, effects: [] };
  const outcome = { version, outcome: record.outcome, record: recordBytes };
  const committed = record.outcome === 'committed';
  const next: CoordinatorSwapState = committed
    ? { ...state, newest: { version, digest: record.digest }, voided: [] }
    : // A void ends the rebalance: its later waves were planned on top of this one.
      { ...state, voided: [...state.voided, version], waiting: [] };
  const told = { ...next, open: enter(open, committed ? 'activating' : 'discarding', nowMs) };
  return settle(told, nowMs, [
    { kind: 'decided', outcome, record },
    { kind: 'send-outcome', message: { schema: 1, fence: state.fence, record: recordBytes } },
  ]);
}

function onRecordExists(
  state: CoordinatorSwapState,
  existing: DecidedVersion,
  nowMs: number,
): CoordinatorSwapResult {
  const { version, record } = existing.known;
  if (state.open?.phase !== 'deciding' || state.open.proposal.version !== version) {
    return { state, effects: [] };
  }
  if (sameBytes(record, state.open.recordBytes)) return onRecordCreated(state, version, nowMs);
  // Another leader has decided this number otherwise: this one no longer leads.
  const by = state.fence;
  return { state: { ...state, deposed: true }, effects: [{ kind: 'deposed', by }] };
}

function onReport(
  state: CoordinatorSwapState,
  report: RankReport,
  nowMs: number,
): CoordinatorSwapResult {
  if (report.fence !== null && isFenced(report.fence, state.fence)) {
    return { state: { ...state, deposed: true }, effects: [{ kind: 'deposed', by: report.fence }] };
  }
  const reports = new Map(state.reports).set(report.rank, report);
  return settle({ ...state, reports }, nowMs, []);
}

/** Moves on through every phase that the ranks' reports show to be complete. */
function settle(
  state: CoordinatorSwapState,
  nowMs: number,
  effects: readonly CoordinatorSwapEffect[],
): CoordinatorSwapResult {
  const { open } = state;
  if (open === null || ranksMissing(state, open).length > 0) return { state, effects };
  switch (open.phase) {
    case 'activating': {
      const retiring = { ...state, open: enter(open, 'retiring', nowMs) };
      const version = open.proposal.version;
      const message = { schema: 1, fence: state.fence, version } as const;
      return settle(retiring, nowMs, [...effects, { kind: 'send-retire', message }]);
    }
    case 'retiring':
      return finish({ ...state, retiredUpTo: open.proposal.version }, open, nowMs, effects);
    case 'discarding':
      return finish(state, open, nowMs, effects);
    case 'preparing':
    case 'deciding':
      return { state, effects };
  }
}

function finish(
  state: CoordinatorSwapState,
  open: OpenSwap,
  nowMs: number,
  effects: readonly CoordinatorSwapEffect[],
): CoordinatorSwapResult {
  const committed = open.record?.outcome === 'committed';
  const finished: CoordinatorSwapEffect = {
    kind: 'swap-finished',
    version: open.proposal.version,
    outcome: committed ? 'committed' : 'void',
    reason: open.record?.reason ?? '',
    durations: { totalMs: nowMs - open.startedAtMs },
    wavesLeft: state.waiting.length,
  };
  const next = openNext({ ...state, open: null }, nowMs);
  return { state: next.state, effects: [...effects, finished, ...next.effects] };
}

/** Members whose reports do not yet show the open phase as followed. */
export function ranksMissing(state: CoordinatorSwapState, open: OpenSwap): number[] {
  const { version } = open.proposal;
  return state.members
    .filter((member) => {
      if (open.phase === 'preparing') return !open.votes.has(member.rank);
      const engine = state.reports.get(member.rank)?.engine;
      if (engine == null || engine.incarnation !== member.incarnation) return true;
      if (open.phase === 'activating') return engine.activatedVersion < version;
      if (open.phase === 'retiring') return engine.retiredUpTo < version;
      if (open.phase === 'discarding')
        return engine.votedUpTo < version || engine.openVote === version;
      return false;
    })
    .map((member) => member.rank);
}

function onCancel(
  state: CoordinatorSwapState,
  reason: string,
  nowMs: number,
): CoordinatorSwapResult {
  const stopped = { ...state, waiting: [] };
  const { open } = stopped;
  if (open?.phase !== 'preparing') return { state: stopped, effects: [] };
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
  if (open.phase === 'discarding' && phaseMs >= state.timings.discardDeadlineMs) {
    return finish(state, open, nowMs, [heartbeat]);
  }
  const resend = resendOf(state, open);
  if (open.alarmed || phaseMs < alarmAfterMs(state.timings, open.phase)) {
    return { state, effects: [heartbeat, ...resend] };
  }
  const { version } = open.proposal;
  const fields = { version, phase: open.phase, missingRanks: ranksMissing(state, open) };
  const alarm: CoordinatorSwapEffect = { kind: 'alarm', alarm: 'slow-phase', fields };
  const alarmed = { ...state, open: { ...open, alarmed: true } };
  return { state: alarmed, effects: [heartbeat, ...resend, alarm] };
}

function alarmAfterMs(timings: SwapTimings, phase: OpenPhase): number {
  if (phase === 'deciding') return timings.decideDeadlineMs;
  if (phase === 'activating') return timings.activateDeadlineMs;
  if (phase === 'retiring') return timings.retireDeadlineMs;
  return Number.POSITIVE_INFINITY;
}

function resendOf(state: CoordinatorSwapState, open: OpenSwap): readonly CoordinatorSwapEffect[] {
  const { fence } = state;
  const { version } = open.proposal;
  switch (open.phase) {
    case 'preparing':
      return [prepareOf(state, open)];
    case 'deciding':
      if (open.recordBytes === null) return [];
      return [{ kind: 'create-record', version, bytes: open.recordBytes }];
    case 'activating':
    case 'discarding':
      if (open.recordBytes === null) return [];
      return [{ kind: 'send-outcome', message: { schema: 1, fence, record: open.recordBytes } }];
    case 'retiring':
      return [{ kind: 'send-retire', message: { schema: 1, fence, version } }];
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
