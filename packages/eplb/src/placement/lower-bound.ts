import { fullSlotsBound } from './full-slots.js';
import { type RankTypes, rankTypes } from './rank-types.js';
import { loadPrice, type SharePrice, SharePriceTable, slotsNeeded } from './share-prices.js';

export interface BoundOptions {
  /**
   * 'thorough' takes up to twenty times as long; it pays where ranks have two slots.
   * @default 'fast'
   */
  readonly effort?: 'fast' | 'thorough';
}

/**
 * No placement of these experts on these ranks has a smaller largest (rank load ÷ capacity),
 * whatever the replica counts. Loads are split evenly over an expert's replicas; slots may stay
 * empty, and a rank may hold several replicas of one expert.
 *
 * Suppose a placement with largest relative load below T. Rank r then holds less than its limit
 * T × capacity, and τ is the largest limit. Every share s of an expert is given a price g(s) ≥ 0:
 * a slot's price, g = 1; or for a threshold 0 ≤ a ≤ τ ÷ 2
 * - g(s) = 0 where s ≤ a;
 * - g(s) = 1 where s > τ − a;
 * - between the two either s ÷ τ, or 1 ÷ m, m being the most shares above a that a rank can hold
 *   (it has so many slots, and m × a is below its limit).
 *
 * *What ranks can pay.* The slot's price once a slot. Of the other prices: a rank that holds a
 * share above τ − a has less than a left, so nothing else on it has a price, and it pays 1; that
 * needs a limit above τ − a. Any other rank pays at most limit ÷ τ, or (shares above a that it can
 * hold) ÷ m. The larger of what is possible, summed over ranks, is what ranks can pay.
 *
 * *What experts must pay.* With load L and c replicas an expert pays c g(L ÷ c). It needs
 * ⌈L ÷ τ⌉ replicas, and may have as many more as slots are left when all have what they need. While
 * L ÷ c stays between the same thresholds, c g(L ÷ c) does not fall with c; so it is enough to try
 * the smallest c of each such class.
 *
 * Prices are divided by what ranks can pay of them. Any weighted mean of prices is a price again,
 * of which ranks can pay 1: if at some weights every expert's cheapest number of replicas adds up
 * to more than 1, no placement stays below T. (Weak duality for a fractional packing. The g are
 * dual feasible functions of bin packing: Lueker 1983, Fekete and Schepers 2001.) The slots' price
 * alone says how many replicas fit, s ÷ τ with a = 0 alone gives the mean. Where slots are short,
 * `fullSlotsBound` adds an argument of its own. The bound is the largest T so refuted, less 10⁻¹²
 * of it for rounding. Weights and thresholds are searched for, since any are valid.
 *
 * @param loads [experts], finite, not negative
 * @param slotsPerRank [ranks], 0 for ranks that are out
 * @param capacities [ranks]
 * @returns in units of load ÷ capacity; the mean where there are fewer slots than experts
 */
export function largestRankLoadBound(
  loads: Float64Array,
  slotsPerRank: Int32Array,
  capacities: Float64Array,
  options: BoundOptions = {},
): number {
  const ranks = rankTypes(slotsPerRank, capacities);
  let load = 0;
  for (const value of loads) load += value;
  const mean = ranks.capacity > 0 ? load / ranks.capacity : 0;
  if (mean === 0 || ranks.slots < loads.length) return mean;
  const falling = loads.slice().sort().reverse();
  const replicable = replicationBound(falling, ranks, mean);
  const start = fullSlotsBound(falling, ranks, replicable);
  const effort = options.effort === 'thorough' ? thorough : fast;
  const refutation = new Refutation(falling, ranks, effort);
  return refutation.largestRefuted(start, start > mean) * (1 - 1e-12);
}

/** The largest T, to 10⁻⁹, at which experts need more slots than there are; the mean if smaller. */
function replicationBound(falling: Float64Array, ranks: RankTypes, mean: number): number {
  const isRefuted = (limit: number) =>
    slotsNeeded(falling, limit * ranks.largestCapacity) > ranks.slots;
  if (!isRefuted(mean)) return mean;
  let refuted = mean;
  let open = Math.max(mean, (falling[0] ?? 0) / ranks.largestCapacity);
  while (open - refuted > 1e-9 * refuted) {
    const middle = (refuted + open) / 2;
    if (isRefuted(middle)) refuted = middle;
    else open = middle;
  }
  return refuted;
}

