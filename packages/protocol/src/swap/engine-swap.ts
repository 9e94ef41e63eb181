import type { OpenVote } from '../engine-description.js';
import { type Fence, isFenced } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { MapRecord } from '../map-record.js';
import type { Proposal } from '../proposal.js';

/**
 * What an engine must remember of swaps for its incarnation, apart from weights (rule S3).
 * Transitions are pure: each returns the next state, or throws a coded refusal that leaves
 * the state as it was. The engine keeps buffers and tables to match.
 */
export interface EngineSwapState {
  readonly rank: number;
  readonly incarnation: string;
  readonly fence: Fence | null;
  /** Newest version known as committed, and its digest. */
  readonly committed: { readonly version: number; readonly digest: string };
  /** The version routed by; behind `committed` until the engine has switched. */
  readonly mappingVersion: number;
  readonly activatedVersion: number;
  readonly retiredUpTo: number;
  readonly votedUpTo: number;
  /** Staging under way, before it can be voted for. */
  readonly staging: { readonly version: number; readonly digest: string } | null;
  readonly vote: OpenVote | null;
}

/** State of an engine that serves its identical start mapping, version 0. */
export function initialEngineSwap(
  rank: number,
  incarnation: string,
  startDigest: string,
): EngineSwapState {
  return {
    rank,
    incarnation,
    fence: null,
    committed: { version: 0, digest: startDigest },
    mappingVersion: 0,
    activatedVersion: 0,
    retiredUpTo: 0,
    votedUpTo: 0,
    staging: null,
    vote: null,
  };
}

/** @throws IsobarError ISOBAR_ENGINE_FENCED with the highest fence accepted */
export function raiseFence(state: EngineSwapState, fence: Fence): EngineSwapState {
  if (isFenced(state.fence, fence)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_FENCED',
      `rank ${state.rank} refuses term ${fence.term}: it knows term ${state.fence?.term ?? 0}`,
      { rank: state.rank, term: fence.term, nonce: fence.nonce, highest: state.fence },
    );
  }
  return { ...state, fence };
}

/**
 * Admits a proposal for staging. `action` is `stage` where weights must be fetched now,
 * `staging` where that is under way, `voted` where the vote stands and is to be repeated.
 * @throws IsobarError ISOBAR_ENGINE_FENCED, ISOBAR_ENGINE_VERSION_DECIDED,
 *   ISOBAR_ENGINE_BASE_MISMATCH, ISOBAR_ENGINE_NOT_A_MEMBER, ISOBAR_ENGINE_SWAP_OPEN
 */
export function admitProposal(
  state: EngineSwapState,
  fence: Fence,
  proposal: Proposal,
): { readonly state: EngineSwapState; readonly action: 'stage' | 'staging' | 'voted' } {
  const raised = raiseFence(state, fence);
  const { version, digest } = proposal;
  if (raised.vote?.version === version && raised.vote.digest === digest) {
    return { state: raised, action: 'voted' };
  }
  if (raised.staging?.version === version && raised.staging.digest === digest) {
    return { state: raised, action: 'staging' };
  }
  assertAdmissible(raised, proposal);
  return { state: { ...raised, staging: { version, digest } }, action: 'stage' };
}

function assertAdmissible(state: EngineSwapState, proposal: Proposal): void {
  const { version, base } = proposal;
  const fields = { rank: state.rank, version };
  if (version <= state.votedUpTo || version <= state.committed.version) {
    throw new IsobarError(
      'ISOBAR_ENGINE_VERSION_DECIDED',
      `rank ${state.rank} refuses version ${version}: it has voted or decided up to ${state.votedUpTo}`,
      { ...fields, votedUpTo: state.votedUpTo },
    );
  }
  if (base.version !== state.committed.version || base.digest !== state.committed.digest) {
    throw new IsobarError(
      'ISOBAR_ENGINE_BASE_MISMATCH',
      `rank ${state.rank} holds version ${state.committed.version}, not the proposal's base ${base.version}`,
      { ...fields, base: base.version, committedVersion: state.committed.version },
    );
  }
  const member = proposal.members.find((candidate) => candidate.rank === state.rank);
  if (member?.incarnation !== state.incarnation) {
    throw new IsobarError(
      'ISOBAR_ENGINE_NOT_A_MEMBER',
      `version ${version} does not list rank ${state.rank} under its incarnation`,
      { ...fields, incarnation: state.incarnation },
    );
  }
  if (state.vote !== null || state.staging !== null) {
    throw new IsobarError(
      'ISOBAR_ENGINE_SWAP_OPEN',
      `rank ${state.rank} still has version ${(state.vote ?? state.staging)?.version} open`,
      { ...fields, open: (state.vote ?? state.staging)?.version },
    );
  }
}

