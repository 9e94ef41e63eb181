import { servingRanks } from './domain-limits.js';
import type { SlotShape } from './layer-state.js';

/** Where a layer's experts belong. */
export interface ExpertHomes {
  /** Fast domain that each expert is to stay in, −1 for any, [experts]. */
  readonly homes: Int32Array;
  /** The same, but with one for every expert, to begin in; null where there is a placement. */
  readonly start: Int32Array | null;
}

/** Group of an expert: experts of a group are consecutive. */
export function groupOf(expert: number, numExperts: number, numGroups: number): number {
  return Math.floor((expert * numGroups) / numExperts);
}

/** Assigns the expert groups of a group-limited router to fast domains. */
export class ExpertGroups {
  readonly #shape: SlotShape;
  readonly #fastDomains: Int32Array;
  readonly #numGroups: number;
  /** Slots and capacity of the ranks of each domain that serve, [domains]. */
  readonly #slots: Int32Array;
  readonly #capacities: Float64Array;

  constructor(shape: SlotShape, fastDomains: Int32Array, numGroups: number) {
    const { numRanks, rankOfSlot, closed, capacities } = shape;
    this.#shape = shape;
    this.#fastDomains = fastDomains;
    this.#numGroups = numGroups;
    this.#slots = new Int32Array(numRanks);
    this.#capacities = new Float64Array(numRanks);
    for (const rank of servingRanks(shape)) {
      this.#capacities[fastDomains[rank]] += capacities[rank];
    }
    rankOfSlot.forEach((rank, slot) => {
      if (capacities[rank] > 0 && closed[slot] === 0) this.#slots[fastDomains[rank]] += 1;
    });
  }

  #groupOf(expert: number): number {
    return groupOf(expert, this.#shape.numExperts, this.#numGroups);
  }

