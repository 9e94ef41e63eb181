import type { Fence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import { newestOutcomes } from '../known-outcome.js';
import type { CommittedRecord, MapRecord, VoidRecord } from '../map-record.js';
import { includesMember, type Member } from '../member.js';
import { sameVersion } from '../version-in-force.js';
import {
  committedMembers,
  type EngineSwapState,
  isLeaving,
  raiseFence,
  votedMembers,
} from './engine-swap.js';

/*
 * How an engine takes outcomes: told by its agent under a fence, or by a peer that has acted on
 * them (rule S6). Nothing else moves what it holds as committed.
 */

/**
 * - `switch`: route by the version from the next boundary on
 * - `adopt`: hold its mapping as the base of the next version; nothing is routed by it
 * - `stop`: the engine is no member any more: it takes no requests from now on
 * - `discard`: nothing but what `discarded` says
 * - `none`: already known, or of no consequence here
 */
export type OutcomeAction = 'switch' | 'adopt' | 'stop' | 'discard' | 'none';

export interface OutcomeTaken {
  readonly state: EngineSwapState;
  readonly action: OutcomeAction;
  /** The version whose vote or staging has ended without its being followed: free its buffers. */
  readonly discarded: number | null;
}

/**
 * Takes an outcome that a leader tells. A member that is not listed by a version it voted for
 * switches first, and stops when it has activated it (`recordActivated`).
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_NOT_STAGED where a committed version
 *   that lists this engine was never voted for here with that digest;
 *   ISOBAR_ENGINE_BASE_MISMATCH where it was made on another base than the engine holds;
 *   ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT where it contradicts an outcome taken before
 */
export function applyOutcome(
  state: EngineSwapState,
  fence: Fence,
  record: MapRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  return takeOutcome(raiseFence(state, fence), record, recordBytes);
}

/**
 * Takes an outcome that a peer tells which has acted on it. Needs no fence (rule S6), but a member's
 * word: a takeover hears members, and has those cut that it does without. Who is none may have
 * heard one of these, and what that one alone knew may have been decided otherwise.
 * @param from the engine at the other end of the connection
 * @throws IsobarError ISOBAR_ENGINE_PEER_NOT_A_MEMBER where no version that this engine holds as
 *   committed or has voted for lists the peer, or it is cut; else as `applyOutcome`, never
 *   ISOBAR_ENGINE_FENCED
 */
export function applyPeerOutcome(
  state: EngineSwapState,
  from: Member,
  record: MapRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  if (isNews(state, record) && !isHeard(state, from)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_PEER_NOT_A_MEMBER',
      `rank ${state.rank} takes no outcome of version ${record.version} from rank ${from.rank}: it is cut, or no version that this rank follows or has voted for lists it`,
      { rank: state.rank, version: record.version, peer: from.rank, incarnation: from.incarnation },
    );
  }
  return takeOutcome(state, record, recordBytes);
}

function isNews({ committed, outcomes }: EngineSwapState, { version }: MapRecord): boolean {
  return version > committed.version && outcomes.every((known) => known.version !== version);
}

function isHeard(state: EngineSwapState, peer: Member): boolean {
  if (includesMember(state.cuts, peer)) return false;
  return includesMember(committedMembers(state), peer) || includesMember(votedMembers(state), peer);
}

function takeOutcome(
  state: EngineSwapState,
  record: MapRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  assertConsistent(state, record);
  if (record.version <= state.committed.version) return unchanged(state);
  if (record.outcome === 'void') return takeVoid(state, record, recordBytes);
  const { version, digest, members } = record;
  const isVotedFor = state.vote !== null && sameVersion(state.vote, { version, digest });
  // An engine that would join has voted for itself: without it this is another version of that digest.
  const isMember = includesMember(members, state) || state.listed || isLeaving(state);
  if (isVotedFor && isMember) return takeCommit(state, record, recordBytes);
  if (includesMember(members, state) && state.standing !== 'stopped') {
    const text = `rank ${state.rank} has not staged version ${version}`;
    const fields = { rank: state.rank, version };
    throw new IsobarError('ISOBAR_ENGINE_NOT_STAGED', text, fields);
  }
  return takeAbsence(state, record, recordBytes);
}

function unchanged(state: EngineSwapState): OutcomeTaken {
  return { state, action: 'none', discarded: null };
}

/** What was taken stays: an outcome that contradicts it is refused, never followed. */
function assertConsistent(state: EngineSwapState, record: MapRecord): void {
  if (!isContradicted(state, record)) return;
  const { version } = record;
  throw new IsobarError(
    'ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT',
    `rank ${state.rank} has taken outcomes that contradict the ${record.outcome} version ${version}`,
    { rank: state.rank, version, committedVersion: state.committed.version },
  );
}

function isContradicted({ committed, outcomes }: EngineSwapState, record: MapRecord): boolean {
  const isVoid = (version: number) =>
    outcomes.some((known) => known.version === version && known.outcome === 'void');
  if (record.outcome === 'void') {
    return record.version === committed.version && committed.version > 0;
  }
  if (isVoid(record.version) || isVoid(record.base.version)) return true;
  if (record.version === committed.version) return record.digest !== committed.digest;
  if (record.version < committed.version || committed.version === 0) return false;
  return record.base.version < committed.version || record.voided.includes(committed.version);
}

function takeVoid(
  state: EngineSwapState,
  record: VoidRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  const { next, discarded } = withoutOpen(withOutcome(state, record, recordBytes), record.version);
  return { state: next, action: discarded === null ? 'none' : 'discard', discarded };
}

