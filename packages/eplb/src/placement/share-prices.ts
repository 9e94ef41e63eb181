import type { RankType, RankTypes } from './rank-types.js';

/**
 * A price of shares, see `largestRankLoadBound`: nothing up to a, all above τ − a, and between the
 * two either the share ÷ τ or the same for all.
 */
export interface SharePrice {
  /** a = τ ÷ parts; 0: a is such that the class boundary lies at `share`. */
  readonly parts: number;
  /** Just below it is a where it is at most τ ÷ 2, else τ − a. */
  readonly share: number;
  readonly middle: 'linear' | 'constant';
}

/** τ as a price of its own: a = 0 and shares cost share ÷ τ. */
export const loadPrice: SharePrice = { parts: 0, share: 0, middle: 'linear' };

/** Boundaries lie just below the shares they are made from, so that these count as above. */
const justBelow = 1 - 1e-9;

/**
 * Prices of every share that a layer's experts can have at one limit T, each price divided by what
 * all ranks can pay of it. Price 0 is that of a slot. Between two boundaries of any price (a class)
 * all prices are constant + slope × share.
 */
export class SharePriceTable {
  readonly numPrices: number;
  readonly #loads: Float64Array;
  readonly #ranks: RankTypes;
  readonly #prices: readonly SharePrice[];
  readonly #boundaries: Float64Array;
  readonly #thresholds: Float64Array;
  readonly #constants: Float64Array;
  readonly #slopes: Float64Array;
  /** Options of each expert, [experts + 1]. */
  readonly #firstOption: Int32Array;
  /** Replicas, and class of the share, of each option. */
  readonly #optionCounts: Float64Array;
  readonly #optionClasses: Int32Array;
  readonly #classConstants: Float64Array;
  readonly #classSlopes: Float64Array;
  readonly #classReplicas: Float64Array;
  readonly #classLoads: Float64Array;
  #numClasses = 0;

  /** @param loads [experts], largest first */
  constructor(loads: Float64Array, ranks: RankTypes, prices: readonly SharePrice[]) {
    const most = 2 * prices.length + 1;
    this.numPrices = prices.length + 1;
    this.#loads = loads;
    this.#ranks = ranks;
    this.#prices = prices;
    this.#boundaries = new Float64Array(most);
    this.#thresholds = new Float64Array(prices.length);
    this.#constants = new Float64Array(this.numPrices * most);
    this.#slopes = new Float64Array(this.numPrices * most);
    this.#firstOption = new Int32Array(loads.length + 1);
    this.#optionCounts = new Float64Array(loads.length * most);
    this.#optionClasses = new Int32Array(loads.length * most);
    this.#classConstants = new Float64Array(most);
    this.#classSlopes = new Float64Array(most);
    this.#classReplicas = new Float64Array(most);
    this.#classLoads = new Float64Array(most);
  }

