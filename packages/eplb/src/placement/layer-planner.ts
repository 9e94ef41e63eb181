import { SeededRandom } from '../seeded-random.js';
import { placeGreedily } from './greedy-placement.js';
import { LayerSearch, type SearchGoal } from './layer-search.js';
import { LayerState, type SlotShape } from './layer-state.js';
import { fillEmptySlots, mayClear, mend } from './mend.js';
import { repairSpread } from './spread-repair.js';

/** What is asked of one layer. */
export interface LayerTask {
  /** [experts] */
  readonly loads: Float64Array;
  /** Of the loads beyond those of the factors, [experts]. */
  readonly variances: Float64Array;
  /** Directions in which loads err together, at most two, each [experts]. */
  readonly factors: readonly Float64Array[];
  /** The placement in force, [slots]; null where there is none, and nothing counts as a move. */
  readonly before: Int32Array | null;
  /** Fast domain that each expert is to stay in, −1 for any, [experts]; null: no such. */
  readonly homes: Int32Array | null;
  /** Tokens by which the largest rank load must fall for each move. */
  readonly moveCost: number;
  readonly movesMax: number;
  /** Relative rank load if all were spread perfectly. */
  readonly meanLoad: number;
  /** Candidate changes that may be weighed. */
  readonly workMax: number;
  /** Whether to go on from local minima while there is work left. */
  readonly refine: boolean;
  /** Whether time is up: refinement ends where it is. */
  readonly isOver: () => boolean;
  /** Whether replicas need not be spread over failure domains. */
  readonly mayCrowd: boolean;
}

/**
 * Quotient of standard deviation by which the soft maximum is sharpened: with R ranks whose loads
 * are normal with deviation s, the expectation of their largest is below log(Σ exp(β load)) ÷ β
 * for every β, and nearest to it at β = √(2 ln R) ÷ s. Half as blunt again weighs ranks that are
 * close to the largest, which one window's forecast can't tell from it.
 */
const bluntness = 1.5;
/** Sharpness of a search among certain loads, per mean rank load: first, and then. */
const certainSharpness = [40, 400];
/** Share of the mean by which a largest rank load may be above it and be left alone. */
const tolerance = 2e-4;
/** Share of the objective by which a refinement's next start may be worse, at first. */
const refinementSlack = 0.02;
/**
 * Exchanges that a layer's plan makes only to spread copies, where weights must travel for it: a
 * placement that came crowded is spread over several rebalances.
 */
const spreadExchangesMax = 1;
/** Share of the mean rank load that an exchange which spreads an expert's copies may cost. */
const spreadRepairCostMax = 0.005;
/** Share of the largest rank load that spreading all of a layer's experts may cost. */
export const spreadCostMax = 0.005;
/** Part of the work in which a refinement looks for what spreading costs. */
const freeWorkPart = 0.1;
/** Kicks after which a refinement begins again from the best placement. */
const kicksPerReturn = 100;
/** Kicks in vain, in all and for each slot, after which it ends. */
const kicksInVainMax = 600;
const kicksInVainPerSlotMax = 20;

/** Plans layers one after another, in buffers that it keeps. */
export class LayerPlanner {
  readonly #shape: SlotShape;
  readonly #state: LayerState;
  readonly #search: LayerSearch;
  readonly #best: Int32Array;
  readonly #kicked: Int32Array;
  readonly #spread: Int32Array;
  readonly #seed: number;
  #random: SeededRandom;
  #measuresLargest = false;
  #bestMeasure = 0;

  constructor(shape: SlotShape, seed: number) {
    this.#shape = shape;
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#state = new LayerState(shape);
    this.#search = new LayerSearch(this.#state);
    this.#best = new Int32Array(shape.rankOfSlot.length);
    this.#kicked = new Int32Array(shape.rankOfSlot.length);
    this.#spread = new Int32Array(shape.rankOfSlot.length);
  }

  /** Candidate changes weighed so far, over all layers. */
  get work(): number {
    return this.#search.work;
  }