  #groupLoads(loads: Float64Array): Float64Array {
    const groupLoads = new Float64Array(this.#numGroups);
    loads.forEach((load, expert) => {
      groupLoads[this.#groupOf(expert)] += load;
    });
    return groupLoads;
  }

  /**
   * Packs groups to domains, largest load first, each to the domain that is left relatively
   * lightest of those with slots for all its experts; then moves and exchanges groups as long as
   * that lowers the heavier domain of the two. Groups that fit nowhere, or that `release` lets go,
   * start expert by expert where there is room.
   * @param loads [experts]
   * @param lossMax share of the mean by which rank loads may be above it for groups' sake
   */
  packed(loads: Float64Array, lossMax: number): ExpertHomes {
    const sizes = new Int32Array(this.#numGroups);
    loads.forEach((_, expert) => {
      sizes[this.#groupOf(expert)] += 1;
    });
    const groupLoads = this.#groupLoads(loads);
    const packing = new DomainPacking(this.#slots, this.#capacities);
    const domains = packing.pack(groupLoads, sizes);
    packing.improve(groupLoads, sizes, domains);
    packing.release(groupLoads, sizes, domains, lossMax);
    const homes = Int32Array.from(loads, (_, expert) => domains[this.#groupOf(expert)]);
    const start = homes.slice();
    const loose = [...start.keys()].filter((expert) => start[expert] < 0);
    const looseHomes = packing.pack(
      Float64Array.from(loose, (expert) => loads[expert]),
      new Int32Array(loose.length).fill(1),
    );
    loose.forEach((expert, index) => {
      start[expert] = looseHomes[index];
    });
    return { homes, start };
  }

  /**
   * Homes of the experts of groups whose replicas are all in one domain, but for what `release`
   * lets go.
   * @param row [slots]
   * @param lossMax as for `packed`
   */
  kept(row: Int32Array, loads: Float64Array, lossMax: number): ExpertHomes {
    const { numExperts, rankOfSlot, capacities } = this.#shape;
    const nowhere = -1;
    const torn = -2;
    const domains = new Int32Array(this.#numGroups).fill(nowhere);
    for (let slot = 0; slot < row.length; slot += 1) {
      const rank = rankOfSlot[slot];
      if (row[slot] < 0 || !(capacities[rank] > 0)) continue;
      const group = this.#groupOf(row[slot]);
      const domain = this.#fastDomains[rank];
      if (domains[group] === nowhere) domains[group] = domain;
      else if (domains[group] !== domain) domains[group] = torn;
    }
    const groupLoads = this.#groupLoads(loads);
    const sizes = new Int32Array(this.#numGroups);
    const packing = new DomainPacking(this.#slots, this.#capacities);
    packing.take(groupLoads, sizes, domains);
    packing.release(groupLoads, sizes, domains, lossMax);
    const homes = Int32Array.from({ length: numExperts }, (_, expert) =>
      Math.max(-1, domains[this.#groupOf(expert)]),
    );
    return { homes, start: null };
  }
}

/** Items in domains of some slots and capacity. */
class DomainPacking {
  readonly #free: Int32Array;
  readonly #capacities: Float64Array;
  readonly #loads: Float64Array;

  constructor(slots: Int32Array, capacities: Float64Array) {
    this.#free = slots.slice();
    this.#capacities = capacities;
    this.#loads = new Float64Array(slots.length);
  }

  /** @returns domain of each item, −1 where it fits none, [items] */
  pack(loads: Float64Array, sizes: Int32Array): Int32Array {
    const domains = new Int32Array(loads.length).fill(-1);
    const order = [...loads.keys()].sort((a, b) => loads[b] - loads[a] || a - b);
    for (const item of order) {
      let lightest = -1;
      for (let domain = 0; domain < this.#free.length; domain += 1) {
        if (this.#free[domain] < Math.max(1, sizes[item])) continue;
        if (lightest < 0 || this.#relative(domain, 0) < this.#relative(lightest, 0)) {
          lightest = domain;
        }
      }
      domains[item] = lightest;
      if (lightest >= 0) this.#shift(lightest, loads[item], sizes[item]);
    }
    return domains;
  }

  /** @param domains of items that are packed already, below 0 for those that are not */
  take(loads: Float64Array, sizes: Int32Array, domains: Int32Array): void {
    domains.forEach((domain, item) => {
      if (domain >= 0) this.#shift(domain, loads[item], sizes[item]);
    });
  }

  /**
   * Unpacks items of domains that are so heavy that no placement within them could be as balanced
   * as it must: of each the lightest that helps, else the heaviest. Half of the loss is left for
   * what balance within a domain costs.
   */
  release(loads: Float64Array, sizes: Int32Array, domains: Int32Array, lossMax: number): void {
    const load = loads.reduce((sum, value) => sum + value, 0);
    const mean = load / this.#capacities.reduce((sum, value) => sum + value, 0);
    const most = mean * (1 + lossMax / 2);
    const order = [...loads.keys()].sort((a, b) => loads[a] - loads[b] || a - b);
    for (let domain = 0; domain < this.#free.length; domain += 1) {
      while (this.#capacities[domain] > 0 && this.#relative(domain, 0) > most) {
        const packed = order.filter((item) => domains[item] === domain);
        const item =
          packed.find((one) => this.#relative(domain, -loads[one]) <= most) ?? packed.at(-1);
        if (item === undefined) break;
        this.#shift(domain, -loads[item], -sizes[item]);
        domains[item] = -1;
      }
    }
  }

  improve(loads: Float64Array, sizes: Int32Array, domains: Int32Array): void {
    let improved = true;
    while (improved) {
      improved = false;
      for (let item = 0; item < domains.length; item += 1) {
        for (let other = 0; other < domains.length && domains[item] >= 0; other += 1) {
          if (domains[other] < 0 || domains[other] === domains[item]) continue;
          const shift = loads[item] - loads[other];
          const grown = sizes[item] - sizes[other];
          if (!this.#pays(domains[item], domains[other], shift, grown)) continue;
          const from = domains[item];
          this.#shift(from, -shift, -grown);
          this.#shift(domains[other], shift, grown);
          domains[item] = domains[other];
          domains[other] = from;
          improved = true;
        }
        for (let to = 0; to < this.#free.length && domains[item] >= 0; to += 1) {
          if (!(this.#capacities[to] > 0) || to === domains[item]) continue;
          if (!this.#pays(domains[item], to, loads[item], sizes[item])) continue;
          this.#shift(domains[item], -loads[item], -sizes[item]);
          this.#shift(to, loads[item], sizes[item]);
          domains[item] = to;
          improved = true;
        }
      }
    }
  }

  /** Whether the heavier of two domains gets lighter when a load goes from one to the other. */
  #pays(from: number, to: number, load: number, size: number): boolean {
    if (size > this.#free[to] || -size > this.#free[from]) return false;
    const before = Math.max(this.#relative(from, 0), this.#relative(to, 0));
    return Math.max(this.#relative(from, -load), this.#relative(to, load)) < before * (1 - 1e-9);
  }

  #relative(domain: number, more: number): number {
    return (this.#loads[domain] + more) / this.#capacities[domain];
  }

  #shift(domain: number, load: number, size: number): void {
    this.#loads[domain] += load;
    this.#free[domain] -= size;
  }
}
