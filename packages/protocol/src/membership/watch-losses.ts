import type { WholeMapping } from '../map-record.js';
import { includesMember, type Member, membersWithout, unionOfMembers } from '../member.js';
import { agreedByOthers } from './agreed-by-others.js';
import { canHoldAll } from './can-hold-all.js';
import { type Evidence, engineOf, type LostMember, livingOf } from './evidence.js';

export interface WatchedLosses {
  readonly evidence: Evidence;
  /** Members that must be cut: all others have lost them for so long, or their death is vouched for. */
  readonly toCut: readonly Member[];
  /** Members that are not cut, since the others could not hold every expert: told once each. */
  readonly spared: readonly Member[];
  /** Members lost for twice as long that can't be cut: told once each. */
  readonly unproven: readonly Member[];
}

/**
 * Follows who has lost whom. A cut kills: it is asked for only where every other living member's
 * engine has been without a connection to that one for `cutAfterMs`, by words that are no older
 * than that, where they are a majority of the members, and where they could hold every expert
 * without it: else they wait for it to be reached again. Once asked for, it is seen through. A
 * member that an operator vouches is dead is cut too: one that is paused keeps its connections, and its
 * peers would wait for it in their step.
 * @param mapping of the newest version, null where none is recorded: then nobody is cut
 */
export function watchLosses(
  evidence: Evidence,
  members: readonly Member[],
  mapping: Pick<WholeMapping, 'slotOffsets' | 'numLogicalExperts'> | null,
  nowMs: number,
  cutAfterMs: number,
): WatchedLosses {
  const living = livingOf(evidence, members);
  const named = (member: Member): readonly Member[] => {
    const heardAtMs = evidence.witnesses.get(member.rank)?.heardAtMs ?? Number.NEGATIVE_INFINITY;
    if (nowMs - heardAtMs > cutAfterMs) return [];
    return engineOf(evidence, member)?.brokenPeers ?? [];
  };
  const agreed = agreedByOthers(members, living, named);
  const namedBySome = unionOfMembers([], living.flatMap(named));
  const lost = namedBySome
    .filter((member) => includesMember(living, member))
    .map((member) => lostSince(evidence, member, includesMember(agreed, member), nowMs));
  const due = lost
    .filter(({ agreedSinceMs }) => agreedSinceMs !== null && nowMs - agreedSinceMs >= cutAfterMs)
    .map(({ member }) => member);
  const asked = evidence.cutting.filter((member) => includesMember(living, member));
  const wanted = unionOfMembers(asked, due);
  const mayBeCut =
    wanted.length > asked.length &&
    mapping !== null &&
    canHoldAll(mapping, evidence, members, wanted);
  const cutting = mayBeCut ? wanted : asked;
  const vouched = members.filter(
    (member) =>
      includesMember(evidence.declared, member) &&
      living.some((peer) => !includesMember(engineOf(evidence, peer)?.cuts ?? [], member)),
  );
  const unproven = lost.filter(
    ({ member, sinceMs, alarmed }) =>
      !alarmed && nowMs - sinceMs >= 2 * cutAfterMs && !includesMember(cutting, member),
  );
  const spared = lost.filter(
    ({ member, spared: isTold }) => !isTold && includesMember(membersWithout(due, cutting), member),
  );
  const told = lost.map((loss) => ({
    ...loss,
    spared: loss.spared || spared.includes(loss),
    alarmed: loss.alarmed || unproven.includes(loss),
  }));
  return {
    evidence: { ...evidence, lost: told, cutting },
    toCut: [...cutting, ...vouched],
    spared: spared.map(({ member }) => member),
    unproven: unproven.map(({ member }) => member),
  };
}

function lostSince(evidence: Evidence, member: Member, agreed: boolean, nowMs: number): LostMember {
  const before = evidence.lost.find((loss) => loss.member.incarnation === member.incarnation);
  return {
    member,
    sinceMs: before?.sinceMs ?? nowMs,
    agreedSinceMs: agreed ? (before?.agreedSinceMs ?? nowMs) : null,
    spared: before?.spared ?? false,
    alarmed: before?.alarmed ?? false,
  };
}
