import { IsobarError } from '../isobar-error.js';
import { planEmptying } from '../membership/membership.js';
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
  const plan = planEmptying({ ...situation, drained }, ranks, isLeaving);
  if (plan.kind !== 'degraded') return plan.waves;
  const text = `what rank ${ranks.join(', ')} holds has no other place`;
  return new IsobarError('ISOBAR_COORDINATOR_DEGRADED', text, plan.fields);
}
