export interface BoundOptions {
  /** 'thorough' tries every threshold, 'fast' a few. @default 'fast' */
  readonly effort?: 'fast' | 'thorough';
}

/**
 * No placement of these experts on these ranks has a smaller largest (rank load ÷ capacity),
 * whatever the replica counts; loads are split evenly over an expert's replicas, slots may be
 * empty, and a rank may hold several replicas of one expert.
 *
 * Suppose a placement with largest relative load below T; rank r then holds less than
 * `limit_r` = T × its capacity, and τ is the largest limit. Give a share s of an expert the price
 * λ + g(s), λ ≥ 0, where for a threshold 0 ≤ a ≤ τ ÷ 2
 * - g(s) = 0 where s ≤ a;
 * - g(s) = 1 where s > τ − a;
 * - between the two either g(s) = s ÷ τ, or g(s) = 1 ÷ m, m being the most shares above a that a
 *   rank can hold (its slots allow so many, and m × a < τ).
 *
 * *What ranks can pay.* λ is paid at most once a slot. A rank that holds a share above τ − a has
 * less than a left, so nothing else on it has g > 0, and its g adds up to 1; that needs
 * limit_r > τ − a. Without one, g adds up to at most limit_r ÷ τ, or to (shares above a that fit)
 * ÷ m. Call the larger of what is possible G_r: all prices add up to at most Σ (λ slots_r + G_r).
 *
 * *What experts must pay.* An expert with load L and c replicas pays cλ + c g(L ÷ c), and
 * c ≥ L ÷ τ. Where L ÷ c stays in one of the three classes this does not fall with c, so the least
 * is at the smallest c of each class: it is the least of three numbers. All experts together pay
 * at least the sum of these.
 *
 * If experts must pay more than ranks can pay, no placement stays below T. This is weak duality
 * for fractional packing (the g are dual feasible functions of bin packing: Lueker 1983, Fekete
 * and Schepers 2001) with the number of slots relaxed by the Lagrange multiplier λ. With a = 0 it
 * includes the mean (λ = 0) and the slots needed (λ → ∞). The bound is the largest T refuted,
 * less 10⁻¹² of it for rounding.
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
  const refutation = new Refutation(loads, ranks);
  return refutation.largestRefuted(mean, options.effort === 'thorough') * (1 - roundingMargin);
}

const roundingMargin = 1e-12;

/** Ranks of equal slots and capacity are counted together. */
interface RankTypes {
  readonly types: readonly RankType[];
  readonly slots: number;
  readonly capacity: number;
  readonly largestCapacity: number;
}

interface RankType {
  readonly slots: number;
  readonly capacity: number;
  count: number;
}

function rankTypes(slotsPerRank: Int32Array, capacities: Float64Array): RankTypes {
  const types: RankType[] = [];
  let slots = 0;
  let capacity = 0;
  let largestCapacity = 0;
  slotsPerRank.forEach((rankSlots, rank) => {
    if (rankSlots <= 0) return;
    const rankCapacity = Math.max(0, capacities[rank] ?? 0);
    slots += rankSlots;
    capacity += rankCapacity;
    largestCapacity = Math.max(largestCapacity, rankCapacity);
    const same = types.find((type) => type.slots === rankSlots && type.capacity === rankCapacity);
    if (same === undefined) types.push({ slots: rankSlots, capacity: rankCapacity, count: 1 });
    else same.count += 1;
  });
  return { types, slots, capacity, largestCapacity };
}

/** Between the two classes at the ends, g is the share over the limit, or the same for all. */
type Middle = 'linear' | 'constant';

/** A threshold a = fixed + relative × τ, and the price between it and τ − a. */
interface Candidate {
  readonly fixed: number;
  readonly relative: number;
  readonly middle: Middle;
}

/** Searches thresholds for the largest T at which prices contradict every placement. */
class Refutation {
  /** Loads, largest first. */
  readonly #loads: Float64Array;
  readonly #ranks: RankTypes;
  /** For each expert with a load above the threshold, the smallest count of each class, and g. */
  readonly #counts: Float64Array;
  readonly #prices: Float64Array;
  #above = 0;
  #available = 0;

  constructor(loads: Float64Array, ranks: RankTypes) {
    this.#loads = loads.slice().sort().reverse();
    this.#ranks = ranks;
    this.#counts = new Float64Array(3 * loads.length);
    this.#prices = new Float64Array(3 * loads.length);
  }

  largestRefuted(mean: number, thorough: boolean): number {
    let refuted = this.#raise(mean, { fixed: 0, relative: 0, middle: 'linear' });
    for (let round = 0; round < (thorough ? 4 : 2); round += 1) {
      const before = refuted;
      for (const middle of ['linear', 'constant'] as const) {
        const candidate = this.#bestCandidate(refuted, middle, thorough);
        if (candidate !== null) refuted = this.#raise(refuted, candidate);
      }
      if (refuted === before) break;
    }
    return refuted;
  }