  /**
   * Sets the limit T on relative rank loads.
   * @returns false where the experts need more slots than there are
   */
  setLimit(limit: number): boolean {
    const largestLimit = limit * this.#ranks.largestCapacity;
    const spare = this.#ranks.slots - slotsNeeded(this.#loads, largestLimit);
    if (spare < 0) return false;
    this.#setBoundaries(largestLimit);
    this.#constants.fill(0);
    this.#slopes.fill(0);
    this.#constants.fill(1 / this.#ranks.slots, 0, this.#numClasses);
    for (let price = 0; price < this.#prices.length; price += 1) this.#setPrice(price, limit);
    this.#setOptions(largestLimit, spare);
    return true;
  }

  /**
   * Every expert takes the replicas that cost it least at these weights of the prices.
   * @param weights [prices], not negative, of sum 1
   * @param payments what all experts then pay of each price, [prices]
   * @returns what they pay in all; ranks can pay 1
   */
  leastPayment(weights: Float64Array, payments: Float64Array): number {
    this.#weigh(weights);
    const counts = this.#optionCounts;
    const classes = this.#optionClasses;
    this.#classReplicas.fill(0);
    this.#classLoads.fill(0);
    let total = 0;
    for (let expert = 0; expert < this.#loads.length; expert += 1) {
      const load = this.#loads[expert] ?? 0;
      const end = this.#firstOption[expert + 1] ?? 0;
      let least = Number.POSITIVE_INFINITY;
      let best = 0;
      for (let option = this.#firstOption[expert] ?? 0; option < end; option += 1) {
        const at = classes[option] ?? 0;
        const pays =
          (counts[option] ?? 0) * (this.#classConstants[at] ?? 0) +
          load * (this.#classSlopes[at] ?? 0);
        if (pays >= least) continue;
        least = pays;
        best = option;
      }
      total += least;
      const at = classes[best] ?? 0;
      this.#classReplicas[at] = (this.#classReplicas[at] ?? 0) + (counts[best] ?? 0);
      this.#classLoads[at] = (this.#classLoads[at] ?? 0) + load;
    }
    this.#sumPayments(payments);
    return total;
  }

  #weigh(weights: Float64Array): void {
    this.#classConstants.fill(0);
    this.#classSlopes.fill(0);
    for (let price = 0; price < this.numPrices; price += 1) {
      const weight = weights[price] ?? 0;
      const row = price * this.#boundaries.length;
      for (let at = 0; at < this.#numClasses; at += 1) {
        const constant = weight * (this.#constants[row + at] ?? 0);
        this.#classConstants[at] = (this.#classConstants[at] ?? 0) + constant;
        const slope = weight * (this.#slopes[row + at] ?? 0);
        this.#classSlopes[at] = (this.#classSlopes[at] ?? 0) + slope;
      }
    }
  }

  #sumPayments(payments: Float64Array): void {
    for (let price = 0; price < this.numPrices; price += 1) {
      const row = price * this.#boundaries.length;
      let paid = 0;
      for (let at = 0; at < this.#numClasses; at += 1) {
        paid +=
          (this.#classReplicas[at] ?? 0) * (this.#constants[row + at] ?? 0) +
          (this.#classLoads[at] ?? 0) * (this.#slopes[row + at] ?? 0);
      }
      payments[price] = paid;
    }
  }

  /** Upper ends of the classes, rising, the last at the largest limit. */
  #setBoundaries(largestLimit: number): void {
    const boundaries = this.#boundaries;
    this.#prices.forEach((price, index) => {
      const threshold = thresholdOf(price, largestLimit);
      this.#thresholds[index] = threshold;
      boundaries[2 * index] = threshold;
      boundaries[2 * index + 1] = largestLimit - threshold;
    });
    boundaries[2 * this.#prices.length] = largestLimit;
    boundaries.sort();
    let numClasses = 1;
    for (let index = 1; index < boundaries.length; index += 1) {
      const boundary = boundaries[index] ?? 0;
      if (boundary > (boundaries[numClasses - 1] ?? 0)) {
        boundaries[numClasses] = boundary;
        numClasses += 1;
      }
    }
    this.#numClasses = numClasses;
  }

  #setPrice(index: number, limit: number): void {
    const { types, largestCapacity } = this.#ranks;
    const linear = this.#prices[index]?.middle === 'linear';
    const threshold = this.#thresholds[index] ?? 0;
    const largestLimit = limit * largestCapacity;
    let most = 1;
    for (const type of types) most = Math.max(most, sharesThatFit(type, limit, threshold));
    let payable = 0;
    for (const type of types) {
      const rankLimit = limit * type.capacity;
      const without = linear
        ? rankLimit / largestLimit
        : sharesThatFit(type, limit, threshold) / most;
      payable += type.count * (rankLimit > largestLimit - threshold ? 1 : without);
    }
    const row = (index + 1) * this.#boundaries.length;
    for (let at = 0; at < this.#numClasses; at += 1) {
      const upper = this.#boundaries[at] ?? 0;
      if (upper <= threshold) continue;
      if (upper > largestLimit - threshold) this.#constants[row + at] = 1 / payable;
      else if (linear) this.#slopes[row + at] = 1 / largestLimit / payable;
      else this.#constants[row + at] = 1 / most / payable;
    }
  }

  /** The fewest replicas that bring a share into each class, as far as spare slots go. */
  #setOptions(largestLimit: number, spare: number): void {
    let option = 0;
    for (let expert = 0; expert < this.#loads.length; expert += 1) {
      this.#firstOption[expert] = option;
      const load = this.#loads[expert] ?? 0;
      let count = replicasNeeded(load, largestLimit);
      const most = count + spare;
      for (let at = this.#numClasses - 1; at >= 0; at -= 1) {
        count = Math.max(count, replicasNeeded(load, this.#boundaries[at] ?? 0));
        if (count > most) break;
        if (at > 0 && load <= (this.#boundaries[at - 1] ?? 0) * count) continue;
        this.#optionCounts[option] = count;
        this.#optionClasses[option] = at;
        option += 1;
      }
    }
    this.#firstOption[this.#loads.length] = option;
  }
}

/** Slots that experts need if no share may be above the limit. */
export function slotsNeeded(loads: Float64Array, largestLimit: number): number {
  let needed = 0;
  for (const load of loads) needed += replicasNeeded(load, largestLimit);
  return needed;
}

function replicasNeeded(load: number, limit: number): number {
  return load <= limit ? 1 : Math.ceil(load / limit);
}

function thresholdOf(price: SharePrice, largestLimit: number): number {
  if (price.parts > 0) return (largestLimit / price.parts) * justBelow;
  const share = price.share * justBelow;
  return 2 * share <= largestLimit ? share : Math.max(0, largestLimit - share);
}

/** Most shares above the threshold that a rank can hold and stay below the limit. */
function sharesThatFit(type: RankType, limit: number, threshold: number): number {
  const rankLimit = limit * type.capacity;
  if (rankLimit <= 0) return 0;
  if (threshold <= 0) return type.slots;
  return Math.min(type.slots, Math.ceil(rankLimit / threshold) - 1);
}
