import { DomainLimits } from './domain-limits.js';

/** What all layers of a request share. */
export interface SlotShape {
  readonly numExperts: number;
  readonly numRanks: number;
  /** First slot of each rank, [ranks + 1]. */
  readonly slotOffsets: Int32Array;
  /** [slots] */
  readonly rankOfSlot: Int32Array;
  /** Relative speed of each rank, 0 for ranks that serve nothing, [ranks]. */
  readonly capacities: Float64Array;
  /** 1 for slots that keep their expert, [slots]. */
  readonly pinned: Uint8Array;
  /** 1 for slots that are to be empty; they are pinned too, [slots]. */
  readonly closed: Uint8Array;
  /** Failure domain of each rank, [ranks]; null where copies need not be spread over them. */
  readonly failureDomains: Int32Array | null;
  /** Fast domain of each rank, [ranks]; null where no expert is to stay within one. */
  readonly fastDomains: Int32Array | null;
}

/**
 * One layer's placement while it is searched: which expert each slot holds, and what follows from
 * it, kept up to date at every change. Slots of ranks that serve nothing are empty.
 *
 * An expert with c replicas puts the share L ÷ c + risk × V ÷ c² on each of its ranks: its mean
 * load, and as a price of uncertainty its variance. With Σ exp(β × load) as the measure of a
 * placement and normal loads, risk = β ÷ 2 is exact: the expectation of exp(β x) is
 * exp(β mean + β² variance ÷ 2).
 *
 * Where loads err together, a factor says by how many tokens each expert is off at one standard
 * deviation. On a rank these add up before they are squared, so that experts which rise and fall
 * together are kept apart, and those that take turns are put together.
 */
export class LayerState {
  readonly shape: SlotShape;
  /** Expert of each slot, −1 for none, [slots]. */
  readonly row: Int32Array;
  /** Replicas of each expert on ranks that serve, [experts]. */
  readonly counts: Int32Array;
  /** Load on one replica, [experts]; on one if there were one more, and one fewer. */
  readonly shares: Float64Array;
  readonly sharesWithMore: Float64Array;
  readonly sharesWithFewer: Float64Array;
  /** [ranks] */
  readonly rankLoads: Float64Array;
  /** Tokens on one replica at one standard deviation of each factor, [factors][experts]. */
  readonly factorShares: readonly [Float64Array, Float64Array];
  /** The same on each rank, [factors][ranks]. */
  readonly rankFactors: readonly [Float64Array, Float64Array];
  hasFactors = false;
  /** Replicas of each expert on each rank, [ranks × experts]. */
  readonly held: Uint8Array;
  /** 1 where the placement that the search started from has the expert on the rank. */
  readonly heldBefore: Uint8Array;
  /** Slots that hold an expert as linked lists: the first by expert, the next by slot; −1 ends. */
  readonly firstSlot: Int32Array;
  readonly nextSlot: Int32Array;
  /** Where replicas may go; null where they may go anywhere. */
  readonly limits: DomainLimits | null;
  /** Slots whose expert was not on their rank before: weights that must travel. */
  moves = 0;
  #loads: Float64Array = new Float64Array(0);
  #variances: Float64Array = new Float64Array(0);
  #factors: readonly Float64Array[] = [];
  risk = 0;

  constructor(shape: SlotShape) {
    this.shape = shape;
    const { numExperts, numRanks, rankOfSlot } = shape;
    this.row = new Int32Array(rankOfSlot.length);
    this.counts = new Int32Array(numExperts);
    this.shares = new Float64Array(numExperts);
    this.sharesWithMore = new Float64Array(numExperts);
    this.sharesWithFewer = new Float64Array(numExperts);
    this.rankLoads = new Float64Array(numRanks);
    this.factorShares = [new Float64Array(numExperts), new Float64Array(numExperts)];
    this.rankFactors = [new Float64Array(numRanks), new Float64Array(numRanks)];
    this.held = new Uint8Array(numRanks * numExperts);
    this.heldBefore = new Uint8Array(numRanks * numExperts);
    this.firstSlot = new Int32Array(numExperts);
    this.nextSlot = new Int32Array(rankOfSlot.length);
    const isLimited = shape.failureDomains !== null || shape.fastDomains !== null;
    this.limits = isLimited ? new DomainLimits(shape) : null;
  }

