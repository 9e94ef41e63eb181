import type { DomainLimits } from './domain-limits.js';
import type { LayerState } from './layer-state.js';
import { mayOverwrite } from './mend.js';
import { SoftMaximum } from './soft-maximum.js';

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
  /** Whether ranks that were given up are looked at again when others have changed. */
  readonly thorough: boolean;
  /** Whether redundant copies may go with nothing in their place. */
  readonly mayEmpty: boolean;
  /** Whether changes are looked for between the busiest rank and the lightest ones alone. */
  readonly busiestOnly: boolean;
}

/** Kinds of change, by the moves that they add: −2 … 2. */
const classes = 5;
const none = -1;
/** A negative code for an expert, or none, and back. */
const copyOf = (expert: number) => -2 - expert;
const expertOf = (code: number) => -2 - code;
/** Ranks that are weighed as partners of a busy one before all others. */
const lightestRanks = 8;

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
  readonly #limits: DomainLimits | null;
  #goal: SearchGoal = {
    sharpness: 1,
    moveCost: 0,
    movesMax: 0,
    enough: 0,
    thorough: false,
    mayEmpty: false,
    busiestOnly: false,
  };
  readonly #soft: SoftMaximum;
  /** 1 for ranks in which no change was found to pay, until a change touches them, [ranks]. */
  readonly #settled: Uint8Array;
  /** The best change of each class: fall of the sum of terms, and the change itself. */
  readonly #bestFalls = new Float64Array(classes);
  readonly #bestSlots = new Int32Array(classes);
  /** The other slot of an exchange, or what `copyOf` makes of an expert that takes `slot`. */
  readonly #bestOthers = new Int32Array(classes);
  readonly #nearest = new Float64Array(classes);
  readonly #nearestSlots = new Int32Array(classes);
  readonly #nearestOthers = new Int32Array(classes);
  /** Slots of another rank that may be exchanged, their shares, and moves that this adds. */
  readonly #partners: Int32Array;
  readonly #partnerShares: Float64Array;
  readonly #partnerMoves: Int8Array;

  constructor(state: LayerState) {
    this.#state = state;
    this.#limits = state.limits;
    this.#soft = new SoftMaximum(state);
    this.#settled = new Uint8Array(state.shape.numRanks);
    const most = state.shape.slotOffsets.reduce(
      (slots, offset, rank, offsets) =>
        Math.max(slots, offset - (rank > 0 ? offsets[rank - 1] : 0)),
      0,
    );
    this.#partners = new Int32Array(most);
    this.#partnerShares = new Float64Array(most);
    this.#partnerMoves = new Int8Array(most);
  }

  /**
   * Changes the state until no change pays, the largest rank load is down to `goal.enough`, or the
   * work is used up.
   */
  descend(goal: SearchGoal, workMax: number): void {
    this.#goal = goal;
    this.#settled.fill(0);
    let confirming = !goal.thorough;
    this.#soft.refresh(goal.sharpness);
    while (this.work < workMax && this.#soft.largest > goal.enough) {
      if (this.#improve(workMax)) {
        this.#soft.refresh(goal.sharpness);
        confirming = !goal.thorough;
      } else {
        // Ranks set aside since the last full round may gain by now: one more look at them all.
        if (confirming) break;
        this.#settled.fill(0);
        confirming = true;
      }
    }
  }

  /** Soft maximum of the rank loads plus the cost of moves, in tokens, as last descended. */
  objective(): number {
    const { moves } = this.#state;
    return this.#soft.value + (moves > 0 ? this.#goal.moveCost * moves : 0);
  }

  /** Takes up a state that something else has changed. */
  refresh(): void {
    this.#soft.refresh(this.#goal.sharpness);
  }

  /** Largest relative rank load, as last descended. */
  get largest(): number {
    return this.#soft.largest;
  }

  #improve(workMax: number): boolean {
    const { moveCost } = this.#goal;
    const leastGain = 1e-9 * this.#soft.largest;
    const last = this.#soft.numServing - 1;
    for (let place = 0; place < last && this.work < workMax; place += 1) {
      const rank = this.#soft.order[place];
      const most = this.#soft.mostGainOf(rank);
      if (most <= Math.max(moveCost, leastGain)) return false;
      if (this.#settled[rank] === 1) continue;
      // Most of what pays is found among the lightest ranks, at a fraction of the work.
      const near = Math.max(place + 1, this.#soft.numServing - lightestRanks);
      if (this.#improveWith(place, near, last, leastGain)) return true;
      if (this.#goal.busiestOnly) return false;
      if (this.#improveWith(place, place + 1, near - 1, leastGain)) return true;
      this.#settled[rank] = 1;
    }
    return false;
  }

  /** Weighs changes between the rank at `place` and those from `first` to `last` in the order. */
  #improveWith(place: number, first: number, last: number, leastGain: number): boolean {
    const rank = this.#soft.order[place];
    this.#bestFalls.fill(0);
    for (let at = last; at >= first; at -= 1) {
      this.#weighExchanges(rank, this.#soft.order[at]);
      this.#weighCopiesTo(rank, this.#soft.order[at]);
    }
    // With the last of the others come the changes that need no other rank.
    if (first === place + 1) this.#weighCopiesOver(rank);
    return this.#takeBest(leastGain);
  }

  #takeBest(leastGain: number): boolean {
    const { moveCost, movesMax } = this.#goal;
    let best = none;
    let bestNet = leastGain;
    for (let kind = 0; kind < classes; kind += 1) {
      if (this.#bestFalls[kind] <= 0) continue;
      const moves = kind - 2;
      if (moves > 0 && this.#state.moves + moves > movesMax) continue;
      const net = this.#soft.gain(this.#bestFalls[kind]) - (moves === 0 ? 0 : moveCost * moves);
      if (net > bestNet) {
        bestNet = net;
        best = kind;
      }
    }
    if (best === none) return false;
    const other = this.#bestOthers[best];
    this.#unsettle(this.#bestSlots[best]);
    if (other >= 0) this.#unsettle(other);
    if (other < 0) this.#state.put(this.#bestSlots[best], expertOf(other));
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

  #weighExchanges(rank: number, other: number): void {
    const { capacities } = this.#state.shape;
    // The sum of two terms is convex in what is shifted, and least where they are equal.
    const weights = 1 / capacities[rank] + 1 / capacities[other];
    const target = (this.#soft.relativeLoads[rank] - this.#soft.relativeLoads[other]) / weights;
    if (target <= 0) return;
    if (this.#state.hasFactors) {
      this.#weighAllExchanges(rank, other, target);
      return;
    }
    this.#nearest.fill(target);
    this.#findNearest(rank, other, target);
    for (let kind = 0; kind < classes; kind += 1) {
      if (this.#nearest[kind] >= target) continue;
      this.#weighExchange(kind, this.#nearestSlots[kind], this.#nearestOthers[kind]);
    }
  }

  #weighExchange(kind: number, slot: number, otherSlot: number): void {
    this.#offer(kind, this.#soft.exchangeFall(slot, otherSlot), slot, otherSlot);
  }

  /**
   * Rise of the objective, in tokens, by an exchange of what two slots of different ranks hold, the
   * first not empty, under the goal last descended for.
   */
  exchangeCost(slot: number, otherSlot: number): number {
    const moves = this.#state.movesOfExchange(slot, otherSlot);
    this.work += 1;
    const gain = this.#soft.gain(this.#soft.exchangeFall(slot, otherSlot));
    return (moves === 0 ? 0 : moves * this.#goal.moveCost) - gain;
  }
  /** Every exchange that shifts load the right way: what is nearest says too little with factors. */
  #weighAllExchanges(rank: number, other: number, target: number): void {
    const { row, shares, held, shape } = this.#state;
    const limits = this.#limits;
    const { slotOffsets, numExperts, pinned } = shape;
    const at = rank * numExperts;
    const otherAt = other * numExperts;
    for (let slot = slotOffsets[rank]; slot < slotOffsets[rank + 1]; slot += 1) {
      const expert = row[slot];
      if (expert < 0 || pinned[slot] === 1 || held[otherAt + expert] !== 0) continue;
      if (limits?.bound[expert] === 1 && !limits.mayMove(expert, rank, other)) continue;
      this.work += slotOffsets[other + 1] - slotOffsets[other];
      for (let otherSlot = slotOffsets[other]; otherSlot < slotOffsets[other + 1]; otherSlot += 1) {
        const otherExpert = row[otherSlot];
        const shift = shares[expert] - (otherExpert < 0 ? 0 : shares[otherExpert]);
        if (!(Math.abs(shift - target) < target) || pinned[otherSlot] === 1) continue;
        if (otherExpert >= 0) {
          if (held[at + otherExpert] !== 0) continue;
          if (limits !== null && !limits.mayMove(otherExpert, other, rank)) continue;
        }
        this.#weighExchange(2 + this.#state.movesOfExchange(slot, otherSlot), slot, otherSlot);
      }
    }
  }

  /** Of each class the exchange between two ranks that shifts nearest to `target`. */
  #findNearest(rank: number, other: number, target: number): void {
    const { row, shares, held, heldBefore, shape } = this.#state;
    const { slotOffsets, numExperts, pinned } = shape;
    const at = rank * numExperts;
    const otherAt = other * numExperts;
    const limits = this.#limits;
    const partners = this.#partners;
    const partnerShares = this.#partnerShares;
    const partnerMoves = this.#partnerMoves;
    const nearest = this.#nearest;
    const numPartners = this.#findPartners(rank, other);
    for (let slot = slotOffsets[rank]; slot < slotOffsets[rank + 1]; slot += 1) {
      const expert = row[slot];
      if (expert < 0 || pinned[slot] === 1 || held[otherAt + expert] !== 0) continue;
      if (limits?.bound[expert] === 1 && !limits.mayMove(expert, rank, other)) continue;
      const share = shares[expert];
      const staying = 2 + heldBefore[at + expert] - heldBefore[otherAt + expert];
      this.work += slotOffsets[other + 1] - slotOffsets[other];
      for (let index = 0; index < numPartners; index += 1) {
        const distance = Math.abs(share - partnerShares[index] - target);
        if (!(distance < target)) continue;
        const kind = staying + partnerMoves[index];
        if (distance >= nearest[kind]) continue;
        nearest[kind] = distance;
        this.#nearestSlots[kind] = slot;
        this.#nearestOthers[kind] = partners[index];
      }
    }
  }

  /** Lists the slots of a rank whose content may go to another. @returns how many */
  #findPartners(rank: number, other: number): number {
    const { row, shares, held, heldBefore, shape } = this.#state;
    const { slotOffsets, numExperts, pinned } = shape;
    const at = rank * numExperts;
    const otherAt = other * numExperts;
    const limits = this.#limits;
    let count = 0;
    for (let slot = slotOffsets[other]; slot < slotOffsets[other + 1]; slot += 1) {
      const expert = row[slot];
      if (pinned[slot] === 1) continue;
      if (expert >= 0) {
        if (held[at + expert] !== 0) continue;
        if (limits?.bound[expert] === 1 && !limits.mayMove(expert, other, rank)) continue;
        this.#partnerMoves[count] = heldBefore[otherAt + expert] - heldBefore[at + expert];
        this.#partnerShares[count] = shares[expert];
      } else {
        this.#partnerMoves[count] = 0;
        this.#partnerShares[count] = 0;
      }
      this.#partners[count] = slot;
      count += 1;
    }
    return count;
  }

  /** Further copies of a rank's experts over redundant copies and empty slots of another. */
  #weighCopiesTo(rank: number, other: number): void {
    const { row, heldBefore, shape } = this.#state;
    const { slotOffsets, numExperts } = shape;
    const first = slotOffsets[rank];
    const last = slotOffsets[rank + 1];
    let relief = 0;
    for (let own = first; own < last; own += 1) {
      if (row[own] >= 0) relief = Math.max(relief, -this.#soft.addGain(row[own]));
    }
    for (let slot = slotOffsets[other]; slot < slotOffsets[other + 1]; slot += 1) {
      if (!mayOverwrite(this.#state, slot) || this.#mustKeep(slot, other)) continue;
      const dropped = row[slot];
      const cost = dropped < 0 ? 0 : this.#soft.dropCost(dropped, slot);
      const kind = 2 + (dropped < 0 ? 1 : heldBefore[other * numExperts + dropped]);
      const best = Math.min(this.#bestFalls[kind], this.#bestFalls[kind - 1]);
      this.work += 1;
      // With factors a drop can lighten ranks, and what it costs bounds nothing.
      if (!this.#state.hasFactors && relief + this.#soft.terms[other] - cost <= best) continue;
      this.work += last - first;
      for (let own = first; own < last; own += 1) {
        if (row[own] >= 0) this.#weighCopy(row[own], slot);
      }
    }
  }

  /** Copies of other experts over a rank's own redundant copies and empty slots. */
  #weighCopiesOver(rank: number): void {
    const { row, held, shape } = this.#state;
    const { slotOffsets, numExperts } = shape;
    for (let slot = slotOffsets[rank]; slot < slotOffsets[rank + 1]; slot += 1) {
      if (!mayOverwrite(this.#state, slot) || this.#mustKeep(slot, rank)) continue;
      this.work += numExperts;
      if (this.#goal.mayEmpty && row[slot] >= 0) this.#weighDrop(rank, slot);
      for (let expert = 0; expert < numExperts; expert += 1) {
        if (held[rank * numExperts + expert] === 0) this.#weighCopy(expert, slot);
      }
    }
  }

  #mustKeep(slot: number, rank: number): boolean {
    if (this.#limits === null) return false;
    const expert = this.#state.row[slot];
    return expert >= 0 && !this.#limits.mayDrop(expert, rank);
  }

  #weighDrop(rank: number, slot: number): void {
    const { row, heldBefore, shape } = this.#state;
    const dropped = row[slot];
    const kind = 1 + heldBefore[rank * shape.numExperts + dropped];
    const after = this.#soft.term(this.#soft.loadAfterCopy(rank, none, dropped));
    const fall = this.#soft.terms[rank] - after - this.#soft.dropCost(dropped, slot);
    this.#offer(kind, fall, slot, copyOf(none));
  }

  /** A further copy of an expert over what a slot holds. */
  #weighCopy(expert: number, slot: number): void {
    const { row, held, heldBefore, shape } = this.#state;
    const rank = shape.rankOfSlot[slot];
    const at = rank * shape.numExperts;
    if (held[at + expert] !== 0) return;
    const other = row[slot];
    const kind = 3 - heldBefore[at + expert] - (other < 0 ? 0 : 1 - heldBefore[at + other]);
    const best = this.#bestFalls[kind];
    const relief = -this.#soft.addGain(expert);
    // Dropping only adds to other ranks' terms, so without it a change looks no worse than it is.
    if (relief + this.#soft.terms[rank] <= best) return;
    const load = this.#soft.loadAfterCopy(rank, expert, other);
    if (relief <= best && load >= this.#soft.relativeLoads[rank]) return;
    const least = relief + this.#soft.terms[rank] - this.#soft.term(load);
    if (least <= best || this.#limits?.mayAdd(expert, rank) === false) return;
    let fall = other < 0 ? least : least - this.#soft.dropCost(other, slot);
    // With factors two changes on one rank may add up to more than each alone.
    if (other >= 0 && fall > best && this.#state.hasFactors) {
      fall -= this.#soft.excessOfBoth(expert, other, rank);
    }
    this.#offer(kind, fall, slot, copyOf(expert));
  }
}
