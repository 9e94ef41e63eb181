import type { LayerState } from './layer-state.js';
import { softTerm } from './soft-term.js';

/**
 * The soft maximum of a layer's rank loads, log(Σ over ranks exp(β × load)) ÷ β, and by how much
 * changes would lower the sum of its terms. Figures are those of the state as last refreshed.
 */
export class SoftMaximum {
  /** Relative load of each rank, −Infinity for ranks that serve nothing, [ranks]. */
  readonly relativeLoads: Float64Array;
  /** exp(β (load − largest load)) of each rank, [ranks]. */
  readonly terms: Float64Array;
  /** Ranks, busiest first, [ranks]. */
  readonly order: Int32Array;
  readonly numServing: number;
  readonly #state: LayerState;
  #sharpness = 1;
  #largest = 0;
  #sum = 0;
  /** By how much a further replica of an expert lowers its holders' terms, [experts]. */
  readonly #addGains: Float64Array;
  readonly #addGainKnown: Uint8Array;
  /** Rise of the other holders' terms if the copy in a slot went, [slots]. */
  readonly #dropCosts: Float64Array;
  readonly #dropCostKnown: Uint8Array;

  constructor(state: LayerState) {
    const { numRanks, numExperts, capacities } = state.shape;
    this.#state = state;
    this.terms = new Float64Array(numRanks);
    this.relativeLoads = new Float64Array(numRanks);
    this.numServing = capacities.reduce((sum, capacity) => sum + (capacity > 0 ? 1 : 0), 0);
    this.order = Int32Array.from({ length: numRanks }, (_, rank) => rank);
    this.#addGains = new Float64Array(numExperts);
    this.#addGainKnown = new Uint8Array(numExperts);
    this.#dropCosts = new Float64Array(state.row.length);
    this.#dropCostKnown = new Uint8Array(state.row.length);
  }

  /** In tokens. */
  get value(): number {
    return this.#largest + Math.log(this.#sum) / this.#sharpness;
  }

  /** Largest relative rank load. */
  get largest(): number {
    return this.#largest;
  }

