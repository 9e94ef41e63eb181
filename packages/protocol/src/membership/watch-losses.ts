import type { WholeMapping } from '../map-record.js';
import { includesMember, type Member, unionOfMembers } from '../member.js';
import { agreedByOthers } from './agreed-by-others.js';
import { canHoldAll } from './can-hold-all.js';
import { type Evidence, engineOf, type LostMember, livingOf } from './evidence.js';

export interface WatchedLosses {
  readonly evidence: Evidence;
  /** Members that must be cut: all others have lost them for so long. */
  readonly toCut: readonly Member[];
  /** Members that are not cut, since the others could not hold every expert: told once each. */
  readonly spared: readonly Member[];
  /** Members lost for twice as long that can't be cut: told once each. */
  readonly unproven: readonly Member[];
}

type Slots = Pick<WholeMapping, 'slotOffsets' | 'numLogicalExperts'>;

/**
 * Follows who has lost whom. A cut kills: it is asked for only where every other living member's
 * engine has been without a connection to that one for `cutAfterMs`, by words that are no older
 * than that, where they are a majority of the members, and where they could hold every expert
 * without it: else they wait for it to be reached again. Once asked for, it is seen through.
 * @param mapping of the newest version, null where none is recorded: then nobody is cut
 */
export function watchLosses(
  evidence: Evidence,
  members: readonly Member[],
  mapping: Slots | null,
  nowMs: number,
  cutAfterMs: number,
): WatchedLosses {
  const living = livingOf(evidence, members);
  const lost = lostMembers(evidence, members, living, nowMs, cutAfterMs);
  // Nearly always, and at every tick.
  if (lost.length === 0 && evidence.lost.length === 0 && evidence.cutting.length === 0) {
    return { evidence, toCut: [], spared: [], unproven: [] };
  }
  const due = lost
    .filter(({ agreedSinceMs }) => agreedSinceMs !== null && nowMs - agreedSinceMs >= cutAfterMs)
    .map(({ member }) => member);
  const cutting = membersToCut(evidence, members, living, mapping, due);
  const uncut = lost.filter(({ member }) => !includesMember(cutting, member));
  const spared = uncut.filter((loss) => !loss.spared && includesMember(due, loss.member));
  const unproven = uncut.filter(
    ({ sinceMs, alarmed }) => !alarmed && nowMs - sinceMs >= 2 * cutAfterMs,
  );
  const told = lost.map((loss) => ({
    ...loss,
    spared: loss.spared || spared.includes(loss),
    alarmed: loss.alarmed || unproven.includes(loss),
  }));
  return {
    evidence: { ...evidence, lost: told, cutting },
    toCut: cutting,
    spared: spared.map(({ member }) => member),
    unproven: unproven.map(({ member }) => member),
  };
}

function lostMembers(
  evidence: Evidence,
  members: readonly Member[],
  living: readonly Member[],
  nowMs: number,
  cutAfterMs: number,
): LostMember[] {
  const named = (member: Member): readonly Member[] => {
    const heardAtMs = evidence.witnesses.get(member.rank)?.heardAtMs ?? Number.NEGATIVE_INFINITY;
    if (nowMs - heardAtMs > cutAfterMs) return [];
    return engineOf(evidence, member)?.brokenPeers ?? [];
  };
  const words = living.flatMap(named);
  if (words.length === 0) return [];
  const namedBySome = unionOfMembers([], words);
  const lost = namedBySome.filter((member) => includesMember(living, member));
  if (lost.length === 0) return [];
  const agreed = agreedByOthers(members, living, named);
  return lost.map((member) => lostSince(evidence, member, includesMember(agreed, member), nowMs));
}

/** Those asked for before, and all that are due, or none of these. */
function membersToCut(
  evidence: Evidence,
  members: readonly Member[],
  living: readonly Member[],
  mapping: Slots | null,
  due: readonly Member[],
): readonly Member[] {
  const asked = evidence.cutting.filter((member) => includesMember(living, member));
  const wanted = unionOfMembers(asked, due);
  if (wanted.length === asked.length || mapping === null) return asked;
  return canHoldAll(mapping, evidence, members, wanted) ? wanted : asked;
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
