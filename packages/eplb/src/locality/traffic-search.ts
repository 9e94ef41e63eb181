import { SeededRandom } from '../seeded-random.js';
import { DomainCoverage, type RouteBits } from './domain-coverage.js';
import { type LayerLoads, RankLoadLedger } from './layer-loads.js';
import type { SearchCluster } from './search-cluster.js';

export interface TrafficSearchLimits {
  /** Largest relative rank load allowed; where the row has more, no more than it has. */
  readonly largestLoadMax: number;
  /** Visits per route that a move must save. */
  readonly moveCost: number;
  /** Most moves more than the row given has made. */
  readonly maxMoves: number;
  /** Candidate changes to weigh. */
  readonly steps: number;
  /** Temperature to begin with and to end with, in visits per route. */
  readonly hot: number;
  readonly cold: number;
  readonly seed: number;
  readonly isOver: () => boolean;
}

/**
 * Visits per route that an excess of one mean rank load costs: little while it is hot, so that
 * experts may change domains before ranks are packed again, and at the end so much that balance
 * goes first.
 */
const EXCESS_COST_FIRST = 0.02;
const EXCESS_COST = 3;
/** The largest of 16 ranks is expected some 1.8 standard deviations above the mean; twice that. */
const SPREAD_COST = 4;
/**
 * Part of the spread of the row given that may stay. Experts that fire together grow together, and
 * together they are in one domain: in every other way loads must vary less than before.
 */
const SPREAD_KEPT = 0.85;
/** Part of the candidates that put another copy in place of a redundant one. */
const COPY_CHANCE = 0.3;
/** Part of the candidates that send a source's tokens to another domain's replica. */
const RETARGET_CHANCE = 0.1;
/** Of the routes that ask for two experts a change hardly spares more than this part a visit. */
const SAVED_PART = 0.15;
const COOLING_STEPS = 64;
/** In the first, hotter half a quarter of the routes tells enough. */
const ROUGH_PART = 0.25;

/**
 * Simulated annealing over one layer's row: exchanges of two slots, copies in place of redundant
 * replicas, and which domain serves a source domain that holds no replica; by the visits that the
 * sampled routes pay to other domains, at a cost for rank load above what is allowed. An expert
 * that a source's own domain holds is served there.
 */
export class TrafficSearch {
  readonly #cluster: SearchCluster;
  readonly #limits: TrafficSearchLimits;
  readonly #coverage: DomainCoverage;
  readonly #ledger: RankLoadLedger;
  readonly #random: SeededRandom;
  readonly #numExperts: number;
  /** Experts and one more, which stands for an empty slot. */
  readonly #stride: number;
  /** [slots] */
  readonly #row: Int32Array;
  /** Slots that may change, ascending. */
  readonly #free: Int32Array;
  readonly #domainOfSlot: Int32Array;
  /** Replicas on serving ranks: by domain [domains × stride], in all [stride]. */
  readonly #copies: Int32Array;
  readonly #replicas: Int32Array;
  /** Serving slots of each expert, in no order, [stride × slots]; of the empty slot none are kept. */
  readonly #slotsOf: Int32Array;
  /** Replicas by rank, [ranks × stride]. */
  readonly #held: Int32Array;
  /** Which expert was on which rank before, [ranks × stride]; null where moves are free. */
  readonly #heldBefore: Uint8Array | null;
  /** Domain that serves each expert, [domains × stride] by source domain. */
  readonly #targets: Int32Array;
  /** Targets before a change of its two experts, [2 × domains]. */
  readonly #oldTargets: Int32Array;
  /** Part of the routes that ask for each expert, [stride]. */
  readonly #asked: Float64Array;
  /** Spread of rank loads that is allowed. */
  #spreadMax = 0;
  /** Visits per route that an excess of one mean rank load costs now. */
  #excessCost = EXCESS_COST;
  #moves = 0;
  #movesMax = 0;
  #overload = 0;
  #numRoutes = 1;

