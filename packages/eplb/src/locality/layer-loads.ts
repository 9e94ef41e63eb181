/**
 * One layer's tokens by expert, scaled so that an even spread over all capacity is 1 on each rank.
 */
export interface LayerLoads {
  /** By source domain, [domains × (experts + 1)]; the last expert is none, and has no load. */
  readonly bySource: Float64Array;
  /** In parts of the time, sources pooled, [blocks × (experts + 1)]. */
  readonly blocks: Float64Array;
  readonly numBlocks: number;
}

/**
 * Rank loads of one layer while replicas come and go: under the loads by source, and in each block
 * of time. A replica's share is that of the source domains which its domain serves, split evenly
 * over the domain's replicas.
 */
export class RankLoadLedger {
  readonly #loads: LayerLoads;
  readonly #numRanks: number;
  readonly #numDomains: number;
  readonly #stride: number;
  /** 1 ÷ capacity, [ranks] */
  readonly #perCapacity: Float64Array;
  /** [(1 + blocks) × ranks], the loads by source first. */
  readonly #rankLoads: Float64Array;
  readonly #committed: Float64Array;

  constructor(loads: LayerLoads, capacities: Float64Array, numDomains: number) {
    this.#loads = loads;
    this.#numRanks = capacities.length;
    this.#numDomains = numDomains;
    this.#stride = loads.bySource.length / numDomains;
    this.#perCapacity = capacities.map((capacity) => (capacity > 0 ? 1 / capacity : 0));
    this.#rankLoads = new Float64Array((1 + loads.numBlocks) * this.#numRanks);
    this.#committed = this.#rankLoads.slice();
  }

  clear(): void {
    this.#rankLoads.fill(0);
  }

  commit(): void {
    this.#committed.set(this.#rankLoads);
  }

  /** Back to the last commit. */
  revert(): void {
    this.#rankLoads.set(this.#committed);
  }

  /**
   * Adds to a rank, or with `sign` −1 takes from it, one replica's share of an expert.
   * @param targets domain that serves the expert for each source domain, [domains × stride]
   * @param copies replicas that this domain has of the expert
   */
  add(
    expert: number,
    rank: number,
    domain: number,
    copies: number,
    targets: Int32Array,
    sign: number,
  ): void {
    const stride = this.#stride;
    const { bySource, blocks, numBlocks } = this.#loads;
    let load = 0;
    let sources = 0;
    for (let source = 0; source < this.#numDomains; source += 1) {
      if (targets[source * stride + expert] !== domain) continue;
      load += bySource[source * stride + expert] ?? 0;
      sources += 1;
    }
    if (sources === 0) return;
    const weight = (sign * (this.#perCapacity[rank] ?? 0)) / copies;
    const rankLoads = this.#rankLoads;
    rankLoads[rank] = (rankLoads[rank] ?? 0) + load * weight;
    const blockWeight = (weight * sources) / this.#numDomains;
    let at = rank;
    for (let block = 0; block < numBlocks; block += 1) {
      at += this.#numRanks;
      rankLoads[at] = (rankLoads[at] ?? 0) + (blocks[block * stride + expert] ?? 0) * blockWeight;
    }
  }

  /** What ranks carry above a cap, summed. */
  excess(cap: number): number {
    let sum = 0;
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      const over = (this.#rankLoads[rank] ?? 0) - cap;
      if (over > 0) sum += over;
    }
    return sum;
  }

  largest(): number {
    let largest = 0;
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      const load = this.#rankLoads[rank] ?? 0;
      if (load > largest) largest = load;
    }
    return largest;
  }

  /** Largest rank load in a block, on average over blocks; 0 where there are none. */
  meanLargestOfBlocks(): number {
    const { numBlocks } = this.#loads;
    if (numBlocks === 0) return 0;
    let sum = 0;
    let at = this.#numRanks;
    for (let block = 0; block < numBlocks; block += 1) {
      let largest = 0;
      for (let rank = 0; rank < this.#numRanks; rank += 1, at += 1) {
        const load = this.#rankLoads[at] ?? 0;
        if (load > largest) largest = load;
      }
      sum += largest;
    }
    return sum / numBlocks;
  }
}