/** Every incoming expert is staged and verified: the vote is yes, and binds until the outcome. */
export function recordVote(
  state: EngineSwapState,
  proposal: Proposal,
  proposalBytes: Uint8Array,
): EngineSwapState {
  const { version, digest, base } = proposal;
  const vote: OpenVote = {
    version,
    digest,
    base,
    incarnation: state.incarnation,
    proposal: proposalBytes,
  };
  return { ...state, staging: null, vote, votedUpTo: version };
}

/** Staging failed or was abandoned: no vote was given, and none will be for this version. */
export function abandonStaging(state: EngineSwapState, version: number): EngineSwapState {
  if (state.staging?.version !== version) return state;
  return { ...state, staging: null, votedUpTo: Math.max(state.votedUpTo, version) };
}

/**
 * Takes the outcome of a version. `action` is `switch` (route by it at the next boundary),
 * `discard` (free what was staged for it) or `none` (already known).
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_NOT_STAGED where a committed
 *   version was never voted for here with that digest
 */
export function applyOutcome(
  state: EngineSwapState,
  fence: Fence,
  record: MapRecord,
): { readonly state: EngineSwapState; readonly action: 'switch' | 'discard' | 'none' } {
  const raised = raiseFence(state, fence);
  if (record.version <= raised.committed.version) return { state: raised, action: 'none' };
  if (record.outcome === 'void') return discard(raised, record.version);
  if (raised.vote?.version !== record.version || raised.vote.digest !== record.digest) {
    throw new IsobarError(
      'ISOBAR_ENGINE_NOT_STAGED',
      `rank ${raised.rank} has not staged version ${record.version}`,
      { rank: raised.rank, version: record.version },
    );
  }
  const committed = { version: record.version, digest: record.digest };
  return { state: { ...raised, committed, vote: null }, action: 'switch' };
}

function discard(
  state: EngineSwapState,
  version: number,
): { readonly state: EngineSwapState; readonly action: 'discard' | 'none' } {
  const votedUpTo = Math.max(state.votedUpTo, version);
  const open = state.vote?.version === version || state.staging?.version === version;
  if (!open) return { state: { ...state, votedUpTo }, action: 'none' };
  return { state: { ...state, votedUpTo, vote: null, staging: null }, action: 'discard' };
}

/** The engine routes by `version` from now on. */
export function recordSwitch(state: EngineSwapState, version: number): EngineSwapState {
  return { ...state, mappingVersion: version };
}

/** Every token routed by an older version has been answered or its connection cut. */
export function recordActivated(state: EngineSwapState, version: number): EngineSwapState {
  return { ...state, activatedVersion: Math.max(state.activatedVersion, version) };
}

/**
 * Admits the retirement of all versions below `version`.
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_NOT_ACTIVATED where this engine
 *   may still be serving an older version
 */
export function recordRetired(
  state: EngineSwapState,
  fence: Fence,
  version: number,
): EngineSwapState {
  const raised = raiseFence(state, fence);
  if (version > raised.activatedVersion) {
    throw new IsobarError(
      'ISOBAR_ENGINE_NOT_ACTIVATED',
      `rank ${raised.rank} can't retire up to ${version}: it has activated ${raised.activatedVersion}`,
      { rank: raised.rank, version, activatedVersion: raised.activatedVersion },
    );
  }
  return { ...raised, retiredUpTo: Math.max(raised.retiredUpTo, version) };
}