interface Effort {
  /** Thresholds to begin with. */
  readonly thresholds: number;
  /** How often thresholds are placed anew, closer to those that carry weight. */
  readonly rounds: number;
  /** Changes of the weights at one T. */
  readonly turns: number;
  /** Smallest rise of T that is tried. */
  readonly resolution: number;
}

const fast: Effort = { thresholds: 6, rounds: 4, turns: 10, resolution: 1e-3 };
const thorough: Effort = { thresholds: 16, rounds: 7, turns: 200, resolution: 1e-4 };

/** 'satisfied': one choice of replicas keeps within every price, so no weights refute. */
type Outcome = 'refuted' | 'satisfied' | 'open';

/** A game: weights of prices against replica counts, at rising T. */
class Refutation {
  readonly #loads: Float64Array;
  readonly #ranks: RankTypes;
  readonly #effort: Effort;
  #refuted = 0;

  /** @param loads [experts], largest first */
  constructor(loads: Float64Array, ranks: RankTypes, effort: Effort) {
    this.#loads = loads;
    this.#ranks = ranks;
    this.#effort = effort;
  }

  /**
   * @param from a T that is refuted already
   * @param persistent whether to go on where the first thresholds refute nothing
   */
  largestRefuted(from: number, persistent: boolean): number {
    this.#refuted = from;
    const { thresholds, rounds, resolution } = this.#effort;
    let prices = this.#pricesAt(spread(this.#thresholdShares(), thresholds));
    let weights = new Float64Array(prices.length + 1).fill(1 / (prices.length + 1));
    const first = this.#raise(prices, weights, 2e-3);
    if (first === 'satisfied' && !persistent) return this.#refuted;
    for (let round = 1; round < rounds; round += 1) {
      const refined = this.#pricesAt(refine(this.#thresholdShares(), prices, weights));
      weights = carryWeights(prices, weights, refined);
      prices = refined;
      this.#raise(prices, weights, 2 * resolution);
    }
    return this.#refuted;
  }

  /**
   * Raises T in steps that double until one fails, then halve.
   * @param weights [prices], changed to the last that refuted
   * @returns outcome of the first step
   */
  #raise(prices: readonly SharePrice[], weights: Float64Array, increase: number): Outcome {
    const table = new SharePriceTable(this.#loads, this.#ranks, prices);
    const unit = this.#refuted;
    const kept = weights.slice();
    let step = increase;
    let factor = 2;
    let first: Outcome | null = null;
    while (step >= this.#effort.resolution) {
      const outcome = this.#refute(table, this.#refuted + step * unit, weights);
      first ??= outcome;
      if (outcome === 'refuted') {
        this.#refuted += step * unit;
        kept.set(weights);
      } else {
        factor = 0.5;
        weights.set(kept);
      }
      step *= factor;
    }
    return first ?? 'open';
  }

