import type { LayerState } from './layer-state.js';
import { mayOverwrite } from './mend.js';
import { softTerm } from './soft-term.js';

/** What the search makes smaller, and what a change may cost. */
export interface SearchGoal {
  /**
   * Sharpness β of the soft maximum log(Σ over ranks exp(β × load)) ÷ β, per token: the larger,
   * the nearer it is to the largest rank load alone.
   */
  readonly sharpness: number;
  /** Tokens by which the soft maximum must fall for each move. */
  readonly moveCost: number;
  /** Most moves, counted from the placement in force. */
  readonly movesMax: number;
  /** A largest rank load that needs no further search. */
  readonly enough: number;
}

/** Kinds of change, by the moves that they add: −2 … 2. */
const classes = 5;
const none = -1;

/**
 * Descends from a layer's placement to a local minimum of the soft maximum of its rank loads,
 * plus the cost of moves. From the busiest rank, and from the next ones as long as they matter, it
 * weighs every exchange of two slots between ranks, every further copy of one of the rank's
 * experts over a redundant copy or an empty slot elsewhere, and every copy of another expert over
 * one of the rank's redundant copies; it takes the change that gains most.
 */
export class LayerSearch {
  /** Candidate changes weighed so far. */
  work = 0;
  readonly #state: LayerState;
  #goal: SearchGoal = { sharpness: 1, moveCost: 0, movesMax: 0, enough: 0 };
  /** exp(β (load − reference)) of each rank, [ranks], and their sum. */
  readonly #terms: Float64Array;
  #reference = 0;
  #sum = 0;
  /** By how much a further replica of an expert lowers its holders' terms, [experts]. */
  readonly #addGains: Float64Array;
  readonly #addGainKnown: Uint8Array;
  /** Rise of all holders' terms if their shares were those of one replica fewer, [experts]; by slot. */
  readonly #dropCosts: Float64Array;
  readonly #dropCostKnown: Uint8Array;
  readonly #ownDropCosts: Float64Array;
  readonly #order: Int32Array;
  /** 1 for ranks in which no change was found to pay, until a change touches them, [ranks]. */
  readonly #settled: Uint8Array;
  /** The best change of each class: fall of the sum of terms, and the change itself. */
  readonly #bestFalls = new Float64Array(classes);
  readonly #bestSlots = new Int32Array(classes);
  /** The other slot of an exchange, or −1 − expert for a copy over `slot`. */
  readonly #bestOthers = new Int32Array(classes);
  readonly #nearest = new Float64Array(classes);
  readonly #nearestSlots = new Int32Array(classes);
  readonly #nearestOthers = new Int32Array(classes);

  constructor(state: LayerState) {
    const { numRanks, numExperts } = state.shape;
    this.#state = state;
    this.#terms = new Float64Array(numRanks);
    this.#order = new Int32Array(numRanks);
    this.#settled = new Uint8Array(numRanks);
    this.#addGains = new Float64Array(numExperts);
    this.#addGainKnown = new Uint8Array(numExperts);
    this.#dropCosts = new Float64Array(numExperts);
    this.#dropCostKnown = new Uint8Array(numExperts);
    this.#ownDropCosts = new Float64Array(state.row.length);
  }

  /**
   * Changes the state until no change pays, the largest rank load is down to `goal.enough`, or the
   * work is used up. @returns the objective
   */
  descend(goal: SearchGoal, workMax: number): number {
    this.#goal = goal;
    this.#settled.fill(0);
    let confirming = true;
    this.#refresh();
    while (this.work < workMax && this.#reference > goal.enough) {
      if (this.#improve(workMax)) {
        this.#refresh();
        confirming = false;
      } else {
        // Ranks set aside since the last full round may gain by now: one more look at them all.
        if (confirming) break;
        this.#settled.fill(0);
        confirming = true;
      }
    }
    return this.objective();
  }

  /** Soft maximum of the rank loads plus the cost of moves, in tokens, as last descended. */
  objective(): number {
    const { sharpness, moveCost } = this.#goal;
    const soft = this.#reference + Math.log(this.#sum) / sharpness;
    return this.#state.moves > 0 ? soft + moveCost * this.#state.moves : soft;
  }

  /** Largest relative rank load, as last descended. */
  get largest(): number {
    return this.#reference;
  }

