import type { WholeMapping } from '../map-record.js';
import { includesMember, type Member, membersWithout, unionOfMembers } from '../member.js';
import { type Evidence, engineOf, isProvenDead, livingOf } from './evidence.js';
import { offeredSlotsOf } from './offered-slots.js';

/**
 * Whether those that would be left could hold every expert of every layer: members, and engines that
 * would join where no member is left. Else no version without the lost ones could ever be committed, and
 * what was cut would stay cut: a group that can neither go on nor mend.
 * @param mapping of the newest version
 * @param lost members that are to be cut, or are being cut
 */
export function canHoldAll(
  mapping: Pick<WholeMapping, 'slotOffsets' | 'numLogicalExperts'>,
  evidence: Evidence,
  members: readonly Member[],
  lost: readonly Member[],
): boolean {
  const living = livingOf(evidence, members);
  const gone = unionOfMembers(lost, cutBySome(evidence, living));
  const ranks = new Set(membersWithout(living, gone).map(({ rank }) => rank));
  for (const [rank, { engine }] of evidence.witnesses) {
    if (engine?.standing !== 'joining') continue;
    const member = { rank, incarnation: engine.incarnation };
    if (!includesMember(members, member) && !isProvenDead(evidence, member)) ranks.add(rank);
  }
  let slots = 0;
  for (const rank of ranks) slots += offeredSlotsOf(mapping, evidence, rank);
  return slots >= mapping.numLogicalExperts;
}

/** An earlier leader may have begun to cut them. */
function cutBySome(evidence: Evidence, living: readonly Member[]): Member[] {
  const cuts = living.flatMap((member) => engineOf(evidence, member)?.cuts ?? []);
  return living.filter((member) => includesMember(cuts, member));
}
