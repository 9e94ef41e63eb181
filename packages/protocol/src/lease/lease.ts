import { decode, encode } from '../codec.js';
import { sameBytes } from '../decided-version.js';
import { type Fence, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import { type LeaderRecord, leaderRecordSchema } from '../leader-record.js';
import {
  isPending,
  type LeaseEffect,
  type LeaseEvent,
  type LeaseOptions,
  type LeasePhase,
  type LeaseResult,
  type LeaseState,
  overdueMs,
  type SeenRecord,
  type StoredBytes,
  type WriteResult,
} from './lease-types.js';

/*
 * Who leads. The lease is a record that its holder changes again and again:
 *
 *   watching ──unchanged for leaseMs, released, or none──▶ claiming ──set──▶ holding
 *      ▲                                                      │                │
 *      └──────── conflict, in doubt, refused ─────────────────┘                │
 *      └──────── written by another, renewDeadlineMs over, outranked ──────────┘
 *
 * Candidates time the record's changes on their own monotonic clock; no time of another machine
 * and no expiry of the store is trusted. Claims and renewals are writes that expect the revision
 * read, and they alone decide: a read only says what to try. A write in doubt is settled by the next
 * one. The holder counts from the start of its last successful write, and stops by itself well
 * before anyone else may claim. The lease makes two leaders unlikely; the fence makes them harmless.
 */

export function initialLease(options: LeaseOptions): LeaseState {
  return {
    options,
    phase: { kind: 'watching', seen: null, readAtMs: Number.NEGATIVE_INFINITY },
    pending: null,
    nextToken: 1,
    writes: 0,
    highestTerm: 0,
    lastHolder: null,
    givingUp: null,
    claimAtMs: Number.NEGATIVE_INFINITY,
  };
}

/** The fence under which this process may lead at that moment, null where it may not. */
export function heldFence(state: LeaseState, nowMs: number): Fence | null {
  const { phase, givingUp } = state;
  if (phase.kind !== 'holding' || givingUp !== null || isOver(state, nowMs)) return null;
  return phase.fence;
}

function isOver({ phase, options }: LeaseState, nowMs: number): boolean {
  return phase.kind === 'holding' && nowMs - phase.writtenAtMs >= options.timings.renewDeadlineMs;
}

/** One step of the machine; `nowMs` is the process's own monotonic clock. */
export function stepLease(state: LeaseState, event: LeaseEvent, nowMs: number): LeaseResult {
  // Before anything else: who wakes from a pause may long have been followed by another.
  const expired = expire(state, nowMs);
  const stepped = handle(expired.state, event, nowMs);
  const went = goOn(stepped.state, nowMs);
  if (expired.effects.length === 0 && stepped.effects.length === 0) return went;
  return {
    state: went.state,
    effects: [...expired.effects, ...stepped.effects, ...went.effects],
  };
}

function expire(state: LeaseState, nowMs: number): LeaseResult {
  const { phase, options } = state;
  if (phase.kind !== 'holding' || !isOver(state, nowMs)) return keep(state);
  const why = `not renewed within ${options.timings.renewDeadlineMs} ms`;
  return lose(state, phase.fence, why, nowMs);
}

function handle(state: LeaseState, event: LeaseEvent, nowMs: number): LeaseResult {
  switch (event.kind) {
    case 'tick':
      return keep(dropOverdue(state, nowMs));
    case 'outranked':
      return onOutranked(state, event.by, nowMs);
    case 'yield':
      return heldFence(state, nowMs) === null
        ? keep(state)
        : giveUp(state, state.options.timings.leaseMs, 'it can not lead as things are', nowMs);
    case 'release':
      return giveUp(state, Number.POSITIVE_INFINITY, 'it is being stopped', nowMs);
    default:
      break;
  }
  if (state.pending?.token !== event.token) return keep(state);
  const { startedAtMs } = state.pending;
  const settled = { ...state, pending: null };
  switch (event.kind) {
    case 'leader-read':
      return onRead(settled, event.stored, nowMs);
    case 'leader-read-failed':
      return keep(retryLater(settled, startedAtMs));
    case 'leader-written':
      return onWritten(settled, event.result, startedAtMs, nowMs);
  }
}

/** Asks the store for what is due, where nothing is pending. */
function goOn(state: LeaseState, nowMs: number): LeaseResult {
  const { phase } = state;
  if (state.givingUp !== null && phase.kind === 'watching') return end(state, nowMs);
  if (state.pending !== null) return keep(state);
  if (state.givingUp !== null) {
    return phase.kind === 'holding' ? writeRelease(state, nowMs) : end(state, nowMs);
  }
  if (phase.kind === 'watching' && nowMs >= phase.readAtMs) return read(state, nowMs);
  if (phase.kind !== 'holding' || nowMs < phase.nextAtMs) return keep(state);
  return phase.next === 'read' ? read(state, nowMs) : renew(state, nowMs);
}

function keep(state: LeaseState): LeaseResult {
  return { state, effects: [] };
}

function dropOverdue(state: LeaseState, nowMs: number): LeaseState {
  const { pending, options } = state;
  if (pending === null || isPending(pending, overdueMs(options.timings), nowMs)) return state;
  return retryLater({ ...state, pending: null }, pending.startedAtMs);
}

/** The attempt that began then has failed or is in doubt: another follows, not at once. */
function retryLater(state: LeaseState, startedAtMs: number): LeaseState {
  const atMs = startedAtMs + state.options.timings.retryMs;
  const { phase } = state;
  if (phase.kind === 'holding') return { ...state, phase: { ...phase, nextAtMs: atMs } };
  if (phase.kind === 'watching') return { ...state, phase: { ...phase, readAtMs: atMs } };
  if (phase.kind !== 'claiming') return state;
  // What was seen is kept: a claim that has landed shows as a record of one's own, another's as a change.
  return { ...state, phase: { kind: 'watching', seen: phase.seen, readAtMs: atMs } };
}

function onRead(state: LeaseState, stored: StoredBytes | null, nowMs: number): LeaseResult {
  const { phase } = state;
  if (phase.kind === 'holding') return onOwnRead(state, phase, stored, nowMs);
  if (phase.kind !== 'watching') return keep(state);
  const before = phase.seen;
  const unchanged = before !== null && sameStored(before.stored, stored);
  const seen = unchanged ? before : { stored, ...readRecord(stored), sinceMs: nowMs };
  const { record, error } = seen;
  const next: LeaseState = {
    ...noteRecord(state, record),
    phase: { kind: 'watching', seen, readAtMs: nowMs + state.options.timings.retryMs },
  };
  if (error !== null) {
    return { state: next, effects: unchanged ? [] : [{ kind: 'leader-unreadable', error }] };
  }
  const free = isFree(next, seen, before === null);
  const { leaseMs } = state.options.timings;
  if (next.highestTerm >= Number.MAX_SAFE_INTEGER) {
    return { state: next, effects: unchanged ? [] : [noTermLeft(next.highestTerm)] };
  }
  const claimable = nowMs >= state.claimAtMs && (free || nowMs - seen.sinceMs >= leaseMs);
  return claimable ? claim(next, seen, nowMs) : keep(next);
}

function noTermLeft(term: number): LeaseEffect {
  const text = `no term comes after ${term}: no coordinator wrote that`;
  const error = new IsobarError('ISOBAR_COORDINATOR_TERMS_EXHAUSTED', text, { term });
  return { kind: 'leader-unreadable', error };
}

/** Whether a record may be claimed without waiting for its holder's lease to run out. */
function isFree(state: LeaseState, seen: SeenRecord, isFirst: boolean): boolean {
  // A record that was there and is gone may have been lost while its holder leads on.
  if (seen.record === null) return isFirst;
  return seen.record.holder === null || seen.record.fence.nonce === state.options.nonce;
}

function readRecord(stored: StoredBytes | null): {
  readonly record: LeaderRecord | null;
  readonly error: IsobarError | null;
} {
  if (stored === null) return { record: null, error: null };
  try {
    return { record: decode('leader record', stored.bytes, leaderRecordSchema), error: null };
  } catch (error) {
    if (!(error instanceof IsobarError)) throw error;
    return { record: null, error };
  }
}

function noteRecord(state: LeaseState, record: LeaderRecord | null): LeaseState {
  if (record === null) return state;
  const highestTerm = Math.max(state.highestTerm, record.fence.term);
  const { holder } = record;
  if (highestTerm === state.highestTerm && holder === state.lastHolder) return state;
  return { ...state, highestTerm, lastHolder: holder };
}

function sameStored(left: StoredBytes | null, right: StoredBytes | null): boolean {
  if (left === null || right === null) return left === right;
  return left.revision === right.revision && sameBytes(left.bytes, right.bytes);
}

function claim(state: LeaseState, seen: SeenRecord, nowMs: number): LeaseResult {
  const fence = { term: state.highestTerm + 1, nonce: state.options.nonce };
  const claiming: LeaseState = {
    ...state,
    highestTerm: fence.term,
    phase: { kind: 'claiming', seen, fence },
  };
  const { holder } = state.options;
  return write(claiming, { holder, fence }, seen.stored?.revision ?? 0, nowMs);
}

function renew(state: LeaseState, nowMs: number): LeaseResult {
  const { phase, options } = state;
  if (phase.kind !== 'holding') return keep(state);
  return write(state, { holder: options.holder, fence: phase.fence }, phase.revision, nowMs);
}

function write(
  state: LeaseState,
  { holder, fence }: Pick<LeaderRecord, 'holder' | 'fence'>,
  expectedRevision: number,
  nowMs: number,
): LeaseResult {
  const record: LeaderRecord = { schema: 1, holder, fence, renewals: state.writes };
  const token = state.nextToken;
  return {
    state: { ...begin(state, nowMs), writes: state.writes + 1 },
    effects: [{ kind: 'write-leader', token, bytes: encode(record), expectedRevision }],
  };
}

function read(state: LeaseState, nowMs: number): LeaseResult {
  const { nextToken: token } = state;
  return { state: begin(state, nowMs), effects: [{ kind: 'read-leader', token }] };
}

function begin(state: LeaseState, nowMs: number): LeaseState {
  const { nextToken: token } = state;
  return { ...state, nextToken: token + 1, pending: { token, startedAtMs: nowMs } };
}

function onWritten(
  state: LeaseState,
  result: WriteResult,
  startedAtMs: number,
  nowMs: number,
): LeaseResult {
  const { phase } = state;
  if (phase.kind === 'releasing') return end(state, nowMs);
  if (phase.kind !== 'claiming' && phase.kind !== 'holding') return keep(state);
  if (result.kind === 'set') return hold(state, phase, result.revision, startedAtMs, nowMs);
  if (result.kind === 'conflict' && phase.kind === 'holding') {
    return keep({ ...state, phase: { ...phase, next: 'read', nextAtMs: nowMs } });
  }
  return keep(retryLater(state, startedAtMs));
}

function hold(
  state: LeaseState,
  phase: Extract<LeasePhase, { readonly kind: 'claiming' | 'holding' }>,
  revision: number,
  startedAtMs: number,
  nowMs: number,
): LeaseResult {
  const { renewMs } = state.options.timings;
  const holding: LeaseState = {
    ...state,
    lastHolder: state.options.holder,
    phase: {
      kind: 'holding',
      fence: phase.fence,
      revision,
      writtenAtMs: startedAtMs,
      next: 'write',
      nextAtMs: startedAtMs + renewMs,
    },
  };
  // A claim that took too long to answer is over before it began.
  const expired = expire(holding, nowMs);
  if (expired.effects.length > 0) return { state: expired.state, effects: [] };
  if (phase.kind === 'holding' || state.givingUp !== null) return keep(holding);
  return { state: holding, effects: [{ kind: 'lease-held', fence: phase.fence }] };
}

/** The holder reads what has come in its way: its own renewal that was in doubt, or another's claim. */
function onOwnRead(
  state: LeaseState,
  phase: Extract<LeasePhase, { readonly kind: 'holding' }>,
  stored: StoredBytes | null,
  nowMs: number,
): LeaseResult {
  const { record } = readRecord(stored);
  const noted = noteRecord(state, record);
  if (stored === null || record === null || !sameFence(record.fence, phase.fence)) {
    const why =
      record === null ? 'the leader record is gone' : 'another has written the leader record';
    return lose(noted, phase.fence, why, nowMs);
  }
  // The revision that was refused, once more: the read may be old, and is not asked in a hurry.
  const isNew = stored.revision !== phase.revision;
  const nextAtMs = isNew ? nowMs : nowMs + state.options.timings.retryMs;
  const next = { ...phase, revision: stored.revision, next: 'write', nextAtMs } as const;
  return keep({ ...noted, phase: next });
}

function lose(state: LeaseState, fence: Fence, why: string, nowMs: number): LeaseResult {
  const lost: LeaseState = {
    ...state,
    pending: null,
    phase: { kind: 'watching', seen: null, readAtMs: nowMs },
  };
  return {
    state: lost,
    effects: state.givingUp !== null ? [] : [{ kind: 'lease-lost', fence, why }],
  };
}

/** Refused by those who know a higher term: the holder of the lease claims one above it at once. */
function onOutranked(state: LeaseState, by: Fence, nowMs: number): LeaseResult {
  const known = { ...state, highestTerm: Math.max(state.highestTerm, by.term) };
  const { phase } = state;
  if (phase.kind !== 'holding') return keep(known);
  // Its next read shows a record of its own, which it may claim without waiting.
  return lose(known, phase.fence, `outranked by term ${by.term}`, nowMs);
}

/** Leads no more from now on. */
function giveUp(state: LeaseState, forMs: number, why: string, nowMs: number): LeaseResult {
  const fence = heldFence(state, nowMs);
  const givingUp: LeaseState = { ...state, givingUp: { untilMs: nowMs + forMs } };
  return {
    state: givingUp,
    effects: fence === null ? [] : [{ kind: 'lease-lost', fence, why }],
  };
}

function writeRelease(state: LeaseState, nowMs: number): LeaseResult {
  const { phase } = state;
  if (phase.kind !== 'holding') return end(state, nowMs);
  const releasing: LeaseState = { ...state, phase: { kind: 'releasing' } };
  return write(releasing, { holder: null, fence: phase.fence }, phase.revision, nowMs);
}

/** It holds the lease no longer, whatever became of the write that gave it up. */
function end(state: LeaseState, nowMs: number): LeaseResult {
  const { givingUp, phase } = state;
  if (phase.kind === 'released') return keep(state);
  const left = { ...state, pending: null };
  if (givingUp?.untilMs === Number.POSITIVE_INFINITY) {
    const released = { ...left, phase: { kind: 'released' } } as const;
    return { state: released, effects: [{ kind: 'lease-released' }] };
  }
  const watching = { kind: 'watching', seen: null, readAtMs: nowMs } as const;
  const claimAtMs = givingUp?.untilMs ?? state.claimAtMs;
  return keep({ ...left, phase: watching, givingUp: null, claimAtMs });
}
