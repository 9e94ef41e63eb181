import type { DomainLimits } from './domain-limits.js';
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
  /** exp(β (load − reference)) of each rank, [ranks], and their sum. */
  readonly #terms: Float64Array;
  readonly #relativeLoads: Float64Array;
  readonly #numServing: number;
  #reference = 0;
  #sum = 0;
  /** By how much a further replica of an expert lowers its holders' terms, [experts]. */
  readonly #addGains: Float64Array;
  readonly #addGainKnown: Uint8Array;
  /** Rise of the other holders' terms if the copy in a slot went, [slots]. */
  readonly #dropCosts: Float64Array;
  readonly #dropCostKnown: Uint8Array;
  readonly #order: Int32Array;
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
    const { numRanks, numExperts } = state.shape;
    this.#state = state;
    this.#limits = state.limits;
    this.#terms = new Float64Array(numRanks);
    this.#relativeLoads = new Float64Array(numRanks);
    this.#numServing = state.shape.capacities.reduce((sum, at) => sum + (at > 0 ? 1 : 0), 0);
    this.#order = Int32Array.from({ length: numRanks }, (_, rank) => rank);
    this.#settled = new Uint8Array(numRanks);
    this.#addGains = new Float64Array(numExperts);
    this.#addGainKnown = new Uint8Array(numExperts);
    this.#dropCosts = new Float64Array(state.row.length);
    this.#dropCostKnown = new Uint8Array(state.row.length);
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
    this.refresh();
    while (this.work < workMax && this.#reference > goal.enough) {
      if (this.#improve(workMax)) {
        this.refresh();
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
    const { sharpness, moveCost } = this.#goal;
    const soft = this.#reference + Math.log(this.#sum) / sharpness;
    return this.#state.moves > 0 ? soft + moveCost * this.#state.moves : soft;
  }

  /** Largest relative rank load, as last descended. */
  get largest(): number {
    return this.#reference;
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

  #term(relativeLoad: number): number {
    return softTerm(this.#goal.sharpness * (relativeLoad - this.#reference));
  }

  /** Takes up a state that something else has changed. */
  refresh(): void {
    const { numRanks } = this.#state.shape;
    this.#reference = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      const load = this.#relativeLoad(rank);
      this.#relativeLoads[rank] = load;
      if (load > this.#reference) this.#reference = load;
    }
    this.#sortOrder();
    this.#sum = 0;
    for (let rank = 0; rank < numRanks; rank += 1) {
      this.#terms[rank] = this.#term(this.#relativeLoads[rank]);
      this.#sum += this.#terms[rank];
    }
    this.#addGainKnown.fill(0);
    this.#dropCostKnown.fill(0);
  }

  /** Busiest first. A change leaves most ranks in their order, so that insertion is quick. */
  #sortOrder(): void {
    const order = this.#order;
    const loads = this.#relativeLoads;
    for (let from = 1; from < order.length; from += 1) {
      const rank = order[from];
      const load = loads[rank];
      let place = from;
      while (place > 0 && loads[order[place - 1]] < load) {
        order[place] = order[place - 1];
        place -= 1;
      }
      order[place] = rank;
    }
  }

  /** Fall of the objective, in tokens, for a fall of the sum of terms. */
  #gain(fall: number): number {
    return -Math.log1p(-fall / this.#sum) / this.#goal.sharpness;
  }

  #improve(workMax: number): boolean {
    const { moveCost } = this.#goal;
    const leastGain = 1e-9 * this.#reference;
    const last = this.#numServing - 1;
    for (let place = 0; place < last && this.work < workMax; place += 1) {
      const rank = this.#order[place];
      const most = this.#gain(Math.min(this.#terms[rank], this.#sum * (1 - 1e-12)));
      if (most <= Math.max(moveCost, leastGain)) return false;
      if (this.#settled[rank] === 1) continue;
      // Most of what pays is found among the lightest ranks, at a fraction of the work.
      const near = Math.max(place + 1, this.#numServing - lightestRanks);
      if (this.#improveWith(place, near, last, leastGain)) return true;
      if (this.#goal.busiestOnly) return false;
      if (this.#improveWith(place, place + 1, near - 1, leastGain)) return true;
      this.#settled[rank] = 1;
    }
    return false;
  }

  /** Weighs changes between the rank at `place` and those from `first` to `last` in the order. */
  #improveWith(place: number, first: number, last: number, leastGain: number): boolean {
    const rank = this.#order[place];
    this.#bestFalls.fill(0);
    for (let at = last; at >= first; at -= 1) {
      this.#weighExchanges(rank, this.#order[at]);
      this.#weighCopiesTo(rank, this.#order[at]);
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
    const target = (this.#relativeLoads[rank] - this.#relativeLoads[other]) / weights;
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
    this.#offer(kind, this.#exchangeFall(slot, otherSlot), slot, otherSlot);
  }

  /**
   * Rise of the objective, in tokens, by an exchange of what two slots of different ranks hold, the
   * first not empty, under the goal last descended for.
   */
  exchangeCost(slot: number, otherSlot: number): number {
    const moves = this.#state.movesOfExchange(slot, otherSlot);
    this.work += 1;
    const gain = this.#gain(this.#exchangeFall(slot, otherSlot));
    return (moves === 0 ? 0 : moves * this.#goal.moveCost) - gain;
  }

  /** Fall of the sum of terms. */
  #exchangeFall(slot: number, otherSlot: number): number {
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
      this.#term(this.#loadAfter(rank, -shift, -one, -two)) +
      this.#term(this.#loadAfter(other, shift, one, two));
    return this.#terms[rank] + this.#terms[other] - after;
  }

  #shareIn(slot: number): number {
    const expert = this.#state.row[slot];
    return expert < 0 ? 0 : this.#state.shares[expert];
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
      if (row[own] >= 0) relief = Math.max(relief, -this.#addGain(row[own]));
    }
    for (let slot = slotOffsets[other]; slot < slotOffsets[other + 1]; slot += 1) {
      if (!mayOverwrite(this.#state, slot) || this.#mustKeep(slot, other)) continue;
      const dropped = row[slot];
      const cost = dropped < 0 ? 0 : this.#dropCost(dropped, slot);
      const kind = 2 + (dropped < 0 ? 1 : heldBefore[other * numExperts + dropped]);
      const best = Math.min(this.#bestFalls[kind], this.#bestFalls[kind - 1]);
      this.work += 1;
      // With factors a drop can lighten ranks, and what it costs bounds nothing.
      if (!this.#state.hasFactors && relief + this.#terms[other] - cost <= best) continue;
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
    const after = this.#term(this.#loadAfterCopy(rank, none, dropped));
    const fall = this.#terms[rank] - after - this.#dropCost(dropped, slot);
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
    const relief = -this.#addGain(expert);
    // Dropping only adds to other ranks' terms, so without it a change looks no worse than it is.
    if (relief + this.#terms[rank] <= best) return;
    const load = this.#loadAfterCopy(rank, expert, other);
    if (relief <= best && load >= this.#relativeLoads[rank]) return;
    const least = relief + this.#terms[rank] - this.#term(load);
    if (least <= best || this.#limits?.mayAdd(expert, rank) === false) return;
    let fall = other < 0 ? least : least - this.#dropCost(other, slot);
    // With factors two changes on one rank may add up to more than each alone.
    if (other >= 0 && fall > best && this.#state.hasFactors) {
      fall -= this.#excessOfBoth(expert, other, rank);
    }
    this.#offer(kind, fall, slot, copyOf(expert));
  }

  /** Relative load of a rank that gets a replica of `added`, or none, in place of `dropped`. */
  #loadAfterCopy(rank: number, added: number, dropped: number): number {
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
  #addGain(expert: number): number {
    if (this.#addGainKnown[expert] === 1) return this.#addGains[expert];
    const { counts, firstSlot, nextSlot, held, shape } = this.#state;
    let gain = 0;
    for (let slot = firstSlot[expert]; slot >= 0; slot = nextSlot[slot]) {
      const rank = shape.rankOfSlot[slot];
      // A rank with several copies comes up once for each.
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#loadWithCount(rank, expert, copies, counts[expert] + 1);
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
    if (this.#dropCostKnown[slot] === 1) return this.#dropCosts[slot];
    const { counts, firstSlot, nextSlot, held, shape } = this.#state;
    const own = shape.rankOfSlot[slot];
    let cost = 0;
    for (let at = firstSlot[expert]; at >= 0; at = nextSlot[at]) {
      const rank = shape.rankOfSlot[at];
      if (rank === own) continue;
      const copies = held[rank * shape.numExperts + expert];
      const load = this.#loadWithCount(rank, expert, copies, counts[expert] - 1);
      cost += (this.#term(load) - this.#terms[rank]) / copies;
    }
    this.#dropCosts[slot] = cost;
    this.#dropCostKnown[slot] = 1;
    return cost;
  }

  /** What a replica more of one expert and one fewer of another add to common holders' terms. */
  #excessOfBoth(added: number, dropped: number, except: number): number {
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
        this.#term(this.#loadWithCount(rank, added, own, counts[added] + 1)) +
        this.#term(this.#loadWithCount(rank, dropped, copies, counts[dropped] - 1));
      excess += (this.#term(both) + this.#terms[rank] - apart) / copies;
    }
    return excess;
  }
}
