import { IsobarError } from '../isobar-error.js';
import { planEmptying } from '../membership/membership.js';
import { ranksToClear, usableSlots, withSlotLimit } from '../membership/offered-slots.js';
import type { Wave } from '../swap/open-swap.js';
import { situationOf } from './leader-step.js';
import type { LeaderState } from './leader-types.js';

/**
 * The waves by which ranks would be emptied as things are. Nothing is changed.
 * @param ranks living members
 * @returns ISOBAR_COORDINATOR_DEGRADED where what they hold has no other place now
 */
export function previewEmptying(
  leader: LeaderState,
  ranks: readonly number[],
  isLeaving: boolean,
): readonly Wave[] | IsobarError {
  const situation = situationOf(leader);
  const drained = isLeaving ? situation.drained : [...new Set([...situation.drained, ...ranks])];
  const plan = planEmptying({ ...situation, drained }, ranks, isLeaving, false);
  if (plan.kind !== 'degraded') return plan.waves;
  const text = `what rank ${ranks.join(', ')} holds has no other place`;
  return new IsobarError('ISOBAR_COORDINATOR_DEGRADED', text, plan.fields);
}

/** Ranks that hold something in slots that are closed: until they are cleared nothing is rebalanced. */
export function ranksBeingCleared(leader: LeaderState): readonly number[] {
  return ranksToClear(situationOf(leader));
}

/**
 * The waves by which slots beyond a limit would be emptied as things are. Nothing is changed.
 * @returns ISOBAR_COORDINATOR_DEGRADED where what they hold has no other place now
 */
export function previewLimit(
  leader: LeaderState,
  rank: number,
  slots: number | null,
): readonly Wave[] | IsobarError {
  const situation = situationOf(leader);
  const { mapping, evidence } = situation;
  const slotLimits = withSlotLimit(leader.control.slotLimits, rank, slots);
  const limited = { ...situation, usableSlots: usableSlots(mapping, evidence, { slotLimits }) };
  if (!ranksToClear(limited).includes(rank)) return [];
  const plan = planEmptying(limited, [], false, true);
  if (plan.kind !== 'degraded') return plan.waves;
  const text = `what rank ${rank} holds beyond ${slots ?? 'all'} slots has no other place`;
  return new IsobarError('ISOBAR_COORDINATOR_DEGRADED', text, plan.fields);
}
