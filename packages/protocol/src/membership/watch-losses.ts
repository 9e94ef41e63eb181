import { includesMember, type Member, unionOfMembers } from '../member.js';
import { agreedByOthers } from './agreed-by-others.js';
import { type Evidence, engineOf, type LostMember, livingOf } from './evidence.js';

export interface WatchedLosses {
  readonly evidence: Evidence;
  /** Members that must be cut: all others have lost them for so long, or their death is vouched for. */
  readonly toCut: readonly Member[];
  /** Members lost for twice as long that can't be cut: told once each. */
  readonly unproven: readonly Member[];
}

/**
 * Follows who has lost whom. A cut kills: it is asked for only where every other living member's
 * engine has been without a connection to that one for `cutAfterMs`, by words that are no older
 * than that, and where they are a majority of the members. Once asked for, it is seen through. A
 * member that an operator vouches is dead is cut too: one that is paused keeps its connections, and its
 * peers would wait for it in their step.
 */
export function watchLosses(
  evidence: Evidence,
  members: readonly Member[],
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
  const due = lost.filter(
    ({ agreedSinceMs }) => agreedSinceMs !== null && nowMs - agreedSinceMs >= cutAfterMs,
  );
  const cutting = unionOfMembers(
    evidence.cutting.filter((member) => includesMember(living, member)),
    due.map(({ member }) => member),
  );
  const vouched = members.filter(
    (member) =>
      includesMember(evidence.declared, member) &&
      living.some((peer) => !includesMember(engineOf(evidence, peer)?.cuts ?? [], member)),
  );
  const unproven = lost.filter(
    ({ member, sinceMs, alarmed }) =>
      !alarmed && nowMs - sinceMs >= 2 * cutAfterMs && !includesMember(cutting, member),
  );
  const told = lost.map((loss) => (unproven.includes(loss) ? { ...loss, alarmed: true } : loss));
  return {
    evidence: { ...evidence, lost: told, cutting },
    toCut: [...cutting, ...vouched],
    unproven: unproven.map(({ member }) => member),
  };
}

function lostSince(evidence: Evidence, member: Member, agreed: boolean, nowMs: number): LostMember {
  const before = evidence.lost.find((loss) => loss.member.incarnation === member.incarnation);
  return {
    member,
    sinceMs: before?.sinceMs ?? nowMs,
    agreedSinceMs: agreed ? (before?.agreedSinceMs ?? nowMs) : null,
    alarmed: before?.alarmed ?? false,
  };
}