function withoutOpen(
  state: EngineSwapState,
  version: number,
): { readonly next: EngineSwapState; readonly discarded: number | null } {
  const vote = state.vote?.version === version ? null : state.vote;
  const staging = state.staging?.version === version ? null : state.staging;
  const open = vote !== state.vote || staging !== state.staging;
  return { next: { ...state, vote, staging }, discarded: open ? version : null };
}

function takeCommit(
  state: EngineSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  const { version, base } = record;
  if (!sameVersion(base, state.committed)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_BASE_MISMATCH',
      `rank ${state.rank} holds version ${state.committed.version}, not the base ${base.version} of version ${version}`,
      { rank: state.rank, version, base: base.version, committedVersion: state.committed.version },
    );
  }
  const next: EngineSwapState = {
    ...withCommitted(state, record, recordBytes),
    vote: null,
    standing: 'serving',
    listed: includesMember(record.members, state),
    switchingTo: version,
  };
  return { state: next, action: 'switch', discarded: null };
}

function withCommitted(
  state: EngineSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
): EngineSwapState {
  const { version, digest } = record;
  return { ...withOutcome(state, record, recordBytes), committed: { version, digest } };
}

function withOutcome(
  state: EngineSwapState,
  { version, outcome }: MapRecord,
  recordBytes: Uint8Array,
): EngineSwapState {
  const outcomes = newestOutcomes([...state.outcomes, { version, outcome, record: recordBytes }]);
  return { ...state, votedUpTo: Math.max(state.votedUpTo, version), outcomes };
}

/** A committed version that does not list this engine, and that it has not voted for. */
function takeAbsence(
  state: EngineSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  const { next, discarded } = withoutDecided(state, record);
  if (state.listed || isLeaving(state)) return stop(next, record, recordBytes, discarded);
  return { state: next, action: discarded === null ? 'none' : 'discard', discarded };
}

/**
 * Ends what is open of a version that this record decides: its own, one that it names as void,
 * and the base that it was made on.
 */
function withoutDecided(
  state: EngineSwapState,
  record: CommittedRecord,
): { readonly next: EngineSwapState; readonly discarded: number | null } {
  const open = state.vote?.version ?? state.staging?.version;
  const decided =
    open !== undefined &&
    (open === record.version || open === record.base.version || record.voided.includes(open));
  if (!decided) return { next: state, discarded: null };
  return withoutOpen({ ...state, votedUpTo: Math.max(state.votedUpTo, open) }, open);
}

/** Routes on by what it has until its requests have ended; nothing later concerns it. */
function stop(
  state: EngineSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
  discarded: number | null,
): OutcomeTaken {
  const stopped: EngineSwapState = {
    ...withOutcome(state, record, recordBytes),
    staging: null,
    standing: 'stopped',
    listed: false,
  };
  return { state: stopped, action: 'stop', discarded: discarded ?? state.staging?.version ?? null };
}

/**
 * An engine that no version lists yet takes the newest committed mapping as base of the version
 * that is to list it. It routes by nothing recorded: a new group serves its start mapping on.
 * An open vote is released where the record tells its version's outcome; where that was
 * committed, or the record leaves it in doubt, the engine has been a member for all it can
 * know, is absent now, and stops.
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_ADOPT_REFUSED naming the `field`:
 *   `outcome` of a void record, `members` of one that lists this engine, `standing` of an engine
 *   that has been listed or has stopped, `vote` for a later version;
 *   ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT
 */
export function adoptBase(
  state: EngineSwapState,
  fence: Fence,
  record: MapRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  const raised = raiseFence(state, fence);
  assertConsistent(raised, record);
  if (record.outcome === 'void') throw refuseAdoption(raised, record.version, 'outcome');
  if (record.version <= raised.committed.version) return unchanged(raised);
  if (!isAdoptable(raised)) throw refuseAdoption(raised, record.version, 'standing');
  if (includesMember(record.members, raised))
    throw refuseAdoption(raised, record.version, 'members');
  const { vote } = raised;
  if (vote !== null && vote.version > record.version) {
    throw refuseAdoption(raised, record.version, 'vote');
  }
  if (vote !== null && mayHaveBeenListed(vote.version, record)) {
    const { next, discarded } = withoutDecided(raised, record);
    return stop(next, record, recordBytes, discarded);
  }
  return adopt(raised, record, recordBytes);
}

function refuseAdoption(state: EngineSwapState, version: number, field: string): IsobarError {
  return new IsobarError(
    'ISOBAR_ENGINE_ADOPT_REFUSED',
    `rank ${state.rank} does not adopt version ${version} as its base: ${field}`,
    { rank: state.rank, version, field },
  );
}

function isAdoptable(state: EngineSwapState): boolean {
  return state.standing !== 'stopped' && !state.listed && !isLeaving(state);
}

/** A version voted for, below a committed one: void for certain only where the record says so. */
function mayHaveBeenListed(votedFor: number, record: CommittedRecord): boolean {
  return votedFor !== record.version && !record.voided.includes(votedFor);
}

function adopt(
  state: EngineSwapState,
  record: CommittedRecord,
  recordBytes: Uint8Array,
): OutcomeTaken {
  const open = state.vote?.version ?? state.staging?.version;
  const votedUpTo = Math.max(state.votedUpTo, open ?? 0);
  const closed = { ...state, votedUpTo, vote: null, staging: null };
  const adopted = withCommitted(closed, record, recordBytes);
  const { version } = record;
  // Nothing that a joining engine routes could be of an older version.
  const followed =
    state.standing === 'joining' ? { activatedVersion: version, retiredUpTo: version } : {};
  return { state: { ...adopted, ...followed }, action: 'adopt', discarded: open ?? null };
}