  /** The threshold that comes furthest in refuting a slightly larger T; null if none does. */
  #bestCandidate(refuted: number, middle: Middle, thorough: boolean): Candidate | null {
    let best: Candidate | null = null;
    let bestExcess = 0;
    const consider = (candidate: Candidate) => {
      const excess = this.#excess(refuted * step, candidate);
      if (excess <= bestExcess) return;
      best = candidate;
      bestExcess = excess;
    };
    for (let shares = 2; shares <= 4; shares += 1) {
      consider({ fixed: 0, relative: below / shares, middle });
    }
    const stride = thorough ? 1 : Math.max(1, Math.floor(this.#loads.length / 12));
    for (let at = this.#loads.length - 1; at >= 0; at -= stride) {
      const fixed = (this.#loads[at] ?? 0) * below;
      if (2 * fixed > refuted * this.#ranks.largestCapacity) break;
      consider({ fixed, relative: 0, middle });
    }
    return best;
  }

  /** The largest T that this candidate refutes, from one that is refuted. */
  #raise(from: number, candidate: Candidate): number {
    let refuted = from;
    let increase = from * (step - 1);
    while (this.#excess(refuted + increase, candidate) > 0) {
      refuted += increase;
      increase *= 2;
    }
    for (; increase > from * 1e-5; increase /= 2) {
      if (this.#excess(refuted + increase, candidate) > 0) refuted += increase;
    }
    return refuted;
  }

  /** What experts must pay beyond what ranks can, at the best λ found; ≤ 0 refutes nothing. */
  #excess(T: number, candidate: Candidate): number {
    const limit = T * this.#ranks.largestCapacity;
    this.#classify(T, candidate.fixed + candidate.relative * limit, candidate.middle);
    const low = this.#tangent(0);
    if (low.slope <= 0) return low.value - margin(this.#ranks);
    let lowest = low;
    let highest = this.#tangent(this.#loads.length);
    let best = Math.max(low.value, highest.value);
    if (highest.slope > 0) return Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 30; turn += 1) {
      const at =
        (highest.value - lowest.value + lowest.slope * lowest.at - highest.slope * highest.at) /
        (lowest.slope - highest.slope);
      const ceiling = lowest.value + lowest.slope * (at - lowest.at);
      if (ceiling - best < 1e-9 || ceiling <= 0) break;
      const next = this.#tangent(at);
      if (next.value > best) best = next.value;
      if (next.slope > 0) lowest = next;
      else if (next.slope < 0) highest = next;
      else break;
    }
    return best - margin(this.#ranks);
  }

  #tangent(at: number): { at: number; value: number; slope: number } {
    const counts = this.#counts;
    const prices = this.#prices;
    let slope = this.#loads.length - this.#above - this.#ranks.slots;
    let value = slope * at - this.#available;
    for (let index = 0; index < 3 * this.#above; index += 3) {
      let count = counts[index] ?? 0;
      let least = count * at + (prices[index] ?? 0);
      for (let option = index + 1; option < index + 3; option += 1) {
        const price = (counts[option] ?? 0) * at + (prices[option] ?? 0);
        if (price < least) {
          least = price;
          count = counts[option] ?? 0;
        }
      }
      slope += count;
      value += least;
    }
    return { at, value, slope };
  }

  #classify(T: number, threshold: number, middle: Middle): void {
    const limit = T * this.#ranks.largestCapacity;
    let most = 1;
    for (const type of this.#ranks.types) {
      most = Math.max(most, sharesThatFit(type, T, threshold));
    }
    this.#available = 0;
    for (const type of this.#ranks.types) {
      const own = T * type.capacity;
      let pays = middle === 'linear' ? own / limit : sharesThatFit(type, T, threshold) / most;
      if (own > limit - threshold) pays = 1;
      this.#available += pays * type.count;
    }
    let above = 0;
    for (; above < this.#loads.length; above += 1) {
      const load = this.#loads[above] ?? 0;
      if (load <= threshold) break;
      const index = 3 * above;
      const least = Math.ceil(load / limit);
      const mid = Math.max(least, Math.ceil(load / (limit - threshold)));
      const small = threshold > 0 ? Math.ceil(load / threshold) : Number.POSITIVE_INFINITY;
      this.#counts[index] = least;
      this.#prices[index] = least;
      this.#counts[index + 1] = mid;
      this.#prices[index + 1] = middle === 'linear' ? load / limit : mid / most;
      this.#counts[index + 2] = small;
      this.#prices[index + 2] = 0;
      if (load / least <= limit - threshold) {
        this.#prices[index] = this.#prices[index + 1] ?? 0;
      }
      if (small <= mid || threshold === 0) {
        this.#counts[index + 2] = this.#counts[index + 1] ?? 0;
        this.#prices[index + 2] = small <= mid ? 0 : (this.#prices[index + 1] ?? 0);
      }
    }
    this.#above = above;
  }
}

function margin(ranks: RankTypes): number {
  return 1e-9 * ranks.slots;
}
const step = 1 + 1e-4;
const below = 1 - 1e-9;

function sharesThatFit(type: RankType, T: number, threshold: number): number {
  const limit = T * type.capacity;
  if (threshold <= 0 || limit <= 0) return limit > 0 ? type.slots : 0;
  return Math.min(type.slots, Math.ceil(limit / threshold) - 1);
}
