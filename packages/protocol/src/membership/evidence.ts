import { includesMember, type Member, membersWithout, sameMember, sameMembers } from '../member.js';
import type { RankAnswer, RankReport } from '../messages.js';
import { type RankTable, withRank } from '../rank-table.js';
import { agreedByOthers } from './agreed-by-others.js';

/*
 * Who is proven dead, and whom to cut. A proof is a fact that can't be taken back: the end of the
 * process as the agent beside it saw it, an operator's or the platform's word, or a cut, by which
 * every survivor has refused that incarnation for good. Silence, a time-out and a broken
 * connection are none: they only say whom to ask to be cut.
 *
 * Each leader gathers its own evidence, from nothing. What the one before knew is repeated by
 * those who witnessed it: agents keep the ends that they saw, engines keep cuts. A word in the
 * record `control` may be lost with it, and then proves nothing any more.
 */

export interface Evidence {
  /** ControlRecord.dead */
  readonly declared: readonly Member[];
  /** The newest word of each rank. */
  readonly witnesses: RankTable<Witness>;
  /** Members proven dead, and how; none is taken back. */
  readonly proven: readonly ProvenDeath[];
  /** Members that some other has lost, and since when. */
  readonly lost: readonly LostMember[];
  /** Members that are being cut: to stop half-way would leave a group that can't talk. */
  readonly cutting: readonly Member[];
}

export interface Witness {
  readonly heardAtMs: number;
  readonly exited: readonly string[];
  readonly engine: RankReport['engine'];
}

export interface ProvenDeath {
  readonly member: Member;
  readonly proof: 'exited' | 'declared' | 'cut';
}

export interface LostMember {
  readonly member: Member;
  readonly sinceMs: number;
  /** Since when all others have lost it and are a majority; null where that is not so. */
  readonly agreedSinceMs: number | null;
  /** That it is not cut for the others' want of slots was told. */
  readonly spared: boolean;
  /** That it can't be cut was told. */
  readonly alarmed: boolean;
}

export function initialEvidence(declared: readonly Member[]): Evidence {
  return { declared, witnesses: new Map(), proven: [], lost: [], cutting: [] };
}

/** @returns whether the word may prove a death that was not proven before, beside the evidence */
export function hearWitness(
  evidence: Evidence,
  rank: number,
  witness: Witness,
): { readonly evidence: Evidence; readonly news: boolean } {
  const before = evidence.witnesses.get(rank);
  const witnesses = withRank(evidence.witnesses, rank, witness);
  return { evidence: { ...evidence, witnesses }, news: isNews(before, witness) };
}

/** Whether a word tells of a death that the one before it did not tell of. */
export function mayProveDeath(before: Witness | undefined, after: Witness): boolean {
  if (before !== undefined) return isNews(before, after);
  return after.exited.length > 0 || (after.engine?.cuts.length ?? 0) > 0;
}

function isNews(before: Witness | undefined, after: Witness): boolean {
  if (before === undefined) return true;
  if (before.engine?.incarnation !== after.engine?.incarnation) return true;
  if (!sameIncarnations(before.exited, after.exited)) return true;
  const [known, told] = [before.engine?.cuts ?? [], after.engine?.cuts ?? []];
  if (known === told) return false;
  return !sameIncarnations(
    known.map(({ incarnation }) => incarnation),
    told.map(({ incarnation }) => incarnation),
  );
}

/** Whether a report holds nothing that another plan or proof could follow from. */
export function saysTheSame(before: Witness | undefined, report: RankReport): boolean {
  if (before === undefined || !sameIncarnations(before.exited, report.exited)) return false;
  const [known, told] = [before.engine, report.engine];
  if (known === null || told === null) return known === told;
  return (
    sameStanding.every((field) => known[field] === told[field]) &&
    sameMembers(known.cuts, told.cuts) &&
    sameMembers(known.brokenPeers, told.brokenPeers)
  );
}

function sameIncarnations(left: readonly string[], right: readonly string[]): boolean {
  if (left.length !== right.length) return false;
  return left.every((incarnation, index) => incarnation === right[index]);
}

const sameStanding = [
  'incarnation',
  'standing',
  'committedVersion',
  'mappingVersion',
  'activatedVersion',
  'retiredUpTo',
  'votedUpTo',
  'openVote',
  'offeredSlots',
  'leaving',
] as const;

export function witnessOfReport(report: RankReport, heardAtMs: number): Witness {
  return { heardAtMs, exited: report.exited, engine: report.engine };
}

export function witnessOfAnswer(answer: RankAnswer, heardAtMs: number): Witness {
  const { exited } = answer;
  if (answer.engine === null) return { heardAtMs, exited, engine: null };
  const { description, state } = answer.engine;
  const { incarnation } = description;
  // Whole mappings that the state tells as well are not kept with every rank's word.
  const { vote, outcomes: _outcomes, physicalToLogical: _mapping, fence: _fence, ...told } = state;
  return { heardAtMs, exited, engine: { ...told, incarnation, openVote: vote?.version ?? null } };
}

export function isProvenDead(evidence: Evidence, member: Member): boolean {
  if (evidence.proven.some((death) => sameMember(death.member, member))) return true;
  return hasExited(evidence, member) || includesMember(evidence.declared, member);
}

/** Whether the agent beside it has seen its process end, whatever else proves its death. */
export function hasEnded(evidence: Evidence, member: Member): boolean {
  const isKept = evidence.proven.some(
    (death) => death.proof === 'exited' && sameMember(death.member, member),
  );
  return isKept || hasExited(evidence, member);
}

/** Only the agent beside an engine can have seen its process end. */
function hasExited({ witnesses }: Evidence, { rank, incarnation }: Member): boolean {
  return witnesses.get(rank)?.exited.includes(incarnation) === true;
}

export function livingOf(evidence: Evidence, members: readonly Member[]): Member[] {
  return members.filter((member) => !isProvenDead(evidence, member));
}

export function deadOf(evidence: Evidence, members: readonly Member[]): Member[] {
  return members.filter((member) => isProvenDead(evidence, member));
}

/**
 * Weighs every proof there may be, and keeps what is proven, whatever is said later.
 * @param members of the newest committed record: its living must agree on a cut, and be a majority
 * @param others incarnations, not of `members`, whose death is to be kept too
 */
export function weighEvidence(
  evidence: Evidence,
  members: readonly Member[],
  others: readonly Member[] = [],
): Evidence {
  const known = evidence.proven.filter(({ member }) =>
    includesMember([...members, ...others], member),
  );
  const proven: ProvenDeath[] = [...known];
  const prove = (member: Member, proof: ProvenDeath['proof']) => {
    if (!proven.some((death) => sameMember(death.member, member))) proven.push({ member, proof });
  };
  for (const member of [...members, ...others]) {
    if (hasExited(evidence, member)) prove(member, 'exited');
    if (includesMember(evidence.declared, member)) prove(member, 'declared');
  }
  const dead = proven.map(({ member }) => member);
  const cut = agreedByOthers(
    members,
    membersWithout(members, dead),
    (member) => engineOf(evidence, member)?.cuts ?? [],
  );
  for (const member of cut) prove(member, 'cut');
  return { ...evidence, proven };
}

/** The member's engine by its newest word; null where that is of another incarnation, or none. */
export function engineOf(evidence: Evidence, member: Member): RankReport['engine'] {
  const engine = evidence.witnesses.get(member.rank)?.engine ?? null;
  return engine?.incarnation === member.incarnation ? engine : null;
}
