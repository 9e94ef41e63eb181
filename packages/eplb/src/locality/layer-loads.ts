/**
 * One layer's tokens by expert, scaled so that an even spread over all capacity is 1 on each rank.
 */
export interface LayerLoads {
  /** By source domain, [domains × (experts + 1)]; the last expert is none, and has no load. */
  readonly bySource: Float64Array;
  /**
   * Sources pooled, as if each domain sent alike, [(1 + blocks) × (experts + 1)]: of all the time,
   * and of parts of it.
   */
  readonly pooled: Float64Array;
  readonly numBlocks: number;
  /**
   * Part of the tokens that each domain would send if all ranks sent alike, [domains]: pooled loads
   * know no sources, and who sends most now need not do so next.
   */
  readonly parts: Float64Array;
}

/**
 * The mean of n blocks is off by a 1/n part of a block's variance, and so are the loads to come;
 * blocks understate both, since tokens of one sequence fall into one or two: twice as much again.
 */
const BLOCKS_WEIGHT = 4;
/**
 * Relative load by which ranks may be over under the loads by source: shares take that away, and a
 * placement that fits every source's taste of the moment fits no other.
 */
const BY_SOURCE_SLACK = 0.01;

/**
 * Rank loads of one layer while replicas come and go: under the loads by source, under pooled
 * loads, and in each block of time. A replica's share is that of the source domains which its domain serves, split evenly
 * over the domain's replicas.
 */
export class RankLoadLedger {
  readonly #loads: LayerLoads;
  readonly #numRanks: number;
  readonly #numDomains: number;
  readonly #stride: number;
  /** 1 ÷ capacity, [ranks] */
  readonly #perCapacity: Float64Array;
  /** [(2 + blocks) × ranks]: by source, pooled, and the blocks. */
  readonly #rankLoads: Float64Array;
  readonly #committed: Float64Array;

  constructor(loads: LayerLoads, capacities: Float64Array, numDomains: number) {
    this.#loads = loads;
    this.#numRanks = capacities.length;
    this.#numDomains = numDomains;
    this.#stride = loads.bySource.length / numDomains;
    this.#perCapacity = capacities.map((capacity) => (capacity > 0 ? 1 / capacity : 0));
    this.#rankLoads = new Float64Array((2 + loads.numBlocks) * this.#numRanks);
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
    const { bySource } = this.#loads;
    let load = 0;
    let part = 0;
    for (let source = 0; source < this.#numDomains; source += 1) {
      if (targets[source * stride + expert] !== domain) continue;
      load += bySource[source * stride + expert] ?? 0;
      part += this.#loads.parts[source];
    }
    if (part === 0) return;
    const weight = (sign * (this.#perCapacity[rank] ?? 0)) / copies;
    const rankLoads = this.#rankLoads;
    rankLoads[rank] = (rankLoads[rank] ?? 0) + load * weight;
    this.#addPooled(expert, rank, weight * part);
  }

  /** Adds one of an expert's replicas that all take the same share, under pooled loads only. */
  addEven(expert: number, rank: number, replicas: number): void {
    this.#addPooled(expert, rank, (this.#perCapacity[rank] ?? 0) / replicas);
  }

  #addPooled(expert: number, rank: number, weight: number): void {
    const { pooled, numBlocks } = this.#loads;
    const rankLoads = this.#rankLoads;
    let at = rank;
    for (let block = 0; block <= numBlocks; block += 1) {
      at += this.#numRanks;
      rankLoads[at] = (rankLoads[at] ?? 0) + (pooled[block * this.#stride + expert] ?? 0) * weight;
    }
  }

  /** What ranks carry above a cap, by source and pooled, summed. */
  excess(cap: number): number {
    let sum = 0;
    for (let at = 0; at < 2 * this.#numRanks; at += 1) {
      const over = (this.#rankLoads[at] ?? 0) - (at < this.#numRanks ? cap + BY_SOURCE_SLACK : cap);
      if (over > 0) sum += over;
    }
    return sum;
  }

  /**
   * How unevenly ranks are expected to be loaded next time: root of the mean square of what they
   * are off 1 by under pooled loads, and of what blocks differ from those by.
   */
  spread(): number {
    const { numBlocks } = this.#loads;
    const numRanks = this.#numRanks;
    let uneven = 0;
    let varying = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      const pooled = this.#rankLoads[numRanks + rank] ?? 0;
      uneven += (pooled - 1) ** 2;
      let at = numRanks + rank;
      for (let block = 0; block < numBlocks; block += 1) {
        at += numRanks;
        varying += ((this.#rankLoads[at] ?? 0) - pooled) ** 2;
      }
    }
    const blocksWeight = numBlocks > 0 ? BLOCKS_WEIGHT / numBlocks ** 2 : 0;
    return Math.sqrt((uneven + blocksWeight * varying) / numRanks);
  }
}
