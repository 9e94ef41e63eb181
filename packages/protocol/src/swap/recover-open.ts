import type { ExpertMapping } from '@isobar/eplb';
import { type DecidedVersion, sameBytes } from '../decided-version.js';
import type { OpenVote } from '../engine-description.js';
import type { Fence } from '../fence.js';
import {
  type CommittedRecord,
  encodeMapRecord,
  type MapRecord,
  mappingOfRecord,
  wholeMapping,
} from '../map-record.js';
import { includesMember, type Member, membersWithout, unionOfMembers } from '../member.js';
import type { Death } from '../membership/severed.js';
import { applyProposal, decodeProposal, type Proposal } from '../proposal.js';
import { memberOfWord, type RankWord, wordsSevered } from './known-versions.js';

/** What an open number is decided on. */
export interface OpenGround {
  readonly fence: Fence;
  readonly words: readonly RankWord[];
  /** The newest committed version, and the mapping and members that it has. */
  readonly newest: { readonly version: number; readonly digest: string };
  readonly members: readonly Member[];
  readonly mapping: () => ExpertMapping;
  /** Those of `members` that are proven dead. */
  readonly deaths: (members: readonly Member[]) => readonly Death[];
}

export type OpenDecision =
  | { readonly kind: 'decided'; readonly decided: DecidedVersion }
  /** Members of the target that may have voted, and acted, have not been heard. */
  | { readonly kind: 'unheard'; readonly members: readonly Member[] };

interface CastVote {
  readonly member: Member;
  readonly vote: OpenVote;
}

export function openVotes(words: readonly RankWord[]): CastVote[] {
  return words.flatMap((word) => {
    const member = memberOfWord(word);
    const vote = word.answer.engine?.state.vote ?? null;
    return member === null || vote?.incarnation !== member.incarnation ? [] : [{ member, vote }];
  });
}

/**
 * Members that open proposals would list.
 * @throws IsobarError as `decideOpenNumber`
 */
export function targetMembers(words: readonly RankWord[], newestVersion: number): Member[] {
  const votes = openVotes(words).filter(({ vote }) => vote.version > newestVersion);
  return distinctProposals(votes).flatMap(({ vote }) => decodeProposal(vote.proposal).members);
}

/**
 * Decides a number that somebody has voted for and that has no outcome. An earlier leader can have
 * committed it only with the vote of every member of base and target, but for those that it held
 * for dead and that all voters had been severed from; whoever acted on that commit voted before it did. So
 * where one of them has been heard under this term, has no such vote, and can still be heard by
 * some voter, void is safe: it will never give one to another. Where all have voted, somebody who is
 * dead now may have acted on an outcome, or nobody on anything: nobody that lives can hear of it any
 * more, and commit is safe, as long as the proposal's bytes are there and its base is still the
 * newest.
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, ISOBAR_PROTOCOL_PROPOSAL_INVALID,
 *   ISOBAR_PROTOCOL_SCHEMA_VERSION: who can't read a proposal does not lead
 */
export function decideOpenNumber(ground: OpenGround, version: number): OpenDecision {
  const votes = openVotes(ground.words).filter((cast) => cast.vote.version === version);
  const unheard: Member[] = [];
  for (const { vote } of distinctProposals(votes)) {
    const proposal = decodeProposal(vote.proposal);
    if (!isOnNewest(ground, proposal)) continue;
    const standing = standingOf(ground, vote, proposal);
    if (standing === 'all-voted') return decided(commitOf(ground, proposal));
    if (standing !== 'refuted') unheard.push(...standing);
  }
  const members = unionOfMembers([], unheard);
  return unheard.length > 0 ? { kind: 'unheard', members } : decideVoid(ground, version);
}

/** One vote for each proposal of the number: two leaders may have made one each. */
function distinctProposals(votes: readonly CastVote[]): CastVote[] {
  return votes.filter(
    (cast, index) =>
      votes.findIndex((other) => sameBytes(other.vote.proposal, cast.vote.proposal)) === index,
  );
}

/** Whether all have voted for a proposal; else, unless it can't have been committed, who is left. */
function standingOf(
  ground: OpenGround,
  vote: OpenVote,
  proposal: Proposal,
): 'all-voted' | 'refuted' | readonly Member[] {
  const members = unionOfMembers(ground.members, proposal.members);
  const deaths = ground.deaths(members);
  const voters = membersWithout(members, deaths);
  if (voters.length === 0) return 'refuted';
  const words = wordsSevered(ground.words, deaths);
  const heard = words.flatMap((word) => memberOfWord(word) ?? []);
  // The very same bytes: one digest may go with other members.
  const votes = openVotes(words).filter((cast) => sameBytes(cast.vote.proposal, vote.proposal));
  const cast = votes.map(({ member }) => member);
  const without = membersWithout(voters, cast);
  const refuters = without.filter((voter) => includesMember(heard, voter));
  const missing = membersWithout(without, refuters);
  if (without.length === 0) return 'all-voted';
  const isRefuted = refuters.some((refuter) => !isLeftOut(ground, cast, refuter));
  return isRefuted || missing.length === 0 ? 'refuted' : missing;
}

/** Whether all that are known to have voted had cut it: a leader that held it for dead counts them. */
function isLeftOut({ words }: OpenGround, cast: readonly Member[], member: Member): boolean {
  const voters = words.filter((word) => {
    const voter = memberOfWord(word);
    return voter !== null && includesMember(cast, voter);
  });
  return (
    wordsSevered(voters, [{ ...member, hasEnded: true, isRecorded: true }]).length === voters.length
  );
}

function isOnNewest({ newest }: OpenGround, { base }: Proposal): boolean {
  return base.version === newest.version && base.digest === newest.digest;
}

function decideVoid({ fence }: OpenGround, version: number): OpenDecision {
  const reason = 'open when leadership changed, without every vote';
  return decided({ schema: 1, outcome: 'void', version, fence, reason });
}

function commitOf({ fence, mapping }: OpenGround, proposal: Proposal): CommittedRecord {
  const { version, change, reason, base, digest, members, voided } = proposal;
  const whole = wholeMapping(applyProposal(mapping(), proposal));
  return {
    schema: 1,
    outcome: 'committed',
    version,
    fence,
    change,
    reason,
    base,
    digest,
    mapping: whole,
    members,
    voided,
  };
}

function decided(record: MapRecord): OpenDecision {
  const { version, outcome } = record;
  const known = { version, outcome, record: encodeMapRecord(record) };
  return { kind: 'decided', decided: { known, record } };
}

export function groundOfRecord(
  record: CommittedRecord,
): Pick<OpenGround, 'newest' | 'members' | 'mapping'> {
  const { version, digest, members } = record;
  return { newest: { version, digest }, members, mapping: () => mappingOfRecord(record) };
}
