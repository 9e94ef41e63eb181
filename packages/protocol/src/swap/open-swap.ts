import type { Change } from '../change.js';
import { type Fence, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import {
  type CommittedRecord,
  type MapRecord,
  mappingFromWhole,
  type WholeMapping,
} from '../map-record.js';
import {
  includesMember,
  type Member,
  membersWithout,
  sameMember,
  unionOfMembers,
} from '../member.js';
import { type Death, isSevered } from '../membership/severed.js';
import type { RankReport, Vote } from '../messages.js';
import { encodeProposal, type Proposal } from '../proposal.js';
import type { RankTable } from '../rank-table.js';
import { sameVersion, type VersionInForce } from '../version-in-force.js';
import type { Resend } from './resending.js';

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

export type OpenPhase = 'preparing' | 'deciding' | 'activating' | 'retiring' | 'discarding';

export type PhaseDurations = { readonly [Phase in OpenPhase as `${Phase}Ms`]?: number };

/** The one number that is open. */
export interface OpenSwap {
  /** What it proposes; null for a number that can only become void. */
  readonly mapping: WholeMapping | null;
  readonly proposal: Proposal;
  readonly proposalBytes: Uint8Array;
  /** Members of the base and of the target: those not proven dead must vote. */
  readonly voters: readonly Member[];
  readonly phase: OpenPhase;
  readonly phaseSinceMs: number;
  readonly startedAtMs: number;
  /** How long each phase before this one took. */
  readonly phasesMs: PhaseDurations;
  readonly alarmed: boolean;
  /** Incarnations that have voted yes. */
  readonly votes: ReadonlySet<string>;
  /** Incarnations that were seen to have activated it: a leaver may be gone afterwards. */
  readonly activated: ReadonlySet<string>;
  /** The vote that made it void, null where none did. */
  readonly refusal: Vote | null;
  /** Set from `deciding` on. */
  readonly record: MapRecord | null;
  readonly recordBytes: Uint8Array | null;
  /** Older versions are retired although an expert has no live replica. */
  readonly retiresAnyway: boolean;
  /** By rank: when the phase's message is sent to it again. */
  readonly resends: ReadonlyMap<number, Resend>;
}

/** Numbers decided void that a proposal names; there is no room in it for more. */
const voidedMax = 4_096;

const nothingChanges = {
  layers: new Int32Array(0),
  rows: new Int32Array(0),
  transfers: new Int32Array(0),
};

export interface OpenSwapBase {
  readonly nextVersion: number;
  readonly newest: VersionInForce;
  readonly members: readonly Member[];
  readonly voided: readonly number[];
}

/** A wave as it is proposed on top of `base`. */
export function proposedSwap(base: OpenSwapBase, wave: Wave, nowMs: number): OpenSwap {
  const { change, reason, mapping, digest, layers, rows, transfers } = wave;
  const members = [...(wave.members ?? base.members)];
  const content = { change, reason, digest, members, layers, rows, transfers };
  const proposal = proposalOn(base, base.nextVersion, content);
  return {
    ...newlyOpen(proposal, 'preparing', nowMs),
    mapping,
    proposalBytes: encodeProposal(proposal),
    voters: unionOfMembers(base.members, members),
  };
}

/** Whether a wave's mapping is what it says; a record of another could never be read again. */
export function isSound({ mapping, digest }: Wave): boolean {
  try {
    return mappingFromWhole(mapping).digest() === digest;
  } catch (error) {
    if (error instanceof IsobarError) return false;
    throw error;
  }
}

/** A version that an earlier leader committed, or takeover did, and that all must follow. */
export function resumedSwap(
  record: CommittedRecord,
  recordBytes: Uint8Array,
  baseMembers: readonly Member[],
  nowMs: number,
): OpenSwap {
  const { version, base, digest, members, voided, change, reason, mapping } = record;
  const identity = { schema: 1, version, base, digest, members, voided, change, reason } as const;
  return {
    ...newlyOpen({ ...identity, ...nothingChanges }, 'activating', nowMs),
    mapping,
    voters: unionOfMembers(baseMembers, members),
    record,
    recordBytes,
  };
}

/** A number that somebody has voted for and nobody has decided: it can only become void. */
export function strayNumber(base: OpenSwapBase, version: number, nowMs: number): OpenSwap {
  const { digest } = base.newest;
  const members = [...base.members];
  const content = { change: 'membership', reason: '', digest, members, ...nothingChanges } as const;
  return newlyOpen(proposalOn(base, version, content), 'deciding', nowMs);
}

function proposalOn(
  base: OpenSwapBase,
  version: number,
  content: Omit<Proposal, 'schema' | 'version' | 'base' | 'voided'>,
): Proposal {
  const voided = base.voided.slice(-voidedMax);
  return { schema: 1, version, base: base.newest, voided, ...content };
}

function newlyOpen(proposal: Proposal, phase: OpenPhase, nowMs: number): OpenSwap {
  return {
    mapping: null,
    proposal,
    proposalBytes: new Uint8Array(0),
    voters: proposal.members,
    phase,
    phaseSinceMs: nowMs,
    startedAtMs: nowMs,
    phasesMs: {},
    alarmed: false,
    votes: new Set(),
    activated: new Set(),
    refusal: null,
    record: null,
    recordBytes: null,
    retiresAnyway: false,
    resends: new Map(),
  };
}

export function enter(open: OpenSwap, phase: OpenPhase, nowMs: number): OpenSwap {
  const phasesMs = phasesUntil(open, nowMs);
  return { ...open, phase, phaseSinceMs: nowMs, phasesMs, alarmed: false, resends: new Map() };
}

/** How long each phase has taken so far. */
export function phasesUntil(
  { phase, phaseSinceMs, phasesMs }: OpenSwap,
  nowMs: number,
): PhaseDurations {
  const name = `${phase}Ms` as const;
  return { ...phasesMs, [name]: (phasesMs[name] ?? 0) + nowMs - phaseSinceMs };
}

/** The field by which a vote is not one for the open proposal, null where it counts. */
export function refuseVote(
  open: OpenSwap,
  dead: readonly Member[],
  fence: Fence,
  vote: Vote,
): string | null {
  const voters = membersWithout(open.voters, dead).filter(({ rank }) => rank === vote.rank);
  if (!sameFence(vote.fence, fence)) return 'fence';
  if (voters.length === 0) return 'rank';
  if (!voters.some((voter) => sameMember(voter, vote))) return 'incarnation';
  if (vote.digest !== open.proposal.digest) return 'digest';
  const { base } = open.proposal;
  if (!sameVersion(vote.base, base)) return 'base';
  return null;
}

/**
 * Living voters that have not followed the open phase yet, by their newest reports. A vote counts
 * only where its engine can hear nothing more of the voters that are dead.
 */
export function missingMembers(
  open: OpenSwap,
  dead: readonly Death[],
  reports: RankTable<RankReport>,
): Member[] {
  const { version } = open.proposal;
  // What a leaver has retired frees nothing that others need, and it may be gone by then.
  const asked = open.phase === 'retiring' ? open.proposal.members : open.voters;
  const leftOut = dead.filter((death) => includesMember(open.voters, death));
  return membersWithout(asked, dead).filter((member) => {
    const { rank, incarnation } = member;
    if (open.phase === 'deciding') return false;
    if (open.phase === 'activating') return !open.activated.has(incarnation);
    const engine = reports.get(rank)?.engine;
    if (open.phase === 'preparing') {
      const isVoter = open.votes.has(incarnation);
      if (!isVoter || leftOut.length === 0) return !isVoter;
      const known = engine?.incarnation === incarnation ? engine : null;
      return known === null || !leftOut.every((death) => isSevered(rank, known, death));
    }
    if (engine?.incarnation !== incarnation) return true;
    if (open.phase === 'retiring') return engine.retiredUpTo < version;
    return engine.votedUpTo < version || engine.openVote === version;
  });
}
