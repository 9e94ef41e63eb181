import type { EngineState, OpenVote, Standing } from '../engine-description.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import { decodeMapRecord } from '../map-record.js';
import { includesMember, type Member, sameMember } from '../member.js';
import { decodeProposal, type Proposal } from '../proposal.js';
import { sameVersion, type VersionInForce } from '../version-in-force.js';

/**
 * What an engine must remember of swaps for its incarnation, apart from weights (rule S3).
 * Transitions are pure: each returns the next state, or throws a coded refusal that leaves
 * the state as it was. The engine keeps buffers and tables to match.
 */
export interface EngineSwapState {
  readonly rank: number;
  readonly incarnation: string;
  readonly standing: Standing;
  /** Listed by the newest committed version acted on; false in a new group and while joining. */
  readonly listed: boolean;
  readonly fence: Fence | null;
  /** Newest version acted on or adopted as committed, and its digest: the base of the next. */
  readonly committed: VersionInForce;
  /** The version routed by; 0 in an engine that has never routed by a recorded one. */
  readonly mappingVersion: number;
  /** A committed version to be routed by from the next boundary on, null when there is none. */
  readonly switchingTo: number | null;
  readonly activatedVersion: number;
  readonly retiredUpTo: number;
  readonly votedUpTo: number;
  /**
   * Staging under way, before it can be voted for. Once it is gone without a vote the engine ends
   * its transfers, frees their buffers, and refuses the command with ISOBAR_ENGINE_STAGING_ABANDONED.
   */
  readonly staging: VersionInForce | null;
  readonly vote: OpenVote | null;
  /** The newest committed outcome acted on or adopted, and every later outcome, ascending. */
  readonly outcomes: readonly KnownOutcome[];
  /** Incarnations refused for good. */
  readonly cuts: readonly Member[];
}

/** Incarnations that one engine refuses at most. */
export const cutsMax = 4_096;

/**
 * State of an engine that has just started.
 * @param startDigest of its identical start mapping, version 0, which it serves if `serving`
 */
export function initialEngineSwap(
  rank: number,
  incarnation: string,
  startDigest: string,
  standing: Exclude<Standing, 'stopped'>,
): EngineSwapState {
  return {
    rank,
    incarnation,
    standing,
    listed: false,
    fence: null,
    committed: { version: 0, digest: startDigest },
    mappingVersion: 0,
    switchingTo: null,
    activatedVersion: 0,
    retiredUpTo: 0,
    votedUpTo: 0,
    staging: null,
    vote: null,
    outcomes: [],
    cuts: [],
  };
}

/** What the guard does not know of an engine's state. */
export type EngineHoldings = Pick<
  EngineState,
  | 'mappingDigest'
  | 'physicalToLogical'
  | 'brokenPeers'
  | 'freeBuffers'
  | 'step'
  | 'offeredSlots'
  | 'leaving'
>;

/** The state as the engine tells it. */
export function engineStateOf(state: EngineSwapState, holdings: EngineHoldings): EngineState {
  const { fence, committed, mappingVersion, activatedVersion, retiredUpTo, votedUpTo } = state;
  return {
    fence,
    committedVersion: committed.version,
    mappingVersion,
    activatedVersion,
    retiredUpTo,
    votedUpTo,
    vote: state.vote,
    standing: state.standing,
    outcomes: [...state.outcomes],
    cuts: [...state.cuts],
    ...holdings,
  };
}

/**
 * Staging for the leader before is abandoned: a vote that its successor has not seen, because it
 * was given after the answer to its question, would wait for an outcome that nobody decides.
 * @throws IsobarError ISOBAR_ENGINE_FENCED with the highest fence accepted
 */
export function raiseFence(state: EngineSwapState, fence: Fence): EngineSwapState {
  if (isFenced(state.fence, fence)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_FENCED',
      `rank ${state.rank} refuses term ${fence.term}: it knows term ${state.fence?.term ?? 0}`,
      { rank: state.rank, term: fence.term, nonce: fence.nonce, highest: state.fence },
    );
  }
  const raised = { ...state, fence };
  const sameLeader = sameFence(state.fence, fence);
  return sameLeader || state.staging === null
    ? raised
    : abandonStaging(raised, state.staging.version);
}

/**
 * Admits a proposal for staging. `action` is `stage` where weights must be fetched now,
 * `staging` where that is under way, `voted` where the vote stands and is to be repeated.
 * A member also votes for the version that it leaves with.
 * @throws IsobarError ISOBAR_ENGINE_FENCED, ISOBAR_ENGINE_STOPPED,
 *   ISOBAR_ENGINE_VERSION_DECIDED, ISOBAR_ENGINE_BASE_MISMATCH, ISOBAR_ENGINE_NOT_A_MEMBER,
 *   ISOBAR_ENGINE_SWAP_OPEN
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
  if (state.standing === 'stopped') {
    const text = `rank ${state.rank} has stopped under incarnation ${state.incarnation}`;
    throw new IsobarError('ISOBAR_ENGINE_STOPPED', text, fields);
  }
  if (version <= state.votedUpTo || version <= state.committed.version) {
    throw new IsobarError(
      'ISOBAR_ENGINE_VERSION_DECIDED',
      `rank ${state.rank} refuses version ${version}: it has voted or decided up to ${state.votedUpTo}`,
      { ...fields, votedUpTo: state.votedUpTo },
    );
  }
  if (!sameVersion(base, state.committed)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_BASE_MISMATCH',
      `rank ${state.rank} holds version ${state.committed.version}, not the proposal's base ${base.version}`,
      { ...fields, base: base.version, committedVersion: state.committed.version },
    );
  }
  if (!state.listed && !includesMember(proposal.members, state)) {
    throw new IsobarError(
      'ISOBAR_ENGINE_NOT_A_MEMBER',
      `version ${version} does not list rank ${state.rank} under its incarnation`,
      { ...fields, incarnation: state.incarnation },
    );
  }
  const open = state.vote?.version ?? state.staging?.version ?? state.switchingTo;
  if (open !== null) {
    throw new IsobarError(
      'ISOBAR_ENGINE_SWAP_OPEN',
      `rank ${state.rank} still has version ${open} open`,
      { ...fields, open },
    );
  }
}

/**
 * Every incoming expert is staged and verified: the vote is yes, and binds until the outcome.
 * @throws IsobarError ISOBAR_ENGINE_STAGING_ABANDONED where the version is no longer staged
 */
