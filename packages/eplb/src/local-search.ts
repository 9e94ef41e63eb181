/** What the search may not change, and when a change is worth its moves. */
export interface SearchLimits {
  /** First slot of each rank, [ranks + 1]. */
  readonly slotOffsets: Int32Array;
  readonly rankOfSlot: Int32Array;
  /** 1 for ranks that serve, [ranks]. */
  readonly available: Uint8Array;
  /** 1 for slots that keep their expert, [slots]. */
  readonly pinned: Uint8Array;
  readonly fastDomains: Int32Array | undefined;
  /** Smallest fall of the largest rank load that pays for one move, in mean rank loads. */
  readonly gainPerMove: number;
  readonly maxMoves: number;
  readonly workBudget: number;
}

export interface SearchOutcome {
  readonly moves: number;
  readonly work: number;
}

interface Change {
  readonly slot: number;
  readonly otherSlot: number;
  /** The larger of the loads that the changed ranks end with. */
  readonly score: number;
  readonly moves: number;
  readonly local: boolean;
}

/**
 * Lowers one layer's largest rank load by steepest descent. From the busiest rank it weighs
 * every exchange of two experts between ranks, and every overwriting of a redundant copy (or an
 * empty slot), anywhere, with a copy of one of that rank's experts; it takes the change that
 * leaves the changed ranks lowest, as long as the fall pays for its moves.
 * Loads are split evenly over an expert's replicas.
 */
export class LayerSearch {
  readonly #row: Int32Array;
  readonly #loads: Float64Array;
  readonly #limits: SearchLimits;
  readonly #counts: Int32Array;
  readonly #rankLoads: Float64Array;
  readonly #numRanks: number;
  /** Replicas of each expert on each rank, [ranks × experts]. */
  readonly #held: Uint8Array;
  #work = 0;

  /**
   * @param row expert of each slot, [slots]; changed in place
   * @param loads [experts]
   */
  constructor(row: Int32Array, loads: Float64Array, limits: SearchLimits) {
    this.#row = row;
    this.#loads = loads;
    this.#limits = limits;
    this.#numRanks = limits.available.length;
    this.#counts = new Int32Array(loads.length);
    this.#held = new Uint8Array(this.#numRanks * loads.length);
    this.#rankLoads = new Float64Array(this.#numRanks);
    row.forEach((expert, slot) => {
      if (expert >= 0 && this.#serves(slot)) this.#count(expert, slot, 1);
    });
    this.#sumLoads();
  }

  run(): SearchOutcome {
    let moves = this.#restoreMissing() + this.#spreadDuplicates();
    const mean = this.#meanLoad();
    while (this.#work < this.#limits.workBudget && mean > 0) {
      const busiest = this.#busiest();
      const largest = this.#rankLoads[busiest] ?? 0;
      const change = this.#bestChange(busiest, largest, mean);
      if (change === null || moves + change.moves > this.#limits.maxMoves) break;
      this.#apply(change);
      moves += change.moves;
    }
    return { moves, work: this.#work };
  }

  #serves(slot: number): boolean {
    return this.#limits.available[this.#rank(slot)] === 1;
  }

  #rank(slot: number): number {
    return this.#limits.rankOfSlot[slot] ?? 0;
  }

  #holds(rank: number, expert: number): boolean {
    return this.#held[rank * this.#loads.length + expert] !== 0;
  }

