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
import { type Member, sameMember, unionOfMembers } from '../member.js';
import { applyProposal, decodeProposal, type Proposal } from '../proposal.js';
import { memberOfWord, type RankWord } from './known-versions.js';

/** What an open number is decided on. */
export interface OpenGround {
  readonly fence: Fence;
  readonly words: readonly RankWord[];
  /** The newest committed version, and the mapping and members that it has. */
  readonly newest: { readonly version: number; readonly digest: string };
  readonly members: readonly Member[];
  readonly mapping: () => ExpertMapping;
  readonly isDead: (member: Member) => boolean;
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
 * Decides a number that somebody has voted for and that has no outcome. An earlier leader can have
 * committed it only with the vote of every living member of base and target; whoever acted on that
 * commit voted before it did. So where one of them has been heard under this term, and has no such
 * vote, void is safe: it will never give one to another. Where all have voted, somebody who is
 * dead now may have acted on a commit, or nobody on anything: commit is safe, as long as the
 * proposal's bytes are there and its base is still the newest.
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, ISOBAR_PROTOCOL_PROPOSAL_INVALID,
 *   ISOBAR_PROTOCOL_SCHEMA_VERSION: who can't read a proposal does not lead
 */
export function decideOpenNumber(ground: OpenGround, version: number): OpenDecision {
  const votes = openVotes(ground.words).filter((cast) => cast.vote.version === version);
  const unheard: Member[] = [];
  for (const { vote } of distinctProposals(votes)) {
    const proposal = decodeProposal(vote.proposal);
    if (!isOnNewest(ground, proposal)) continue;
    const standing = standingOf(ground, votes, vote, proposal);
    if (standing === 'all-voted') return decided(commitOf(ground, proposal));
    if (standing !== 'refuted') unheard.push(...standing);
  }
  return unheard.length > 0 ? { kind: 'unheard', members: unheard } : decideVoid(ground, version);
}

/** One vote for each proposal of the number: two leaders may have made one each. */
function distinctProposals(votes: readonly CastVote[]): CastVote[] {
  return votes.filter(
    (cast, index) =>
      votes.findIndex((other) => sameBytes(other.vote.proposal, cast.vote.proposal)) === index,
  );
}

/** Whether all have voted for a proposal; else, where nobody has been heard without, who is left. */
function standingOf(
  ground: OpenGround,
  votes: readonly CastVote[],
  vote: OpenVote,
  proposal: Proposal,
): 'all-voted' | 'refuted' | readonly Member[] {
  const voters = unionOfMembers(ground.members, proposal.members).filter(
    (member) => !ground.isDead(member),
  );
  const silent = voters.filter((voter) => !votes.some((cast) => isVoteFor(cast, voter, vote)));
  if (voters.length === 0 || silent.some((voter) => isHeard(ground, voter))) return 'refuted';
  return silent.length === 0 ? 'all-voted' : silent;
}

function isOnNewest({ newest }: OpenGround, { base }: Proposal): boolean {
  return base.version === newest.version && base.digest === newest.digest;
}

/** The very same bytes: one digest may go with other members. */
function isVoteFor(cast: CastVote, voter: Member, vote: OpenVote): boolean {
  return sameMember(cast.member, voter) && sameBytes(cast.vote.proposal, vote.proposal);
}

function isHeard({ words }: OpenGround, member: Member): boolean {
  return words.some((word) => {
    const heard = memberOfWord(word);
    return heard !== null && sameMember(heard, member);
  });
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