  /**
   * Takes up a layer.
   * @param loads [experts]
   * @param variances of the loads, [experts], beyond those of the factors
   * @param factors by which loads err together, at most two, each [experts]
   * @param risk weight of the variances, per token
   * @param before the placement in force, [slots]; null: nothing is anywhere, and nothing moves
   * @param homes fast domain that each expert is to stay in, −1 for any, [experts]; null: no such
   */
  begin(
    loads: Float64Array,
    variances: Float64Array,
    factors: readonly Float64Array[],
    risk: number,
    before: Int32Array | null,
    homes: Int32Array | null,
  ): void {
    this.limits?.begin(homes);
    this.#loads = loads;
    this.#variances = variances;
    this.#factors = factors;
    this.hasFactors = factors.length > 0;
    this.risk = risk;
    this.heldBefore.fill(before === null ? 1 : 0);
    if (before === null) return;
    const { numExperts, rankOfSlot } = this.shape;
    for (let slot = 0; slot < before.length; slot += 1) {
      const expert = before[slot];
      if (expert >= 0) this.heldBefore[rankOfSlot[slot] * numExperts + expert] = 1;
    }
  }

  /** Sets the whole placement, [slots]; what ranks that serve nothing and closed slots hold is left out. */
  load(row: Int32Array): void {
    const { numExperts, rankOfSlot, capacities, closed } = this.shape;
    this.counts.fill(0);
    this.held.fill(0);
    this.limits?.clear();
    this.firstSlot.fill(-1);
    this.moves = 0;
    for (let slot = row.length - 1; slot >= 0; slot -= 1) {
      const rank = rankOfSlot[slot];
      const expert = capacities[rank] > 0 && closed[slot] === 0 ? row[slot] : -1;
      this.row[slot] = expert;
      if (expert >= 0) this.#link(slot, expert, rank * numExperts + expert);
    }
    this.sumLoads();
  }

  /** Shares and rank loads anew, so that rounding does not add up. */
  sumLoads(): void {
    for (let expert = 0; expert < this.counts.length; expert += 1) {
      this.#setShares(expert, this.counts[expert]);
    }
    this.rankLoads.fill(0);
    this.rankFactors[0].fill(0);
    this.rankFactors[1].fill(0);
    const { rankOfSlot } = this.shape;
    for (let slot = 0; slot < this.row.length; slot += 1) {
      const expert = this.row[slot];
      if (expert >= 0) this.#addToRank(rankOfSlot[slot], expert, 1);
    }
  }