  #relativeLoad(rank: number): number {
    const capacity = this.#state.shape.capacities[rank];
    return capacity > 0 ? this.#state.rankLoads[rank] / capacity : Number.NEGATIVE_INFINITY;
  }

  #term(relativeLoad: number): number {
    return softTerm(this.#goal.sharpness * (relativeLoad - this.#reference));
  }

  #refresh(): void {
    const { numRanks } = this.#state.shape;
    this.#reference = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      const load = this.#relativeLoad(rank);
      if (load > this.#reference) this.#reference = load;
      let place = rank;
      while (place > 0 && this.#relativeLoad(this.#order[place - 1]) < load) {
        this.#order[place] = this.#order[place - 1];
        place -= 1;
      }
      this.#order[place] = rank;
    }
    this.#sum = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      this.#terms[rank] = this.#term(this.#relativeLoad(rank));
      this.#sum += this.#terms[rank];
    }
    this.#addGainKnown.fill(0);
    this.#dropCostKnown.fill(0);
  }

  /** Fall of the objective, in tokens, for a fall of the sum of terms. */
  #gain(fall: number): number {
    return -Math.log1p(-fall / this.#sum) / this.#goal.sharpness;
  }

  #improve(workMax: number): boolean {
    const { moveCost } = this.#goal;
    const leastGain = 1e-9 * this.#reference;
    for (let place = 0; place < this.#order.length && this.work < workMax; place += 1) {
      const rank = this.#order[place];
      const most = this.#gain(Math.min(this.#terms[rank], this.#sum * (1 - 1e-12)));
      if (most <= Math.max(moveCost, leastGain)) return false;
      if (this.#settled[rank] === 1) continue;
      this.#bestFalls.fill(0);
      this.#weighExchanges(rank);
      this.#weighCopies(rank);
      if (this.#takeBest(leastGain)) return true;
      this.#settled[rank] = 1;
    }
    return false;
  }

  #takeBest(leastGain: number): boolean {
    const { moveCost, movesMax } = this.#goal;
    let best = none;
    let bestNet = leastGain;
    for (let kind = 0; kind < classes; kind += 1) {
      if (this.#bestFalls[kind] <= 0) continue;
      const moves = kind - 2;
      if (moves > 0 && this.#state.moves + moves > movesMax) continue;
      const net = this.#gain(this.#bestFalls[kind]) - (moves === 0 ? 0 : moveCost * moves);
      if (net > bestNet) {
        bestNet = net;
        best = kind;
      }
    }
    if (best === none) return false;
    const other = this.#bestOthers[best];
    this.#unsettle(this.#bestSlots[best]);
    if (other >= 0) this.#unsettle(other);
    if (other < 0) this.#state.put(this.#bestSlots[best], none - other);
    else this.#state.exchange(this.#bestSlots[best], other);
    return true;
  }

  #unsettle(slot: number): void {
    this.#settled[this.#state.shape.rankOfSlot[slot]] = 0;
  }

  #offer(kind: number, fall: number, slot: number, other: number): void {
    if (fall <= this.#bestFalls[kind]) return;
    this.#bestFalls[kind] = fall;
    this.#bestSlots[kind] = slot;
    this.#bestOthers[kind] = other;
  }

  #weighExchanges(rank: number): void {
    const { capacities, numRanks } = this.#state.shape;
    const load = this.#relativeLoad(rank);
    const weight = 1 / capacities[rank];
    for (let other = 0; other < numRanks; other += 1) {
      if (other === rank || !(capacities[other] > 0)) continue;
      const otherWeight = 1 / capacities[other];
      const otherLoad = this.#relativeLoad(other);
      // The sum of two terms is convex in what is shifted, and least where they are equal.
      const target = (load - otherLoad) / (weight + otherWeight);
      if (target <= 0) continue;
      this.#nearest.fill(target);
      this.#findNearest(rank, other, target);
      for (let kind = 0; kind < classes; kind += 1) {
        if (this.#nearest[kind] >= target) continue;
        const slot = this.#nearestSlots[kind];
        const otherSlot = this.#nearestOthers[kind];
        const shift = this.#shareIn(slot) - this.#shareIn(otherSlot);
        const after =
          this.#term(load - shift * weight) + this.#term(otherLoad + shift * otherWeight);
        this.#offer(kind, this.#terms[rank] + this.#terms[other] - after, slot, otherSlot);
      }
    }
  }

  #shareIn(slot: number): number {
    const expert = this.#state.row[slot];
    return expert < 0 ? 0 : this.#state.shares[expert];
  }

  /** Of each class the exchange between two ranks that shifts nearest to `target`. */
  #findNearest(rank: number, other: number, target: number): void {
    const { row, shares, held, heldBefore, shape } = this.#state;
    const { slotOffsets, numExperts, pinned } = shape;
    const at = rank * numExperts;
    const otherAt = other * numExperts;
    const first = slotOffsets[other];
    const last = slotOffsets[other + 1];
    for (let slot = slotOffsets[rank]; slot < slotOffsets[rank + 1]; slot += 1) {
      const expert = row[slot];
      if (expert < 0 || pinned[slot] === 1 || held[otherAt + expert] !== 0) continue;
      const share = shares[expert];
      const leaving = heldBefore[otherAt + expert] - heldBefore[at + expert];
      this.work += last - first;
      for (let otherSlot = first; otherSlot < last; otherSlot += 1) {
        const otherExpert = row[otherSlot];
        const shift = otherExpert < 0 ? share : share - shares[otherExpert];
        const distance = Math.abs(shift - target);
        if (!(distance < target) || pinned[otherSlot] === 1) continue;
        let kind = 2 - leaving;
        if (otherExpert >= 0) {
          if (held[at + otherExpert] !== 0) continue;
          kind += heldBefore[otherAt + otherExpert] - heldBefore[at + otherExpert];
        }
        if (distance >= this.#nearest[kind]) continue;
        this.#nearest[kind] = distance;
        this.#nearestSlots[kind] = slot;
        this.#nearestOthers[kind] = otherSlot;
      }
    }
  }

  #weighCopies(rank: number): void {
    const { row, held, shape } = this.#state;
    const { slotOffsets, numExperts } = shape;
    const first = slotOffsets[rank];
    const last = slotOffsets[rank + 1];
    for (let slot = 0; slot < row.length; slot += 1) {
      if (slot === first) slot = last;
      if (slot >= row.length) break;
      if (!mayOverwrite(this.#state, slot)) continue;
      this.work += last - first;
      for (let own = first; own < last; own += 1) {
        if (row[own] >= 0) this.#weighCopy(row[own], slot);
      }
    }
    for (let slot = first; slot < last; slot += 1) {
      if (!mayOverwrite(this.#state, slot)) continue;
      this.work += numExperts;
      for (let expert = 0; expert < numExperts; expert += 1) {
        if (held[rank * numExperts + expert] === 0) this.#weighCopy(expert, slot);
      }
    }
  }

  /** A further copy of an expert over what a slot holds. */
  #weighCopy(expert: number, slot: number): void {
    const { row, sharesWithMore, held, heldBefore, shape, rankLoads } = this.#state;
    const { rankOfSlot, numExperts, capacities } = shape;
    const rank = rankOfSlot[slot];
    const at = rank * numExperts;
    if (held[at + expert] !== 0) return;
    const other = row[slot];
    const dropped = other < 0 ? 0 : this.#droppedLoad(other, held[at + other]);
    const load = (rankLoads[rank] - dropped + sharesWithMore[expert]) / capacities[rank];
    const kind = 3 - heldBefore[at + expert] - (other < 0 ? 0 : 1 - heldBefore[at + other]);
    const best = this.#bestFalls[kind];
    const relief = -this.#addGain(expert);
    // Dropping only adds to other ranks' terms, so without it a change looks no worse than it is.
    if (relief <= best && load * capacities[rank] >= rankLoads[rank]) return;
    if (relief + this.#terms[rank] <= best) return;
    const least = relief + this.#terms[rank] - this.#term(load);
    if (least <= best) return;
    const fall = other < 0 ? least : least - this.#dropCost(other, slot);
    this.#offer(kind, fall, slot, none - expert);
  }

  /** What a rank with `copies` of an expert is rid of when one of them goes. */
  #droppedLoad(expert: number, copies: number): number {
    const { shares, sharesWithFewer } = this.#state;
    return copies * shares[expert] - (copies - 1) * sharesWithFewer[expert];
  }

  /** Change of the holders' terms by a further replica of an expert: at most 0. */
  #addGain(expert: number): number {
    if (this.#addGainKnown[expert] === 1) return this.#addGains[expert];
    const { shares, sharesWithMore, firstSlot, nextSlot, held, shape } = this.#state;
    const change = sharesWithMore[expert] - shares[expert];
    let gain = 0;
    for (let slot = firstSlot[expert]; slot >= 0; slot = nextSlot[slot]) {
      const rank = shape.rankOfSlot[slot];
      // A rank with several copies comes up once for each.
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#relativeLoad(rank) + (copies * change) / shape.capacities[rank];
      gain += (this.#term(load) - this.#terms[rank]) / copies;
    }
    this.#addGains[expert] = gain;
    this.#addGainKnown[expert] = 1;
    return gain;
  }

  /**
   * What the other holders of an expert take on when the copy in `slot` goes. A replica that one of
   * them gains a share from at the same time makes it less, never more.
   */
  #dropCost(expert: number, slot: number): number {
    if (this.#dropCostKnown[expert] === 0) this.#sumDropCosts(expert);
    return this.#dropCosts[expert] - this.#ownDropCosts[slot];
  }

  #sumDropCosts(expert: number): void {
    const { shares, sharesWithFewer, firstSlot, nextSlot, held, shape } = this.#state;
    const rise = sharesWithFewer[expert] - shares[expert];
    let sum = 0;
    for (let slot = firstSlot[expert]; slot >= 0; slot = nextSlot[slot]) {
      const rank = shape.rankOfSlot[slot];
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#relativeLoad(rank) + (copies * rise) / shape.capacities[rank];
      const cost = (this.#term(load) - this.#terms[rank]) / copies;
      this.#ownDropCosts[slot] = cost;
      sum += cost;
    }
    this.#dropCosts[expert] = sum;
    this.#dropCostKnown[expert] = 1;
  }
}
