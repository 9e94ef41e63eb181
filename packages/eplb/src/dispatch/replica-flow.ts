/** One layer's replicas, and what flows to them. */
export interface ReplicaFlowProblem {
  /** Expert of each slot, [slots]; −1 where the slot is empty or its rank is out. */
  readonly row: Int32Array;
  /** [slots] */
  readonly rankOfSlot: Int32Array;
  /** [ranks]; 0 where a rank is out. */
  readonly capacities: Float64Array;
  /** Domain of each rank, [ranks]. */
  readonly domainOfRank: Int32Array;
  readonly numSources: number;
  readonly numExperts: number;
  /** Load of each source and expert, [sources × experts]. */
  readonly loads: Float64Array;
  /** Cost of serving a source's load of an expert in a domain, [sources × experts × domains]. */
  readonly costs: Float64Array;
  readonly numDomains: number;
}

/** Cost of each hop of a path, so that among paths of one cost the shortest is taken. */
const HOP_COST = 1e-6;

/**
 * Sends each source's load of each expert to replicas at the least cost at which no rank carries
 * more than its capacity times a cap. It begins with the cheapest domain of each, split over its
 * replicas by capacity, and takes load off overloaded ranks along cheapest paths of exchanges:
 * successive shortest paths for minimum-cost flow (Ahuja, Magnanti, Orlin, Network Flows, 9.7),
 * with ranks as nodes.
 */
export class ReplicaFlow {
  readonly #problem: ReplicaFlowProblem;
  readonly #numRanks: number;
  /** Load that each slot takes from each source, [sources × slots]. */
  readonly #flows: Float64Array;
  readonly #rankLoads: Float64Array;
  /** Slots of each expert, ascending, and where each expert's begin. */
  readonly #replicas: Int32Array;
  readonly #replicaOffsets: Int32Array;
  /** Cheapest exchange from rank to rank, [ranks × ranks]: cost, source, slots. */
  readonly #arcCosts: Float64Array;
  readonly #arcSources: Int32Array;
  readonly #arcFrom: Int32Array;
  readonly #arcTo: Int32Array;
  readonly #distances: Float64Array;
  readonly #previous: Int32Array;
  /** Paths that may still be taken: a bound of work, far above what is needed. */
  #pathsLeft: number;

  constructor(problem: ReplicaFlowProblem) {
    const { row, capacities, numSources, numExperts } = problem;
    this.#problem = problem;
    this.#numRanks = capacities.length;
    this.#flows = new Float64Array(numSources * row.length);
    this.#rankLoads = new Float64Array(this.#numRanks);
    this.#replicaOffsets = new Int32Array(numExperts + 1);
    this.#replicas = new Int32Array(row.length);
    this.#indexReplicas();
    this.#arcCosts = new Float64Array(this.#numRanks * this.#numRanks);
    this.#arcSources = new Int32Array(this.#arcCosts.length);
    this.#arcFrom = new Int32Array(this.#arcCosts.length);
    this.#arcTo = new Int32Array(this.#arcCosts.length);
    this.#distances = new Float64Array(this.#numRanks);
    this.#previous = new Int32Array(this.#numRanks);
    this.#pathsLeft = 8 * numSources * row.length + 64;
    this.#sendCheapest();
  }

  /**
   * Brings every rank to its capacity times `cap`, or where that can't be, to the least cap that
   * can.
   * @returns the cap that was reached
   */
  balance(cap: number): number {
    let reached = cap;
    this.#findArcs();
    while (this.#pathsLeft > 0) {
      const end = this.#shortestPath(reached);
      if (end === -2) break;
      if (end === -1) {
        reached = this.#closedSetLoad();
      } else {
        this.#push(end, reached);
        this.#findArcs();
      }
      this.#pathsLeft -= 1;
    }
    return reached;
  }

  /** Load that each slot takes from each source, [sources × slots]. */
  flows(): Float64Array {
    return this.#flows;
  }