  /**
   * @param row expert of each slot, [slots], −1 for none; not written
   * @param rowBefore the row in force, from which moves count; null where moves are free
   */
  constructor(
    cluster: SearchCluster,
    row: Int32Array,
    rowBefore: Int32Array | null,
    routes: RouteBits,
    loads: LayerLoads,
    limits: TrafficSearchLimits,
  ) {
    const { numRanks, numDomains, numExperts } = cluster;
    this.#cluster = cluster;
    this.#limits = limits;
    this.#numExperts = numExperts;
    this.#stride = numExperts + 1;
    this.#coverage = new DomainCoverage(routes, numDomains);
    this.#ledger = new RankLoadLedger(loads, cluster.capacities, numDomains);
    this.#random = new SeededRandom(limits.seed);
    this.#row = row.map((expert) => (expert < 0 ? numExperts : expert));
    this.#free = Int32Array.from([...row.keys()].filter((slot) => cluster.frozen[slot] === 0));
    this.#domainOfSlot = cluster.rankOfSlot.map((rank) => cluster.domainOfRank[rank] ?? 0);
    this.#copies = new Int32Array(numDomains * this.#stride);
    this.#replicas = new Int32Array(this.#stride);
    this.#slotsOf = new Int32Array(this.#stride * row.length);
    this.#held = new Int32Array(numRanks * this.#stride);
    this.#targets = new Int32Array(numDomains * this.#stride).fill(-1);
    this.#oldTargets = new Int32Array(2 * numDomains);
    this.#asked = this.#askedByExpert();
    this.#row.forEach((expert, slot) => {
      if (this.#serves(slot)) this.#insert(expert, slot);
    });
    this.#heldBefore = rowBefore === null ? null : this.#ranksOf(rowBefore);
    this.#row.forEach((expert, slot) => {
      this.#moves += this.#moveOf(slot, expert);
    });
    this.#movesMax = this.#moves + limits.maxMoves;
    for (let expert = 0; expert < numExperts; expert += 1) this.#chooseTargets(expert);
    for (let expert = 0; expert < numExperts; expert += 1) this.#addEven(expert);
    this.#spreadMax = this.#ledger.spread() * SPREAD_KEPT;
    this.#sumLoads();
    this.#overload = this.#excess();
  }

  /** Expert of each slot, [slots]; −1 for none. */
  row(): Int32Array {
    return this.#row.map((expert) => (expert === this.#numExperts ? -1 : expert));
  }

  /** Domain that serves each expert for each source domain, [domains × experts]. */
  targets(): Int32Array {
    const { numDomains } = this.#cluster;
    const targets = new Int32Array(numDomains * this.#numExperts);
    for (let domain = 0; domain < numDomains; domain += 1) {
      const start = domain * this.#stride;
      const row = this.#targets.subarray(start, start + this.#numExperts);
      targets.set(row, domain * this.#numExperts);
    }
    return targets;
  }

  get moves(): number {
    return this.#moves;
  }

  /** Visits per route, and what moves and excess load cost in the same unit. */
  cost(): number {
    return this.traffic() + this.#overload * EXCESS_COST + this.#moves * this.#limits.moveCost;
  }

  /** Visits to other domains per sampled route. */
  traffic(): number {
    this.#coverAll(1);
    let visits = 0;
    for (let source = 0; source < this.#cluster.numDomains; source += 1) {
      for (let domain = 0; domain < this.#cluster.numDomains; domain += 1) {
        visits += this.#coverage.visits(source, domain);
      }
    }
    return visits / this.#numRoutes;
  }

  /** Visits that each of a source's tokens for an expert would add in a domain, 0 to 1. */
  marginalVisits(source: number, domain: number, expert: number): number {
    if (source === domain) return 0;
    const none = this.#numExperts;
    const asking = this.#coverage.asking(source, expert);
    if (asking === 0) return 1;
    const serves = this.#targets[source * this.#stride + expert] === domain;
    const visits = serves
      ? -this.#coverage.change(source, domain, expert, none, none)
      : this.#coverage.change(source, domain, none, expert, none);
    return visits / asking;
  }

  run(): void {
    const { steps, hot, cold } = this.#limits;
    if (this.#free.length < 2 || this.#cluster.numDomains < 2) return;
    this.#coverAll(ROUGH_PART);
    const half = steps >> 1;
    let temperature = hot;
    for (let step = 0; step < steps; step += 1) {
      if (step === half) this.#coverAll(1);
      if (step % COOLING_STEPS === 0) {
        if (this.#limits.isOver()) break;
        const done = step / steps;
        temperature = hot * (cold / hot) ** done;
        this.#excessCost = EXCESS_COST_FIRST * (EXCESS_COST / EXCESS_COST_FIRST) ** done;
      }
      this.#try(-temperature * Math.log(1 - this.#random.next()));
    }
    this.#excessCost = EXCESS_COST;
    this.#coverAll(1);
    this.#sumLoads();
    this.#overload = this.#excess();
  }

  #askedByExpert(): Float64Array {
    const routes = Math.max(1, this.#coverage.numRoutes);
    return Float64Array.from({ length: this.#stride }, (_, expert) => {
      let asking = 0;
      for (let source = 0; source < this.#cluster.numDomains; source += 1) {
        asking += this.#coverage.asking(source, expert);
      }
      return asking / routes;
    });
  }

  #serves(slot: number): boolean {
    return (this.#cluster.capacities[this.#rank(slot)] ?? 0) > 0;
  }

  #rank(slot: number): number {
    return this.#cluster.rankOfSlot[slot] ?? 0;
  }

  #domain(slot: number): number {
    return this.#domainOfSlot[slot] ?? 0;
  }

  #ranksOf(row: Int32Array): Uint8Array {
    const held = new Uint8Array(this.#cluster.numRanks * this.#stride);
    row.forEach((expert, slot) => {
      if (expert >= 0) held[this.#rank(slot) * this.#stride + expert] = 1;
    });
    return held;
  }

  /** 1 where the expert's weights would have to travel to the slot. */
  #moveOf(slot: number, expert: number): number {
    if (this.#heldBefore === null || expert === this.#numExperts) return 0;
    return this.#heldBefore[this.#rank(slot) * this.#stride + expert] === 1 ? 0 : 1;
  }

  #insert(expert: number, slot: number): void {
    if (expert === this.#numExperts) return;
    const count = this.#replicas[expert] ?? 0;
    this.#slotsOf[expert * this.#row.length + count] = slot;
    this.#count(expert, slot, 1);
  }

  #remove(expert: number, slot: number): void {
    if (expert === this.#numExperts) return;
    const first = expert * this.#row.length;
    const last = first + (this.#replicas[expert] ?? 0) - 1;
    let at = first;
    while (at < last && this.#slotsOf[at] !== slot) at += 1;
    this.#slotsOf[at] = this.#slotsOf[last] ?? 0;
    this.#count(expert, slot, -1);
  }

  #count(expert: number, slot: number, by: number): void {
    this.#replicas[expert] = (this.#replicas[expert] ?? 0) + by;
    const inDomain = this.#domain(slot) * this.#stride + expert;
    this.#copies[inDomain] = (this.#copies[inDomain] ?? 0) + by;
    const onRank = this.#rank(slot) * this.#stride + expert;
    this.#held[onRank] = (this.#held[onRank] ?? 0) + by;
  }

  #holds(slot: number, expert: number): boolean {
    if (expert === this.#numExperts) return false;
    return (this.#held[this.#rank(slot) * this.#stride + expert] ?? 0) > 0;
  }

  /** Each source's own domain where it has a replica, else the one before, else the next after. */
  #chooseTargets(expert: number): void {
    if (expert === this.#numExperts) return;
    const { numDomains } = this.#cluster;
    for (let source = 0; source < numDomains; source += 1) {
      const at = source * this.#stride + expert;
      const before = this.#targets[at] ?? -1;
      let target = source;
      if (!this.#has(source, expert) && before >= 0 && this.#has(before, expert)) target = before;
      for (let hops = 1; hops < numDomains && !this.#has(target, expert); hops += 1) {
        target = (source + hops) % numDomains;
      }
      this.#targets[at] = target;
    }
  }

  #has(domain: number, expert: number): boolean {
    return (this.#copies[domain * this.#stride + expert] ?? 0) > 0;
  }

  #coverAll(part: number): void {
    const { numDomains } = this.#cluster;
    this.#coverage.usePart(part);
    this.#numRoutes = Math.max(1, this.#coverage.numRoutes);
    for (let source = 0; source < numDomains; source += 1) {
      for (let domain = 0; domain < numDomains; domain += 1) {
        this.#coverage.cover(source, domain, this.#targets, this.#numExperts);
      }
    }
  }

  #sumLoads(): void {
    this.#ledger.clear();
    for (let expert = 0; expert < this.#numExperts; expert += 1) this.#addLoads(expert, 1);
    this.#ledger.commit();
  }

  /** Adds an expert's replicas as if each took the same share. */
  #addEven(expert: number): void {
    const first = expert * this.#row.length;
    const replicas = this.#replicas[expert] ?? 0;
    for (let at = first; at < first + replicas; at += 1) {
      this.#ledger.addEven(expert, this.#rank(this.#slotsOf[at] ?? 0), replicas);
    }
  }

  #addLoads(expert: number, sign: number): void {
    if (expert === this.#numExperts) return;
    const first = expert * this.#row.length;
    const last = first + (this.#replicas[expert] ?? 0);
    for (let at = first; at < last; at += 1) {
      const slot = this.#slotsOf[at] ?? 0;
      const domain = this.#domain(slot);
      const copies = this.#copies[domain * this.#stride + expert] ?? 1;
      this.#ledger.add(expert, this.#rank(slot), domain, copies, this.#targets, sign);
    }
  }

  /** Relative load above what is allowed. */
  #excess(): number {
    return this.#ledger.excess(this.#limits.largestLoadMax) + this.#excessSpread();
  }

  #excessSpread(): number {
    const spread = this.#ledger.spread() - this.#spreadMax;
    return spread > 0 ? SPREAD_COST * spread : 0;
  }

  /** What the ledger's loads cost more than before; Infinity where that is above a limit. */
  #riseOfLoads(most: number): number {
    const floor = this.#overload + most / this.#excessCost;
    let overload = this.#ledger.excess(this.#limits.largestLoadMax);
    if (overload <= floor) overload += this.#excessSpread();
    return overload <= floor
      ? (overload - this.#overload) * this.#excessCost
      : Number.POSITIVE_INFINITY;
  }

  #anySlot(): number {
    return this.#free[this.#random.below(this.#free.length)] ?? 0;
  }

  /** Weighs one change, drawn by chance, and makes it where it costs no more than `allowed`. */
  #try(allowed: number): void {
    const slot = this.#anySlot();
    const expert = this.#row[slot] ?? 0;
    const chance = this.#random.next();
    const other = this.#anySlot();
    const otherExpert = this.#row[other] ?? 0;
    if (chance < RETARGET_CHANCE) {
      this.#tryTarget(expert, this.#random.below(this.#cluster.numDomains), slot, allowed);
      return;
    }
    if (expert === otherExpert || expert === this.#numExperts) return;
    if (this.#rank(slot) === this.#rank(other) || this.#holds(other, expert)) return;
    const isRedundant = otherExpert === this.#numExperts || (this.#replicas[otherExpert] ?? 0) > 1;
    if (chance < RETARGET_CHANCE + COPY_CHANCE && isRedundant) {
      this.#tryChange(-1, other, expert, otherExpert, allowed);
    } else if (!this.#holds(slot, otherExpert)) {
      this.#tryChange(slot, other, expert, otherExpert, allowed);
    }
  }

  /** Lets a slot's domain serve a source domain that holds no replica of the slot's expert. */
  #tryTarget(expert: number, source: number, slot: number, allowed: number): void {
    const domain = this.#domain(slot);
    const at = source * this.#stride + expert;
    const before = this.#targets[at] ?? 0;
    if (expert === this.#numExperts || before === source || before === domain) return;
    const none = this.#numExperts;
    const visits =
      this.#coverage.change(source, before, expert, none, none) +
      this.#coverage.change(source, domain, none, expert, none);
    const rise = visits / this.#numRoutes;
    if (rise > allowed + this.#overload * this.#excessCost) return;
    this.#addLoads(expert, -1);
    this.#targets[at] = domain;
    this.#addLoads(expert, 1);
    const overload = this.#excess();
    if (rise + (overload - this.#overload) * this.#excessCost > allowed) {
      this.#targets[at] = before;
      this.#ledger.revert();
      return;
    }
    this.#overload = overload;
    this.#ledger.commit();
    this.#coverage.cover(source, before, this.#targets, this.#numExperts);
    this.#coverage.cover(source, domain, this.#targets, this.#numExperts);
  }

  /** Puts `expert` into `other`, and `otherExpert` into `slot` unless that is −1. */
  #tryChange(
    slot: number,
    other: number,
    expert: number,
    otherExpert: number,
    allowed: number,
  ): void {
    const moves = this.#movesOfChange(slot, other, expert, otherExpert);
    if (moves > 0 && this.#moves + moves > this.#movesMax) return;
    const moveCost = moves * this.#limits.moveCost;
    this.#keepTargets(expert, otherExpert);
    this.#addLoads(expert, -1);
    this.#addLoads(otherExpert, -1);
    this.#put(slot, other, expert, otherExpert);
    this.#chooseTargets(expert);
    this.#chooseTargets(otherExpert);
    this.#addLoads(expert, 1);
    this.#addLoads(otherExpert, 1);
    const asked = (this.#asked[expert] ?? 0) + (this.#asked[otherExpert] ?? 0);
    const rise = this.#riseOfLoads(allowed + SAVED_PART * asked - moveCost);
    const accepted =
      rise < Number.POSITIVE_INFINITY &&
      this.#spreads(expert) &&
      this.#spreads(otherExpert) &&
      rise + moveCost + this.#visitsOfChange(expert, otherExpert) / this.#numRoutes <= allowed;
    if (!accepted) {
      this.#takeBack(slot, other, expert, otherExpert);
      return;
    }
    this.#moves += moves;
    this.#overload += rise / this.#excessCost;
    this.#ledger.commit();
    this.#coverChange(expert, otherExpert);
  }

  #movesOfChange(slot: number, other: number, expert: number, otherExpert: number): number {
    if (this.#heldBefore === null) return 0;
    const moves = this.#moveOf(other, expert) - this.#moveOf(other, otherExpert);
    if (slot < 0) return moves;
    return moves + this.#moveOf(slot, otherExpert) - this.#moveOf(slot, expert);
  }

  #put(slot: number, other: number, expert: number, otherExpert: number): void {
    this.#remove(otherExpert, other);
    this.#insert(expert, other);
    this.#row[other] = expert;
    if (slot < 0) return;
    this.#remove(expert, slot);
    this.#insert(otherExpert, slot);
    this.#row[slot] = otherExpert;
  }

  #takeBack(slot: number, other: number, expert: number, otherExpert: number): void {
    this.#remove(expert, other);
    this.#insert(otherExpert, other);
    this.#row[other] = otherExpert;
    if (slot >= 0) {
      this.#remove(otherExpert, slot);
      this.#insert(expert, slot);
      this.#row[slot] = expert;
    }
    const { numDomains } = this.#cluster;
    for (let source = 0; source < numDomains; source += 1) {
      const start = source * this.#stride;
      this.#targets[start + expert] = this.#oldTargets[source] ?? 0;
      this.#targets[start + otherExpert] = this.#oldTargets[numDomains + source] ?? 0;
    }
    this.#ledger.revert();
  }

  #keepTargets(expert: number, otherExpert: number): void {
    const { numDomains } = this.#cluster;
    for (let source = 0; source < numDomains; source += 1) {
      const start = source * this.#stride;
      this.#oldTargets[source] = this.#targets[start + expert] ?? 0;
      this.#oldTargets[numDomains + source] = this.#targets[start + otherExpert] ?? 0;
    }
  }

  /** Whether an expert with replicas to spare has them in two failure domains or more. */
  #spreads(expert: number): boolean {
    const { failureDomains } = this.#cluster;
    const replicas = this.#replicas[expert] ?? 0;
    if (failureDomains === null || replicas < 2) return true;
    const first = expert * this.#row.length;
    const domain = failureDomains[this.#rank(this.#slotsOf[first] ?? 0)];
    for (let at = first + 1; at < first + replicas; at += 1) {
      if (failureDomains[this.#rank(this.#slotsOf[at] ?? 0)] !== domain) return true;
    }
    return false;
  }

  #visitsOfChange(expert: number, otherExpert: number): number {
    const { numDomains } = this.#cluster;
    const none = this.#numExperts;
    let visits = 0;
    for (let source = 0; source < numDomains; source += 1) {
      const from = this.#oldTargets[source] ?? 0;
      const to = this.#targets[source * this.#stride + expert] ?? 0;
      const otherFrom = this.#oldTargets[numDomains + source] ?? 0;
      const otherTo = this.#targets[source * this.#stride + otherExpert] ?? 0;
      const moved = from !== to;
      const otherMoved = otherFrom !== otherTo;
      if (!moved && !otherMoved) continue;
      for (let domain = 0; domain < numDomains; domain += 1) {
        // Never both: an expert leaves a domain only for the other's place, or to come home.
        const leaves = moved && from === domain;
        const otherLeaves = otherMoved && otherFrom === domain;
        const removed = leaves ? expert : otherLeaves ? otherExpert : none;
        const added = moved && to === domain ? expert : none;
        const otherAdded = otherMoved && otherTo === domain ? otherExpert : none;
        if (removed === none && added === none && otherAdded === none) continue;
        visits += this.#coverage.change(source, domain, removed, added, otherAdded);
      }
    }
    return visits;
  }

  #coverChange(expert: number, otherExpert: number): void {
    const { numDomains } = this.#cluster;
    for (let source = 0; source < numDomains; source += 1) {
      const from = this.#oldTargets[source] ?? 0;
      const to = this.#targets[source * this.#stride + expert] ?? 0;
      const otherFrom = this.#oldTargets[numDomains + source] ?? 0;
      const otherTo = this.#targets[source * this.#stride + otherExpert] ?? 0;
      if (from === to && otherFrom === otherTo) continue;
      for (let domain = 0; domain < numDomains; domain += 1) {
        const left = domain === from || domain === otherFrom;
        if (!left && domain !== to && domain !== otherTo) continue;
        this.#coverage.cover(source, domain, this.#targets, this.#numExperts);
      }
    }
  }
}