export function recordVote(
  state: EngineSwapState,
  proposal: Proposal,
  proposalBytes: Uint8Array,
): EngineSwapState {
  const { version, digest, base } = proposal;
  if (state.staging?.version !== version || state.staging.digest !== digest) {
    const text = `rank ${state.rank} no longer stages version ${version}`;
    throw new IsobarError('ISOBAR_ENGINE_STAGING_ABANDONED', text, { rank: state.rank, version });
  }
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
 * The engine routes by `version` from now on.
 * @throws IsobarError ISOBAR_ENGINE_NOT_COMMITTED where it is not the version to switch to (S2)
 */
export function recordSwitch(state: EngineSwapState, version: number): EngineSwapState {
  if (state.switchingTo !== version) {
    const text = `rank ${state.rank} can't switch to version ${version}: it is not to be followed`;
    const fields = { rank: state.rank, version, switchingTo: state.switchingTo };
    throw new IsobarError('ISOBAR_ENGINE_NOT_COMMITTED', text, fields);
  }
  return { ...state, mappingVersion: version, switchingTo: null };
}

/**
 * Every token routed by an older version has been answered or its connection cut. A member
 * that left with this version stops now.
 */
export function recordActivated(state: EngineSwapState, version: number): EngineSwapState {
  const activatedVersion = Math.max(state.activatedVersion, version);
  const left = isLeaving(state) && activatedVersion >= state.committed.version;
  return { ...state, activatedVersion, standing: left ? 'stopped' : state.standing };
}

/** Has routed by a recorded version, or is about to, and is listed no more. */
export function isLeaving(state: EngineSwapState): boolean {
  const followed = state.mappingVersion > 0 || state.switchingTo !== null;
  return state.standing === 'serving' && !state.listed && followed;
}

/**
 * Admits the retirement of all versions below `version`, which is the newest activated: a new
 * group numbers its start mapping 0, beneath what the group before it had retired.
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_NOT_ACTIVATED where this engine
 *   may still be serving an older version; ISOBAR_ENGINE_RETIRE_OUTDATED where it has activated a
 *   newer one, with whose retirement all that is older goes
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
  if (version < raised.activatedVersion) {
    throw new IsobarError(
      'ISOBAR_ENGINE_RETIRE_OUTDATED',
      `rank ${raised.rank} does not retire up to ${version}: it has activated ${raised.activatedVersion}`,
      { rank: raised.rank, version, activatedVersion: raised.activatedVersion },
    );
  }
  const retired = { ...raised, retiredUpTo: Math.max(raised.retiredUpTo, version) };
  return { ...retired, cuts: cutsNeeded(retired) };
}

/**
 * Who is listed by no version that this engine holds or has voted for is heard by it no more, cut
 * or not: a retired version's dead may be forgotten. Who has stopped routes on by a version older than
 * the newest that it knows of.
 */
function cutsNeeded(state: EngineSwapState): readonly Member[] {
  const { cuts } = state;
  if (cuts.length === 0 || state.standing === 'stopped') return cuts;
  const members = [...committedMembers(state), ...votedMembers(state)];
  const needed = cuts.filter((cut) => includesMember(members, cut));
  return needed.length === cuts.length ? cuts : needed;
}

/** Of the newest version acted on or adopted as committed; none where that has no record. */
export function committedMembers({ outcomes }: EngineSwapState): readonly Member[] {
  const newest = outcomes.findLast(({ outcome }) => outcome === 'committed');
  const record = newest === undefined ? null : decodeMapRecord(newest.record);
  return record?.outcome === 'committed' ? record.members : [];
}

/** Of the version voted for; none where there is no open vote. */
export function votedMembers({ vote }: EngineSwapState): readonly Member[] {
  return vote === null ? [] : decodeProposal(vote.proposal).members;
}

/**
 * Refuses that incarnation from now on, for good: where it is forgotten (`recordRetired`), nothing lists it.
 * @throws IsobarError ISOBAR_ENGINE_FENCED; ISOBAR_ENGINE_CUT_SELF where it is the engine's own;
 *   ISOBAR_ENGINE_CUTS_FULL at `cutsMax`
 */
export function recordCut(state: EngineSwapState, fence: Fence, member: Member): EngineSwapState {
  const raised = raiseFence(state, fence);
  const { rank } = raised;
  if (sameMember(member, raised)) {
    const text = `rank ${rank} does not cut its own incarnation`;
    throw new IsobarError('ISOBAR_ENGINE_CUT_SELF', text, { ...member });
  }
  if (isCut(raised, member)) return raised;
  if (raised.cuts.length >= cutsMax) {
    const text = `rank ${rank} refuses ${cutsMax} incarnations already`;
    throw new IsobarError('ISOBAR_ENGINE_CUTS_FULL', text, { rank, cutsMax });
  }
  const { incarnation } = member;
  return { ...raised, cuts: [...raised.cuts, { rank: member.rank, incarnation }] };
}

export function isCut(state: Pick<EngineSwapState, 'cuts'>, member: Member): boolean {
  return includesMember(state.cuts, member);
}