  /**
   * @param row a placement to start from, [slots]; overwritten with the one found. Experts that it
   *   lacks are mended first, whatever that costs. Among certain loads the outcome is never worse
   *   than the start so mended, but for what spreading copies may cost.
   * @returns moves from the placement in force
   */
  plan(task: LayerTask, row: Int32Array): number {
    const goals = this.#goals(task);
    const sharpest = goals[goals.length - 1];
    const certain = task.factors.length === 0 && task.variances.every((variance) => variance === 0);
    const risk = certain ? 0 : sharpest.sharpness / 2;
    this.#random = new SeededRandom(this.#seed);
    this.#state.begin(task.loads, task.variances, task.factors, risk, task.before, task.homes);
    if (task.mayCrowd) this.#state.limits?.letCrowd();
    this.#state.load(row);
    mend(this.#state, task.moveCost === Number.POSITIVE_INFINITY ? 0 : task.movesMax);
    this.#measuresLargest = certain;
    this.#bestMeasure = Number.POSITIVE_INFINITY;
    // Where moves cost infinitely much and mending had to make one, nothing measures better.
    this.#best.set(this.#state.row);
    const workMax = this.#search.work + task.workMax;
    this.#search.descend(sharpest, this.#search.work);
    this.#keepIfBest(sharpest);
    const spreads = this.#state.limits?.spreads === true;
    const freeWork = spreads && task.refine ? Math.floor(freeWorkPart * task.workMax) : 0;
    for (const goal of goals) {
      this.#search.descend(goal, workMax - freeWork);
      this.#keepIfBest(goal);
    }
    if (task.refine) this.#refine(sharpest, workMax - freeWork, task.isOver);
    if (spreads) this.#spreadUnlessCostly(task, sharpest, workMax);
    else this.#state.load(this.#best);
    if (task.before === null) fillEmptySlots(this.#state);
    row.set(this.#state.row);
    return this.#state.moves;
  }

  /** Spreads what is crowded still; then lets go of spreading where the search gains more without. */
  #spreadUnlessCostly(task: LayerTask, goal: SearchGoal, workMax: number): void {
    const state = this.#state;
    const { limits } = state;
    this.#restore(this.#best);
    if (limits === null || !(task.meanLoad > 0)) return;
    // Without work, for the terms of the state as it is.
    this.#search.descend(goal, this.#search.work);
    repairSpread(state, this.#search, {
      enough: goal.moveCost,
      max: spreadRepairCostMax * task.meanLoad,
      movesMax: task.movesMax,
      exchangesMax: task.before === null ? Number.POSITIVE_INFINITY : spreadExchangesMax,
    });
    this.#bestMeasure = this.#measure(goal);
    this.#best.set(state.row);
    this.#spread.set(state.row);
    const enough = this.#bestMeasure - spreadCostMax * this.#search.largest;
    if (enough <= task.meanLoad) return;
    limits.letCrowd();
    this.#search.descend({ ...goal, busiestOnly: !task.refine }, workMax);
    this.#keepIfBest(goal);
    if (task.refine) this.#refine(goal, workMax, task.isOver);
    this.#restore(this.#bestMeasure < enough ? this.#best : this.#spread);
  }

  #restore(row: Int32Array): void {
    if (row.some((expert, slot) => expert !== this.#state.row[slot])) this.#state.load(row);
  }

  /** What a placement is chosen by: of certain loads the largest itself, else the soft maximum. */
  #measure({ moveCost }: SearchGoal): number {
    if (!this.#measuresLargest) return this.#search.objective();
    const { moves } = this.#state;
    return this.#search.largest + (moves > 0 ? moveCost * moves : 0);
  }

  #keepIfBest(goal: SearchGoal): void {
    const measure = this.#measure(goal);
    if (measure >= this.#bestMeasure) return;
    this.#bestMeasure = measure;
    this.#best.set(this.#state.row);
  }

  /**
   * The published way's placement without its duplicates, [slots]; pinned slots keep their own.
   * @param start fast domain in which each expert is placed, [experts]; null: anywhere
   */
  greedy(task: LayerTask, row: Int32Array, start: Int32Array | null): void {
    this.#state.begin(task.loads, task.variances, [], 0, task.before, task.homes);
    placeGreedily(this.#state, task.loads, row, start);
  }

  /**
   * Largest relative rank load of a placement, its replicas on ranks that are out left aside; Infinity
   * where an expert has no other.
   * @param loads certain, [experts]
   * @param row [slots]
   */
  largestRankLoad(loads: Float64Array, row: Int32Array): number {
    // Without risk no variance counts, whatever it is.
    this.#state.begin(loads, loads, [], 0, null, null);
    this.#state.load(row);
    if (this.#state.counts.some((count) => count === 0)) return Number.POSITIVE_INFINITY;
    const { capacities } = this.#shape;
    let largest = 0;
    for (let rank = 0; rank < capacities.length; rank += 1) {
      if (!(capacities[rank] > 0)) continue;
      largest = Math.max(largest, this.#state.rankLoads[rank] / capacities[rank]);
    }
    return largest;
  }

  #goals(task: LayerTask): SearchGoal[] {
    const { variances, factors, movesMax, meanLoad } = task;
    const moveCost = task.before === null ? 0 : task.moveCost;
    const common = {
      moveCost,
      movesMax,
      thorough: task.refine,
      mayEmpty: task.before === null,
      busiestOnly: false,
    };
    if (!(meanLoad > 0)) return [{ ...common, sharpness: 1, enough: Number.POSITIVE_INFINITY }];
    const certain = certainSharpness.map((sharpness) => ({
      ...common,
      sharpness: sharpness / meanLoad,
      enough: meanLoad * (1 + tolerance),
    }));
    const { capacities } = this.#shape;
    const ranks = capacities.reduce((count, capacity) => count + (capacity > 0 ? 1 : 0), 0);
    const variance = factors.reduce(
      (sum, factor) => sum + factor.reduce((squares, value) => squares + value * value, 0) / ranks,
      variances.reduce((sum, value) => sum + value, 0) / ranks,
    );
    const sharpness = Math.sqrt((2 * Math.log(Math.max(2, ranks))) / variance) / bluntness;
    return sharpness < certain[0].sharpness ? [{ ...common, sharpness, enough: 0 }] : certain;
  }

  /** Iterated local search: kicks, descends, and goes on from what is not much worse. */
  #refine(goal: SearchGoal, workMax: number, isOver: () => boolean): void {
    if (goal.moveCost === Number.POSITIVE_INFINITY) return;
    const start = this.#search.work;
    let measure = this.#measure(goal);
    this.#kicked.set(this.#state.row);
    const inVainMax = kicksInVainMax + kicksInVainPerSlotMax * this.#kicked.length;
    let lastGain = 0;
    for (let kick = 1; kick - lastGain <= inVainMax; kick += 1) {
      if (this.#search.work >= workMax || this.#search.largest <= goal.enough || isOver()) return;
      this.#kick(goal.mayEmpty);
      this.#search.descend(goal, workMax);
      const used = (this.#search.work - start) / (workMax - start);
      const reached = this.#measure(goal);
      const allowed = measure * (1 + refinementSlack * (1 - used));
      if (this.#state.moves <= goal.movesMax && reached <= allowed) {
        measure = reached;
        this.#kicked.set(this.#state.row);
        if (reached < this.#bestMeasure) lastGain = kick;
        this.#keepIfBest(goal);
      } else {
        this.#state.load(this.#kicked);
      }
      if (kick % kicksPerReturn === 0) {
        measure = this.#bestMeasure;
        this.#kicked.set(this.#best);
        this.#state.load(this.#best);
      }
    }
  }

  /** One to three changes at random that leave the placement valid. */
  #kick(mayEmpty: boolean): void {
    const changes = 1 + this.#random.below(3);
    for (let change = 0; change < changes; change += 1) {
      if (this.#random.below(2) === 0) this.#exchangeAtRandom();
      else this.#copyAtRandom(mayEmpty);
    }
    // A kick costs work too, so that one which finds nothing to change ends all the same.
    this.#search.work += this.#shape.rankOfSlot.length;
  }

  #exchangeAtRandom(): void {
    const { row, held, limits } = this.#state;
    const { rankOfSlot, numExperts } = this.#shape;
    const slot = this.#random.below(row.length);
    const other = this.#random.below(row.length);
    const rank = rankOfSlot[slot];
    const otherRank = rankOfSlot[other];
    if (rank === otherRank || !this.#mayChange(slot) || !this.#mayChange(other)) return;
    if (row[slot] >= 0 && held[otherRank * numExperts + row[slot]] > 0) return;
    if (row[other] >= 0 && held[rank * numExperts + row[other]] > 0) return;
    if (limits !== null) {
      if (row[slot] >= 0 && !limits.mayMove(row[slot], rank, otherRank)) return;
      if (row[other] >= 0 && !limits.mayMove(row[other], otherRank, rank)) return;
    }
    this.#state.exchange(slot, other);
  }

  #copyAtRandom(mayEmpty: boolean): void {
    const { row, held, limits } = this.#state;
    const { rankOfSlot, numExperts } = this.#shape;
    const slot = this.#random.below(row.length);
    const expert = this.#random.below(numExperts + (mayEmpty ? 1 : 0));
    if (!mayClear(this.#state, slot)) return;
    if (expert === numExperts) this.#state.put(slot, -1);
    else if (limits !== null && !limits.mayAdd(expert, rankOfSlot[slot])) return;
    else if (held[rankOfSlot[slot] * numExperts + expert] === 0) this.#state.put(slot, expert);
  }

  #mayChange(slot: number): boolean {
    const { pinned, capacities, rankOfSlot } = this.#shape;
    return pinned[slot] === 0 && capacities[rankOfSlot[slot]] > 0;
  }
}