  /**
   * Multiplies each weight by exp(rate × what its price gathers beyond the mean), the rate being
   * that which would, to first order, bring the sum to the target (Polyak's step).
   */
  #refute(table: SharePriceTable, limit: number, weights: Float64Array): Outcome {
    if (!table.setLimit(limit)) return 'refuted';
    const payments = new Float64Array(table.numPrices);
    for (let turn = 0; turn < this.#effort.turns; turn += 1) {
      const paid = table.leastPayment(weights, payments);
      if (paid > 1 + 1e-9) return 'refuted';
      let variance = 0;
      let most = 0;
      for (let price = 0; price < payments.length; price += 1) {
        const payment = payments[price] ?? 0;
        variance += (weights[price] ?? 0) * (payment - paid) ** 2;
        if (payment > most) most = payment;
      }
      if (most <= 1) return 'satisfied';
      const rate = Math.min((1.001 - paid) / Math.max(variance, 1e-12), 1 / (most - paid));
      reweigh(weights, payments, paid, rate);
    }
    return 'open';
  }

  /**
   * Shares at which a threshold may do something, by rising threshold: experts that fit a rank
   * twice, and what larger ones come to with the replicas that they need, and one or two more.
   */
  #thresholdShares(): number[] {
    const limit = this.#refuted * this.#ranks.largestCapacity;
    const shares = new Set<number>();
    for (const load of this.#loads) {
      if (load === 0) break;
      const least = Math.ceil(load / limit);
      shares.add(load / least);
      for (let count = least + 1; count < least + 3; count += 1) {
        if (2 * load > count * limit) shares.add(load / count);
      }
    }
    const threshold = (share: number) => Math.min(share, limit - share);
    return [...shares].sort((a, b) => threshold(a) - threshold(b));
  }

  #pricesAt(shares: Iterable<number>): SharePrice[] {
    const prices: SharePrice[] = [loadPrice];
    // On two slots, linear prices are means of constant ones.
    const linear = this.#ranks.mostSlots > 2;
    const add = (parts: number, share: number) => {
      prices.push({ parts, share, middle: 'constant' });
      if (linear) prices.push({ parts, share, middle: 'linear' });
    };
    add(2, 0);
    if (linear) add(3, 0);
    for (const share of shares) add(0, share);
    return prices;
  }
}

const leastWeight = 1e-6;

function reweigh(weights: Float64Array, payments: Float64Array, paid: number, rate: number): void {
  let sum = 0;
  for (let price = 0; price < weights.length; price += 1) {
    const factor = Math.exp(rate * ((payments[price] ?? 0) - paid));
    weights[price] = Math.max(leastWeight, (weights[price] ?? 0) * factor);
    sum += weights[price] ?? 0;
  }
  for (let price = 0; price < weights.length; price += 1) {
    weights[price] = (weights[price] ?? 0) / sum;
  }
}

/** So many of the shares, evenly over their order. */
function spread(shares: readonly number[], count: number): Set<number> {
  const chosen = new Set<number>();
  for (let index = 0; index < count && shares.length > 0; index += 1) {
    chosen.add(shares[Math.floor(((index + 0.5) * shares.length) / count)] ?? 0);
  }
  return chosen;
}

/** Share of all weight from which a threshold is kept and gets neighbours. */
const weightKept = 0.02;

/** The thresholds that carry weight, and those midway from each to the next on both sides. */
function refine(
  shares: readonly number[],
  prices: readonly SharePrice[],
  weights: Float64Array,
): Set<number> {
  const weightOf = new Map<number, number>();
  prices.forEach(({ share }, index) => {
    weightOf.set(share, Math.max(weightOf.get(share) ?? 0, weights[index + 1] ?? 0));
  });
  const chosen = new Set<number>();
  const used = [...shares.keys()].filter((place) => weightOf.has(shares[place] ?? 0));
  used.forEach((place, index) => {
    const share = shares[place] ?? 0;
    if ((weightOf.get(share) ?? 0) < weightKept) return;
    const before = used[index - 1] ?? -1;
    const after = used[index + 1] ?? shares.length;
    for (const near of [place, Math.ceil((before + place) / 2), Math.floor((place + after) / 2)]) {
      chosen.add(shares[near] ?? share);
    }
  });
  return chosen;
}

/** Prices that stay keep their weights, new ones get a third of an even one. */
function carryWeights(
  prices: readonly SharePrice[],
  weights: Float64Array,
  refined: readonly SharePrice[],
): Float64Array<ArrayBuffer> {
  const carried = new Float64Array(refined.length + 1);
  carried[0] = weights[0] ?? 0;
  refined.forEach((price, index) => {
    const before = prices.findIndex(
      ({ parts, share, middle }) =>
        parts === price.parts && share === price.share && middle === price.middle,
    );
    carried[index + 1] = before < 0 ? 0.3 / carried.length : (weights[before + 1] ?? 0);
  });
  const sum = carried.reduce((total, weight) => total + weight, 0);
  return carried.map((weight) => weight / sum);
}