  /** Takes up the state as it is now. @param sharpness β, per token */
  refresh(sharpness: number): void {
    this.#sharpness = sharpness;
    const { numRanks } = this.#state.shape;
    this.#largest = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      const load = this.#relativeLoad(rank);
      this.relativeLoads[rank] = load;
      if (load > this.#largest) this.#largest = load;
    }
    this.#sortOrder();
    this.#sum = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      this.terms[rank] = this.term(this.relativeLoads[rank]);
      this.#sum += this.terms[rank];
    }
    this.#addGainKnown.fill(0);
    this.#dropCostKnown.fill(0);
  }

  /**
   * Busiest first, then the lower rank, so that the order does not depend on what was searched
   * before. A change leaves most ranks in their places, and insertion is quick.
   */
  #sortOrder(): void {
    const order = this.order;
    const loads = this.relativeLoads;
    for (let from = 1; from < order.length; from += 1) {
      const rank = order[from];
      const load = loads[rank];
      let place = from;
      while (place > 0) {
        const before = order[place - 1];
        if (loads[before] > load || (loads[before] === load && before < rank)) break;
        order[place] = before;
        place -= 1;
      }
      order[place] = rank;
    }
  }

  /** Fall of the soft maximum, in tokens, for a fall of the sum of terms. */
  gain(fall: number): number {
    return -Math.log1p(-fall / this.#sum) / this.#sharpness;
  }

  /** The most that a rank's own load can add to the soft maximum, in tokens. */
  mostGainOf(rank: number): number {
    return this.gain(Math.min(this.terms[rank], this.#sum * (1 - 1e-12)));
  }

  #relativeLoad(rank: number): number {
    if (!(this.#state.shape.capacities[rank] > 0)) return Number.NEGATIVE_INFINITY;
    return this.#loadAfter(rank, 0, 0, 0);
  }

  /** Relative load of a rank that takes on a load, and as much of each factor. */
  #loadAfter(rank: number, load: number, first: number, second: number): number {
    const { rankLoads, rankFactors, hasFactors, risk, shape } = this.#state;
    let sum = rankLoads[rank] + load;
    if (hasFactors) {
      const one = rankFactors[0][rank] + first;
      const two = rankFactors[1][rank] + second;
      sum += risk * (one * one + two * two);
    }
    return sum / shape.capacities[rank];
  }

  /** What `copies` replicas put on a rank if the expert had `count` replicas instead. */
  #loadWithCount(rank: number, expert: number, copies: number, count: number): number {
    const { counts, shares, sharesWithMore, sharesWithFewer, factorShares, hasFactors } =
      this.#state;
    const share = count > counts[expert] ? sharesWithMore[expert] : sharesWithFewer[expert];
    const change = copies * (share - shares[expert]);
    if (!hasFactors) return this.#loadAfter(rank, change, 0, 0);
    const scale = copies * (counts[expert] / count - 1);
    const [one, two] = factorShares;
    return this.#loadAfter(rank, change, scale * one[expert], scale * two[expert]);
  }

  term(relativeLoad: number): number {
    return softTerm(this.#sharpness * (relativeLoad - this.#largest));
  }

  /** Fall of the sum of terms. */
  exchangeFall(slot: number, otherSlot: number): number {
    const { row, shape } = this.#state;
    const rank = shape.rankOfSlot[slot];
    const other = shape.rankOfSlot[otherSlot];
    const shift = this.#shareIn(slot) - this.#shareIn(otherSlot);
    let one = 0;
    let two = 0;
    if (this.#state.hasFactors) {
      const [first, second] = this.#state.factorShares;
      const expert = row[slot];
      const otherExpert = row[otherSlot];
      one = first[expert] - (otherExpert < 0 ? 0 : first[otherExpert]);
      two = second[expert] - (otherExpert < 0 ? 0 : second[otherExpert]);
    }
    const after =
      this.term(this.#loadAfter(rank, -shift, -one, -two)) +
      this.term(this.#loadAfter(other, shift, one, two));
    return this.terms[rank] + this.terms[other] - after;
  }

  #shareIn(slot: number): number {
    const expert = this.#state.row[slot];
    return expert < 0 ? 0 : this.#state.shares[expert];
  }

  /** Relative load of a rank that gets a replica of `added`, or none, in place of `dropped`. */
  loadAfterCopy(rank: number, added: number, dropped: number): number {
    const { counts, shares, sharesWithMore, sharesWithFewer, factorShares, held, shape } =
      this.#state;
    const copies = dropped < 0 ? 0 : held[rank * shape.numExperts + dropped];
    let load = added < 0 ? 0 : sharesWithMore[added];
    if (copies > 0) load += (copies - 1) * sharesWithFewer[dropped] - copies * shares[dropped];
    if (!this.#state.hasFactors) return this.#loadAfter(rank, load, 0, 0);
    const [first, second] = factorShares;
    const scale = added < 0 ? 0 : counts[added] / (counts[added] + 1);
    let one = added < 0 ? 0 : first[added] * scale;
    let two = added < 0 ? 0 : second[added] * scale;
    if (copies > 0) {
      const dropScale = ((copies - 1) * counts[dropped]) / (counts[dropped] - 1) - copies;
      one += first[dropped] * dropScale;
      two += second[dropped] * dropScale;
    }
    return this.#loadAfter(rank, load, one, two);
  }

  /** Change of the holders' terms by a further replica of an expert: at most 0. */
  addGain(expert: number): number {
    if (this.#addGainKnown[expert] === 1) return this.#addGains[expert];
    const { counts, firstSlot, nextSlot, held, shape } = this.#state;
    let gain = 0;
    for (let slot = firstSlot[expert]; slot >= 0; slot = nextSlot[slot]) {
      const rank = shape.rankOfSlot[slot];
      // A rank with several copies comes up once for each.
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#loadWithCount(rank, expert, copies, counts[expert] + 1);
      gain += (this.term(load) - this.terms[rank]) / copies;
    }
    this.#addGains[expert] = gain;
    this.#addGainKnown[expert] = 1;
    return gain;
  }

  /**
   * What the other holders of an expert take on when the copy in `slot` goes. A replica that one of
   * them gains a share from at the same time makes it less, never more.
   */
  dropCost(expert: number, slot: number): number {
    if (this.#dropCostKnown[slot] === 1) return this.#dropCosts[slot];
    const { counts, firstSlot, nextSlot, held, shape } = this.#state;
    const own = shape.rankOfSlot[slot];
    let cost = 0;
    for (let at = firstSlot[expert]; at >= 0; at = nextSlot[at]) {
      const rank = shape.rankOfSlot[at];
      if (rank === own) continue;
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#loadWithCount(rank, expert, copies, counts[expert] - 1);
      cost += (this.term(load) - this.terms[rank]) / copies;
    }
    this.#dropCosts[slot] = cost;
    this.#dropCostKnown[slot] = 1;
    return cost;
  }

  /** What a replica more of one expert and one fewer of another add to common holders' terms. */
  excessOfBoth(added: number, dropped: number, except: number): number {
    const { counts, shares, sharesWithMore, sharesWithFewer, factorShares } = this.#state;
    const { firstSlot, nextSlot, held, shape } = this.#state;
    const [one, two] = factorShares;
    const less = counts[added] / (counts[added] + 1) - 1;
    const more = counts[dropped] / (counts[dropped] - 1) - 1;
    let excess = 0;
    for (let at = firstSlot[dropped]; at >= 0; at = nextSlot[at]) {
      const rank = shape.rankOfSlot[at];
      const own = held[rank * shape.numExperts + added];
      const copies = held[rank * shape.numExperts + dropped];
      if (rank === except || own === 0) continue;
      const load =
        own * (sharesWithMore[added] - shares[added]) +
        copies * (sharesWithFewer[dropped] - shares[dropped]);
      const both = this.#loadAfter(
        rank,
        load,
        own * less * one[added] + copies * more * one[dropped],
        own * less * two[added] + copies * more * two[dropped],
      );
      const apart =
        this.term(this.#loadWithCount(rank, added, own, counts[added] + 1)) +
        this.term(this.#loadWithCount(rank, dropped, copies, counts[dropped] - 1));
      excess += (this.term(both) + this.terms[rank] - apart) / copies;
    }
    return excess;
  }
}