  #count(expert: number, slot: number, by: number): void {
    this.#counts[expert] = (this.#counts[expert] ?? 0) + by;
    const at = this.#rank(slot) * this.#loads.length + expert;
    this.#held[at] = (this.#held[at] ?? 0) + by;
  }

  #share(expert: number, more = 0): number {
    if (expert < 0) return 0;
    return (this.#loads[expert] ?? 0) / Math.max(1, (this.#counts[expert] ?? 0) + more);
  }

  #sumLoads(): void {
    this.#rankLoads.fill(0);
    this.#row.forEach((expert, slot) => {
      if (expert < 0 || !this.#serves(slot)) return;
      const rank = this.#rank(slot);
      this.#rankLoads[rank] = (this.#rankLoads[rank] ?? 0) + this.#share(expert);
    });
  }

  #meanLoad(): number {
    let sum = 0;
    for (const load of this.#loads) sum += load;
    return sum / this.#limits.available.reduce((ranks, serves) => ranks + serves, 0);
  }

  #busiest(): number {
    let busiest = 0;
    for (let rank = 1; rank < this.#numRanks; rank += 1) {
      if ((this.#rankLoads[rank] ?? 0) > (this.#rankLoads[busiest] ?? 0)) busiest = rank;
    }
    return busiest;
  }

  #put(slot: number, expert: number): void {
    const before = this.#row[slot] ?? -1;
    if (before >= 0) this.#count(before, slot, -1);
    this.#row[slot] = expert;
    if (expert >= 0) this.#count(expert, slot, 1);
  }

  /** Gives every expert that no serving rank holds a slot, the least useful one there is. */
  #restoreMissing(): number {
    let restored = 0;
    this.#counts.forEach((count, expert) => {
      if (count > 0) return;
      const slot = this.#expendableSlot();
      if (slot < 0) return;
      this.#put(slot, expert);
      restored += 1;
    });
    if (restored > 0) this.#sumLoads();
    return restored;
  }

  #expendableSlot(): number {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    this.#row.forEach((expert, slot) => {
      if (!this.#mayOverwrite(slot) || this.#share(expert) >= least) return;
      best = slot;
      least = this.#share(expert);
    });
    return best;
  }

  #mayOverwrite(slot: number): boolean {
    const expert = this.#row[slot] ?? -1;
    if (!this.#serves(slot) || this.#limits.pinned[slot] === 1) return false;
    return expert < 0 || (this.#counts[expert] ?? 0) > 1;
  }

  /** Where a rank holds two copies of one expert, the second becomes a copy of a hot expert. */
  #spreadDuplicates(): number {
    let replaced = 0;
    for (let slot = 0; slot < this.#row.length; slot += 1) {
      const expert = this.#row[slot] ?? -1;
      const rank = this.#rank(slot);
      const copies = expert < 0 ? 0 : (this.#held[rank * this.#loads.length + expert] ?? 0);
      if (copies < 2 || !this.#mayOverwrite(slot)) continue;
      const replacement = this.#hottestAbsent(rank);
      if (replacement < 0) continue;
      this.#put(slot, replacement);
      replaced += 1;
    }
    if (replaced > 0) this.#sumLoads();
    return replaced;
  }

  #hottestAbsent(rank: number): number {
    let hottest = -1;
    for (let expert = 0; expert < this.#loads.length; expert += 1) {
      if (this.#holds(rank, expert)) continue;
      if (hottest < 0 || this.#share(expert, 1) > this.#share(hottest, 1)) hottest = expert;
    }
    return hottest;
  }

  #bestChange(busiest: number, largest: number, mean: number): Change | null {
    let best: Change | null = null;
    const { slotOffsets, pinned, gainPerMove } = this.#limits;
    const first = slotOffsets[busiest] ?? 0;
    const last = slotOffsets[busiest + 1] ?? 0;
    for (let slot = first; slot < last; slot += 1) {
      if ((this.#row[slot] ?? -1) < 0) continue;
      for (let otherSlot = 0; otherSlot < this.#row.length; otherSlot += 1) {
        this.#work += 1;
        if (pinned[otherSlot] === 1 || !this.#serves(otherSlot)) continue;
        const copy = this.#weighCopy(slot, otherSlot);
        if (copy !== null && this.#isBetter(copy, best, largest, mean * gainPerMove)) best = copy;
        if (pinned[slot] === 1) continue;
        const exchange = this.#weighExchange(slot, otherSlot);
        if (exchange !== null && this.#isBetter(exchange, best, largest, mean * gainPerMove)) {
          best = exchange;
        }
      }
    }
    return best;
  }

  #isBetter(change: Change, best: Change | null, largest: number, leastGain: number): boolean {
    const gain = largest - change.score;
    if (gain <= leastGain * change.moves || gain <= 1e-9 * largest) return false;
    if (best === null) return true;
    const bestGain = (largest - best.score) / Math.sqrt(best.moves);
    const perMove = gain / Math.sqrt(change.moves);
    if (perMove !== bestGain) return perMove > bestGain;
    return change.local && !best.local;
  }

  #isLocal(slot: number, otherSlot: number): boolean {
    const domains = this.#limits.fastDomains;
    if (domains === undefined) return true;
    return domains[this.#rank(slot)] === domains[this.#rank(otherSlot)];
  }

  #weighExchange(slot: number, otherSlot: number): Change | null {
    const rank = this.#rank(slot);
    const otherRank = this.#rank(otherSlot);
    const expert = this.#row[slot] ?? -1;
    const other = this.#row[otherSlot] ?? -1;
    if (rank === otherRank || this.#holds(otherRank, expert)) return null;
    if (other >= 0 && this.#holds(rank, other)) return null;
    const difference = this.#share(expert) - this.#share(other);
    const score = Math.max(
      (this.#rankLoads[rank] ?? 0) - difference,
      (this.#rankLoads[otherRank] ?? 0) + difference,
    );
    return {
      slot,
      otherSlot,
      score,
      moves: other < 0 ? 1 : 2,
      local: this.#isLocal(slot, otherSlot),
    };
  }

  /** A further copy of `slot`'s expert over what `otherSlot` holds; `slot` keeps its own. */
  #weighCopy(slot: number, otherSlot: number): Change | null {
    const expert = this.#row[slot] ?? -1;
    const other = this.#row[otherSlot] ?? -1;
    const otherRank = this.#rank(otherSlot);
    if (other === expert || this.#holds(otherRank, expert)) return null;
    if (other >= 0 && (this.#counts[other] ?? 0) < 2) return null;
    const fall = this.#share(expert) - this.#share(expert, 1);
    const rise = other < 0 ? 0 : this.#share(other, -1) - this.#share(other);
    let score = (this.#rankLoads[otherRank] ?? 0) + this.#share(expert, 1) - this.#share(other);
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      if (rank === otherRank) continue;
      const holdsExpert = this.#holds(rank, expert);
      const holdsOther = other >= 0 && this.#holds(rank, other);
      if (!holdsExpert && !holdsOther) continue;
      const load =
        (this.#rankLoads[rank] ?? 0) - (holdsExpert ? fall : 0) + (holdsOther ? rise : 0);
      if (load > score) score = load;
    }
    return {
      slot,
      otherSlot: -1 - otherSlot,
      score,
      moves: 1,
      local: this.#isLocal(slot, otherSlot),
    };
  }

  #apply(change: Change): void {
    const expert = this.#row[change.slot] ?? -1;
    if (change.otherSlot < 0) {
      this.#put(-1 - change.otherSlot, expert);
    } else {
      const other = this.#row[change.otherSlot] ?? -1;
      this.#put(change.slot, other);
      this.#put(change.otherSlot, expert);
    }
    this.#sumLoads();
  }
}