  #indexReplicas(): void {
    const { row } = this.#problem;
    const offsets = this.#replicaOffsets;
    for (const expert of row) {
      if (expert >= 0) offsets[expert + 1] = (offsets[expert + 1] ?? 0) + 1;
    }
    for (let expert = 1; expert < offsets.length; expert += 1) {
      offsets[expert] = (offsets[expert] ?? 0) + (offsets[expert - 1] ?? 0);
    }
    const next = offsets.slice();
    row.forEach((expert, slot) => {
      if (expert < 0) return;
      this.#replicas[next[expert] ?? 0] = slot;
      next[expert] = (next[expert] ?? 0) + 1;
    });
  }

  #capacity(slot: number): number {
    return this.#problem.capacities[this.#problem.rankOfSlot[slot] ?? 0] ?? 0;
  }

  #cost(source: number, expert: number, slot: number): number {
    const { costs, numDomains, numExperts, rankOfSlot, domainOfRank } = this.#problem;
    const domain = domainOfRank[rankOfSlot[slot] ?? 0] ?? 0;
    return costs[(source * numExperts + expert) * numDomains + domain] ?? 0;
  }

  #sendCheapest(): void {
    const { numSources, numExperts, loads, row, rankOfSlot } = this.#problem;
    for (let source = 0; source < numSources; source += 1) {
      for (let expert = 0; expert < numExperts; expert += 1) {
        const first = this.#replicaOffsets[expert] ?? 0;
        const last = this.#replicaOffsets[expert + 1] ?? 0;
        let cheapest = Number.POSITIVE_INFINITY;
        for (let at = first; at < last; at += 1) {
          cheapest = Math.min(cheapest, this.#cost(source, expert, this.#replicas[at] ?? 0));
        }
        let capacity = 0;
        for (let at = first; at < last; at += 1) {
          const slot = this.#replicas[at] ?? 0;
          if (this.#cost(source, expert, slot) === cheapest) capacity += this.#capacity(slot);
        }
        const load = loads[source * numExperts + expert] ?? 0;
        for (let at = first; at < last; at += 1) {
          const slot = this.#replicas[at] ?? 0;
          if (this.#cost(source, expert, slot) !== cheapest) continue;
          const flow = (load * this.#capacity(slot)) / capacity;
          this.#flows[source * row.length + slot] = flow;
          const rank = rankOfSlot[slot] ?? 0;
          this.#rankLoads[rank] = (this.#rankLoads[rank] ?? 0) + flow;
        }
      }
    }
  }

  #findArcs(): void {
    this.#arcCosts.fill(Number.POSITIVE_INFINITY);
    const { row, rankOfSlot, numSources, loads, numExperts } = this.#problem;
    for (let slot = 0; slot < row.length; slot += 1) {
      const expert = row[slot] ?? -1;
      if (expert < 0) continue;
      const first = this.#replicaOffsets[expert] ?? 0;
      const last = this.#replicaOffsets[expert + 1] ?? 0;
      if (last - first < 2) continue;
      for (let source = 0; source < numSources; source += 1) {
        const flow = this.#flows[source * row.length + slot] ?? 0;
        if (flow <= 1e-9 * (loads[source * numExperts + expert] ?? 0)) continue;
        const costHere = this.#cost(source, expert, slot);
        for (let at = first; at < last; at += 1) {
          const to = this.#replicas[at] ?? 0;
          const arc = (rankOfSlot[slot] ?? 0) * this.#numRanks + (rankOfSlot[to] ?? 0);
          const cost = this.#cost(source, expert, to) - costHere + HOP_COST;
          if (cost >= (this.#arcCosts[arc] ?? 0)) continue;
          this.#arcCosts[arc] = cost;
          this.#arcSources[arc] = source;
          this.#arcFrom[arc] = slot;
          this.#arcTo[arc] = to;
        }
      }
    }
  }

  /** Last rank of the cheapest path from an overloaded rank to one with room; −1: none; −2: no need. */
  #shortestPath(cap: number): number {
    const { capacities } = this.#problem;
    let overloaded = 0;
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      const limit = cap * (capacities[rank] ?? 0);
      const isOver = (this.#rankLoads[rank] ?? 0) > limit * (1 + 1e-9) + 1e-12;
      this.#distances[rank] = isOver ? 0 : Number.POSITIVE_INFINITY;
      this.#previous[rank] = -1;
      if (isOver) overloaded += 1;
    }
    if (overloaded === 0) return -2;
    this.#relax();
    let end = -1;
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      const hasRoom = (this.#rankLoads[rank] ?? 0) < cap * (capacities[rank] ?? 0) * (1 - 1e-9);
      if (!hasRoom || this.#distances[rank] === Number.POSITIVE_INFINITY) continue;
      if (end < 0 || (this.#distances[rank] ?? 0) < (this.#distances[end] ?? 0)) end = rank;
    }
    return end;
  }

  /** Bellman-Ford from all overloaded ranks at once. */
  #relax(): void {
    let changed = true;
    for (let round = 0; round < this.#numRanks && changed; round += 1) {
      changed = false;
      for (let from = 0; from < this.#numRanks; from += 1) {
        const distance = this.#distances[from] ?? 0;
        if (distance === Number.POSITIVE_INFINITY) continue;
        for (let to = 0; to < this.#numRanks; to += 1) {
          const through = distance + (this.#arcCosts[from * this.#numRanks + to] ?? 0);
          if (through >= (this.#distances[to] ?? 0) - 1e-12) continue;
          this.#distances[to] = through;
          this.#previous[to] = from;
          changed = true;
        }
      }
    }
  }

  /** Load per capacity of all ranks that overloaded ones could hand load to: none can have less. */
  #closedSetLoad(): number {
    let load = 0;
    let capacity = 0;
    for (let rank = 0; rank < this.#numRanks; rank += 1) {
      if (this.#distances[rank] === Number.POSITIVE_INFINITY) continue;
      load += this.#rankLoads[rank] ?? 0;
      capacity += this.#problem.capacities[rank] ?? 0;
    }
    return load / capacity;
  }

  #push(end: number, cap: number): void {
    const { capacities, row } = this.#problem;
    let amount = cap * (capacities[end] ?? 0) - (this.#rankLoads[end] ?? 0);
    let start = end;
    for (let hops = 0; hops < this.#numRanks; hops += 1) {
      const from = this.#previous[start] ?? -1;
      if (from < 0) break;
      const arc = from * this.#numRanks + start;
      const at = (this.#arcSources[arc] ?? 0) * row.length + (this.#arcFrom[arc] ?? 0);
      amount = Math.min(amount, this.#flows[at] ?? 0);
      start = from;
    }
    amount = Math.min(amount, (this.#rankLoads[start] ?? 0) - cap * (capacities[start] ?? 0));
    for (let rank = end; rank !== start; ) {
      const from = this.#previous[rank] ?? start;
      const arc = from * this.#numRanks + rank;
      const source = (this.#arcSources[arc] ?? 0) * row.length;
      const slotFrom = source + (this.#arcFrom[arc] ?? 0);
      const slotTo = source + (this.#arcTo[arc] ?? 0);
      this.#flows[slotFrom] = Math.max(0, (this.#flows[slotFrom] ?? 0) - amount);
      this.#flows[slotTo] = (this.#flows[slotTo] ?? 0) + amount;
      rank = from;
    }
    this.#rankLoads[start] = (this.#rankLoads[start] ?? 0) - amount;
    this.#rankLoads[end] = (this.#rankLoads[end] ?? 0) + amount;
  }
}
