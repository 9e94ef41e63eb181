import type { RankTypes } from './rank-types.js';
import { slotsNeeded } from './share-prices.js';

/**
 * A bound on the largest relative rank load for layers with few or no redundant slots: where all
 * slots are full, ranks with a hot expert must take cold ones beside it.
 *
 * Suppose a placement below T, τ as in `largestRankLoadBound`. An expert with load L needs
 * k = ⌈L ÷ τ⌉ replicas; `spare` slots are left once all have what they need, so there are `spare`
 * empty slots and replicas beyond need together. Call experts with τ ÷ 2 < L ≤ τ hot. Of the n
 * hottest of them x ≤ min(n, spare) have further replicas; the others are whole, so no two of them
 * share a rank, and together they weigh at least what the n − x smallest of the n do.
 *
 * Beside them their ranks have at least (n − x) × (fewest slots of a rank − 1) slots. An expert with
 * c replicas, q of them in these slots, has c − k beyond need, and weighs q L ÷ c there, which is
 * at least (q − c + k) × L ÷ k, since (c − q)(c − k) ≥ 0. So leaving out `spare` of the slots for
 * what is empty or beyond need, each of the others can be charged an L ÷ k of its own, and they
 * weigh at least the smallest of these; the smallest are the loads of experts with L ≤ τ ÷ 2. If
 * for every x that is more than the (n − x) τ that these ranks may hold, no placement stays below T.
 *
 * @param falling loads, largest first, [experts]
 * @param from a T that is refuted already
 * @returns the largest T found to be refuted, at least `from`
 */
export function fullSlotsBound(falling: Float64Array, ranks: RankTypes, from: number): number {
  const smallest = new Float64Array(falling.length + 1);
  for (let expert = falling.length - 1; expert >= 0; expert -= 1) {
    smallest[expert] = (smallest[expert + 1] ?? 0) + (falling[expert] ?? 0);
  }
  let refuted = from;
  let step = 1e-3 * from;
  let factor = 2;
  while (step > 1e-6 * from) {
    if (isRefuted(falling, smallest, ranks, refuted + step)) refuted += step;
    else factor = 0.5;
    step *= factor;
  }
  return refuted;
}

/** @param smallest sums of loads from each expert to the last, [experts + 1] */
function isRefuted(
  falling: Float64Array,
  smallest: Float64Array,
  ranks: RankTypes,
  limit: number,
): boolean {
  const largestLimit = limit * ranks.largestCapacity;
  const spare = ranks.slots - slotsNeeded(falling, largestLimit);
  if (spare < 0) return true;
  const firstHot = falling.findIndex((load) => load <= largestLimit);
  const firstCold = falling.findIndex((load) => 2 * load <= largestLimit);
  if (firstHot < 0 || firstCold < 0) return false;
  const numCold = falling.length - firstCold;
  const beside = leastSlots(ranks) - 1;
  const isTooMuch = (hottest: number, replicated: number) => {
    const whole = hottest - replicated;
    const cold = Math.min(numCold, Math.max(0, whole * beside - spare));
    const weight =
      (smallest[firstHot + replicated] ?? 0) -
      (smallest[firstHot + hottest] ?? 0) +
      (smallest[falling.length - cold] ?? 0);
    return weight > whole * largestLimit + 1e-12 * (smallest[0] ?? 0);
  };
  for (let hottest = spare + 1; firstHot + hottest <= firstCold; hottest += 1) {
    let replicated = 0;
    while (replicated <= spare && isTooMuch(hottest, replicated)) replicated += 1;
    if (replicated > spare) return true;
  }
  return false;
}

/** Fewest slots of a rank. */
function leastSlots(ranks: RankTypes): number {
  return ranks.types.reduce((least, type) => Math.min(least, type.slots), ranks.mostSlots);
}