  /** Adds one replica's share to a rank's load, or takes it away (−1). */
  #addToRank(rank: number, expert: number, sign: number): void {
    this.rankLoads[rank] += sign * this.shares[expert];
    if (!this.hasFactors) return;
    this.rankFactors[0][rank] += sign * this.factorShares[0][expert];
    this.rankFactors[1][rank] += sign * this.factorShares[1][expert];
  }

  #setShares(expert: number, count: number): void {
    this.shares[expert] = this.#share(expert, count);
    this.sharesWithMore[expert] = this.#share(expert, count + 1);
    this.sharesWithFewer[expert] = this.#share(expert, count - 1);
    if (!this.hasFactors) return;
    for (let factor = 0; factor < 2; factor += 1) {
      const tokens = factor < this.#factors.length ? this.#factors[factor][expert] : 0;
      this.factorShares[factor][expert] = tokens / Math.max(1, count);
    }
  }

  /** Load on one replica of an expert that has `count` of them. */
  #share(expert: number, count: number): number {
    const one = 1 / (count < 1 ? 1 : count);
    const variance = this.#variances[expert];
    return this.#loads[expert] * one + this.risk * variance * one * one;
  }

  /** Puts an expert, −1 for none, into a slot. */
  put(slot: number, expert: number): void {
    const rank = this.shape.rankOfSlot[slot];
    const before = this.row[slot];
    if (before >= 0) {
      this.#addToRank(rank, before, -1);
      this.#unlink(slot, before, rank * this.shape.numExperts + before);
      this.#changeShares(before, this.counts[before]);
    }
    this.row[slot] = expert;
    if (expert < 0) return;
    this.#changeShares(expert, this.counts[expert] + 1);
    this.#link(slot, expert, rank * this.shape.numExperts + expert);
    this.#addToRank(rank, expert, 1);
  }

  /** Exchanges what two slots hold. */
  exchange(slot: number, other: number): void {
    const { numExperts, rankOfSlot } = this.shape;
    const expert = this.row[slot];
    const otherExpert = this.row[other];
    const rank = rankOfSlot[slot];
    const otherRank = rankOfSlot[other];
    if (expert >= 0) {
      this.#addToRank(rank, expert, -1);
      this.#addToRank(otherRank, expert, 1);
      this.#unlink(slot, expert, rank * numExperts + expert);
    }
    if (otherExpert >= 0) {
      this.#addToRank(otherRank, otherExpert, -1);
      this.#addToRank(rank, otherExpert, 1);
      this.#unlink(other, otherExpert, otherRank * numExperts + otherExpert);
    }
    this.row[slot] = otherExpert;
    this.row[other] = expert;
    if (otherExpert >= 0) this.#link(slot, otherExpert, rank * numExperts + otherExpert);
    if (expert >= 0) this.#link(other, expert, otherRank * numExperts + expert);
  }

  /** Moves that an exchange adds; the first slot is not empty. */
  movesOfExchange(slot: number, other: number): number {
    const { row, heldBefore, shape } = this;
    const at = shape.rankOfSlot[slot] * shape.numExperts;
    const otherAt = shape.rankOfSlot[other] * shape.numExperts;
    const moves = heldBefore[at + row[slot]] - heldBefore[otherAt + row[slot]];
    if (row[other] < 0) return moves;
    return moves + heldBefore[otherAt + row[other]] - heldBefore[at + row[other]];
  }

  /** An expert has `count` replicas from now on: those in place take another share each. */
  #changeShares(expert: number, count: number): void {
    const { rankOfSlot } = this.shape;
    for (let slot = this.firstSlot[expert]; slot >= 0; slot = this.nextSlot[slot]) {
      this.#addToRank(rankOfSlot[slot], expert, -1);
    }
    this.#setShares(expert, count);
    for (let slot = this.firstSlot[expert]; slot >= 0; slot = this.nextSlot[slot]) {
      this.#addToRank(rankOfSlot[slot], expert, 1);
    }
  }

  #link(slot: number, expert: number, at: number): void {
    this.nextSlot[slot] = this.firstSlot[expert];
    this.firstSlot[expert] = slot;
    this.counts[expert] += 1;
    this.held[at] += 1;
    this.limits?.count(expert, this.shape.rankOfSlot[slot], 1);
    if (this.heldBefore[at] === 0) this.moves += 1;
  }

  #unlink(slot: number, expert: number, at: number): void {
    const first = this.firstSlot[expert];
    if (first === slot) {
      this.firstSlot[expert] = this.nextSlot[slot];
    } else {
      let previous = first;
      while (this.nextSlot[previous] !== slot) previous = this.nextSlot[previous];
      this.nextSlot[previous] = this.nextSlot[slot];
    }
    this.counts[expert] -= 1;
    this.held[at] -= 1;
    this.limits?.count(expert, this.shape.rankOfSlot[slot], -1);
    if (this.heldBefore[at] === 0) this.moves -= 1;
  }
}
