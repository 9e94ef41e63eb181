import {
  AbstractEplbPolicy,
  meanRankLoads,
  type Placement,
  type RebalanceRequest,
} from './abstract-eplb-policy.js';
import { placePublished } from './default-eplb-policy.js';
import { planDispatch } from './dispatch/plan-dispatch.js';
import { ExpertMapping } from './expert-mapping.js';
import { improveForAnySource } from './locality/any-source.js';
import { improveLocality } from './locality/improve-locality.js';
import { areSourcesSteady } from './locality/source-steadiness.js';
import { ExpertGroups, type ExpertHomes } from './placement/expert-groups.js';
import { LayerPlanner, type LayerTask, spreadCostMax } from './placement/layer-planner.js';
import { slotShapeOf } from './placement/slot-shape.js';
import { servingCapacities } from './serving-capacities.js';
import { closedSlots } from './usable-slots.js';

/** Tokens that a move must save where the request does not say, in mean rank loads. */
export const moveCostDefault = 0.0012;
/** Share by which groups kept together may raise a layer's largest rank load. */
const groupLossMaxDefault = 0.005;
/** Candidate changes weighed by layer and slot without a current placement, and in all at least. */
const workPerSlotDefault = 2_000;
const workDefaultMin = 2_000_000;
/** Part of a layer's work that is kept for each of up to three further starts. */
const workForOthers = 0.1;
/**
 * The same from a current placement, where the first local minimum is mostly reached sooner; small
 * placements are searched further, since that takes little time.
 */
const workPerSlotFromCurrent = 160;
const workPerSlotOfSmall = 1_000;
const workOfSmallMax = 2_100_000;

/**
 * Replication and packing as one search, layer by layer, from the current placement where there is
 * one and else from the greedy one: the smallest largest rank load, by expectation and uncertainty
 * of the loads, at no more moves than pay. No rank gets two replicas of an expert where that can
 * be avoided. Slots and ranks that need not change stay put. Without a current placement, no
 * layer's largest rank load is above that of the default policy, unless that puts two replicas of
 * an expert on one rank.
 *
 * With a topology, an expert's replicas are spread over failure domains, and the experts of a
 * router's group are kept within one fast domain, each where it costs little balance. Within its
 * domain a group is spread over the failure domains there.
 */
export class LocalityAwarePolicy extends AbstractEplbPolicy {
  override readonly name = 'locality-aware';

  protected override place(request: RebalanceRequest): Placement {
    return new Search(request).run();
  }
}

/** One request on its way to a placement. */
class Search {
  readonly #request: RebalanceRequest;
  /** Relative rank load if it were spread perfectly, [layers]. */
  readonly #meanLoads: Float64Array;
  readonly #planner: LayerPlanner;
  /** Null where experts have no groups to be kept together. */
  readonly #groups: ExpertGroups | null;
  readonly #balanceLossMax: number;
  readonly #physicalToLogical: Int32Array;
  readonly #variances: Float64Array;
  readonly #deadlineMs: number;
  readonly #workBudget: number;
  readonly #refines: boolean;
  #published: Int32Array | null | undefined;
  #movesLeft: number;
  #deadlineCut = false;

  constructor(request: RebalanceRequest) {
    const { numLayers, slotOffsets, currentMapping } = request;
    const slots = slotOffsets[slotOffsets.length - 1];
    this.#request = request;
    this.#meanLoads = meanRankLoads(request, servingCapacities(request, slotOffsets.length - 1));
    const shape = slotShapeOf(request);
    const { fastDomains } = shape;
    this.#planner = new LayerPlanner(shape, request.seed ?? 1);
    this.#groups =
      fastDomains === null ? null : new ExpertGroups(shape, fastDomains, request.numGroups ?? 1);
    this.#balanceLossMax = request.balanceLossMax ?? groupLossMaxDefault;
    this.#physicalToLogical =
      currentMapping?.physicalToLogical.slice() ?? new Int32Array(numLayers * slots).fill(-1);
    this.#variances = ownVariances(request);
    this.#deadlineMs = performance.now() + (request.deadlineMs ?? Number.POSITIVE_INFINITY);
    this.#movesLeft = request.maxMoves ?? Number.POSITIVE_INFINITY;
    const work = workFor(request, numLayers * slots);
    this.#workBudget = work.budget;
    this.#refines = work.refines;
  }

  run(): Placement {
    const { numLayers, numLogicalExperts, slotOffsets } = this.#request;
    const slots = slotOffsets[slotOffsets.length - 1];
    this.#layersByExcess().forEach((layer, index) => {
      const row = this.#physicalToLogical.subarray(layer * slots, (layer + 1) * slots);
      this.#placeLayer(layer, row, numLayers - index);
    });
    const physicalToLogical = this.#physicalToLogical;
    const shape = { numLayers, numLogicalExperts, slotOffsets };
    const balanced = ExpertMapping.create({ ...shape, physicalToLogical });
    const { work } = this.#planner;
    const isWeighted = this.#request.replicaChoice === 'weighted';
    const local = isWeighted
      ? this.#localize(balanced)
      : { mapping: balanced, dispatch: null, work: 0 };
    return { ...local, work: work + local.work, deadlineCut: this.#deadlineCut };
  }

  /** Notes a deadline that has passed. */
  readonly #isOver = (): boolean => {
    if (performance.now() > this.#deadlineMs) this.#deadlineCut = true;
    return this.#deadlineCut;
  };

  /** Less traffic across fast domains, as far as balance allows, and who serves whom. */
  #localize(mapping: ExpertMapping): Pick<Placement, 'mapping' | 'dispatch' | 'work'> {
    const { topology, trafficMoveCost, pinnedSlots = [], ...request } = this.#request;
    const plain = topology === undefined || new Set(topology.fastDomains).size === 1;
    if (plain || this.#isOver()) {
      return { mapping, dispatch: planDispatch({ ...this.#request, mapping }), work: 0 };
    }
    const question = {
      ...request,
      mapping,
      topology,
      pinnedSlots: [...pinnedSlots, ...closedSlots(request)],
      moveCost: trafficMoveCost,
      isOver: this.#isOver,
      ...(request.workBudget !== undefined && { workBudget: Math.ceil(request.workBudget / 2) }),
    };
    const { physicalToLogical, dispatch, work } = areSourcesSteady(question)
      ? improveLocality(question)
      : improveForAnySource(question);
    const { numLayers, numLogicalExperts, slotOffsets } = mapping;
    const shape = { numLayers, numLogicalExperts, slotOffsets };
    return { mapping: ExpertMapping.create({ ...shape, physicalToLogical }), dispatch, work };
  }

  /** Worst layers first: where moves or work run out, they run out on the best ones. */
  #layersByExcess(): number[] {
    const { currentMapping, loads, numLayers } = this.#request;
    const layers = Array.from({ length: numLayers }, (_, layer) => layer);
    if (currentMapping === undefined) return layers;
    const experts = this.#request.numLogicalExperts;
    const excess = layers.map((layer) => {
      const own = loads.subarray(layer * experts, (layer + 1) * experts);
      return this.#planner.largestRankLoad(own, currentMapping.row(layer)) - this.#meanLoads[layer];
    });
    return layers.sort((a, b) => (excess[a] === excess[b] ? a - b : excess[b] - excess[a]));
  }

  #placeLayer(layer: number, row: Int32Array, layersLeft: number): void {
    const workLeft = this.#isOver() ? 0 : this.#workBudget - this.#planner.work;
    const task = this.#task(layer, Math.floor(Math.max(0, workLeft) / layersLeft));
    const homes = this.#homes(task, row);
    if (homes === null) this.#movesLeft -= this.#search(layer, task, row, null);
    else this.#keepGroups(layer, { ...task, workMax: Math.floor(task.workMax / 2) }, row, homes);
  }

  /** Where a layer's groups belong; null where there is nothing to keep together. */
  #homes({ loads, before }: LayerTask, row: Int32Array): ExpertHomes | null {
    const groups = this.#groups;
    if (groups === null) return null;
    const homes =
      before === null
        ? groups.packed(loads, this.#balanceLossMax)
        : groups.kept(row, loads, this.#balanceLossMax);
    return homes.homes.some((home) => home >= 0) ? homes : null;
  }

  /** @returns moves */
  #search(layer: number, task: LayerTask, row: Int32Array, start: Int32Array | null): number {
    if (task.before !== null) return this.#searchFromCurrent(task, row);
    this.#planner.greedy(task, row, start);
    const reserved = Math.floor(task.workMax * workForOthers);
    this.#planner.plan({ ...task, workMax: task.workMax - 3 * reserved }, row);
    this.#crowdWhereSpreadingCosts({ ...task, workMax: reserved }, row, start);
    this.#keepWithPublished(layer, { ...task, workMax: reserved }, row);
    return 0;
  }

  /**
   * From the current placement; and of certain loads, where it stays so far from balance that moving
   * half of the slots could pay, from the greedy one too.
   * @returns moves
   */
  #searchFromCurrent(task: LayerTask, row: Int32Array): number {
    const { loads, meanLoad, moveCost } = task;
    const { loadDeviations, loadFactors } = this.#request;
    const triesGreedy = task.refine && loadDeviations === undefined && loadFactors === undefined;
    const reserved = triesGreedy ? Math.floor(task.workMax * workForOthers) : 0;
    const before = row.slice();
    const moves = this.#planner.plan({ ...task, workMax: task.workMax - reserved }, row);
    const costOf = (placed: Int32Array, made: number) =>
      this.#planner.largestRankLoad(loads, placed) + (made > 0 ? moveCost * made : 0);
    const cost = costOf(row, moves);
    if (!triesGreedy || cost - meanLoad <= (moveCost * row.length) / 2) return moves;
    this.#planner.greedy(task, before, null);
    const movesFromGreedy = this.#planner.plan({ ...task, workMax: reserved }, before);
    const isBetter = costOf(before, movesFromGreedy) < cost && movesFromGreedy <= task.movesMax;
    if (!isBetter) return moves;
    row.set(before);
    return movesFromGreedy;
  }

  /** Takes the placement that does not spread copies where it is better by more than that may cost. */
  #crowdWhereSpreadingCosts(task: LayerTask, row: Int32Array, start: Int32Array | null): void {
    const largest = this.#planner.largestRankLoad(task.loads, row);
    const enough = largest * (1 - spreadCostMax);
    if (this.#request.topology === undefined || enough <= task.meanLoad) return;
    const crowded = new Int32Array(row.length).fill(-1);
    this.#planner.greedy(task, crowded, start);
    this.#planner.plan({ ...task, mayCrowd: true }, crowded);
    if (this.#planner.largestRankLoad(task.loads, crowded) < enough) row.set(crowded);
  }

  /** Places a layer without regard to groups and with them together, and chooses. */
  #keepGroups(layer: number, task: LayerTask, row: Int32Array, homes: ExpertHomes): void {
    const together = row.slice();
    const moves = this.#search(layer, task, row, null);
    const movesTogether = this.#search(
      layer,
      { ...task, homes: homes.homes },
      together,
      homes.start,
    );
    const largest = this.#planner.largestRankLoad(task.loads, row) * (1 + this.#balanceLossMax);
    const published = task.before === null ? this.#publishedRow(layer, row.length) : null;
    const most =
      published === null
        ? largest
        : Math.min(largest, this.#planner.largestRankLoad(task.loads, published));
    const keeps = this.#planner.largestRankLoad(task.loads, together) <= most;
    if (keeps) row.set(together);
    this.#movesLeft -= keeps ? movesTogether : moves;
  }

  #task(layer: number, workMax: number): LayerTask {
    const { currentMapping, loads, loadFactors, moveCosts } = this.#request;
    const experts = this.#request.numLogicalExperts;
    const own = (values: Float64Array) => values.subarray(layer * experts, (layer + 1) * experts);
    return {
      loads: own(loads),
      variances: own(this.#variances),
      factors: (loadFactors ?? []).map(own).filter((factor) => factor.some((off) => off !== 0)),
      before: currentMapping?.row(layer) ?? null,
      homes: null,
      moveCost: moveCosts?.[layer] ?? moveCostDefault * this.#meanLoads[layer],
      movesMax: this.#movesLeft,
      meanLoad: this.#meanLoads[layer],
      workMax,
      refine: this.#refines,
      mayCrowd: false,
      isOver: this.#isOver,
    };
  }

  /** Where the published placement is better, the search goes on from that. */
  #keepWithPublished(layer: number, task: LayerTask, row: Int32Array): void {
    const published = this.#publishedRow(layer, row.length);
    if (published === null) return;
    const { loads } = task;
    const largest = this.#planner.largestRankLoad(loads, row);
    const most = this.#planner.largestRankLoad(loads, published);
    if (most >= largest) return;
    const homes =
      task.homes === null ? null : (this.#groups?.kept(published, loads, 1).homes ?? null);
    const own = published.slice();
    this.#planner.plan({ ...task, homes }, own);
    if (this.#planner.largestRankLoad(loads, own) > most) {
      own.set(published);
      this.#planner.plan({ ...task, homes, mayCrowd: true }, own);
    }
    if (this.#planner.largestRankLoad(loads, own) < largest) row.set(own);
  }

  #publishedRow(layer: number, slots: number): Int32Array | null {
    this.#published ??= placePublished(this.#request);
    return this.#published?.slice(layer * slots, (layer + 1) * slots) ?? null;
  }
}

/**
 * Candidate changes that may be weighed for balance, and whether the search goes on from local minima
 * while there are some left.
 * @param size layers × slots
 */
function workFor(
  { workBudget, currentMapping, replicaChoice }: RebalanceRequest,
  size: number,
): { readonly budget: number; readonly refines: boolean } {
  if (workBudget !== undefined) {
    // The other half is for traffic.
    const budget = replicaChoice === 'weighted' ? Math.ceil(workBudget / 2) : workBudget;
    return { budget, refines: true };
  }
  if (currentMapping === undefined) {
    return { budget: Math.max(workDefaultMin, size * workPerSlotDefault), refines: true };
  }
  const ofSmall = Math.min(workOfSmallMax, size * workPerSlotOfSmall);
  const firstMinimum = size * workPerSlotFromCurrent;
  return { budget: Math.max(firstMinimum, ofSmall), refines: ofSmall > firstMinimum };
}

/** Variances of the loads beyond what the factors say of them, [layers × experts]. */
function ownVariances({ loads, loadDeviations, loadFactors = [] }: RebalanceRequest): Float64Array {
  const variances = new Float64Array(loads.length);
  loadDeviations?.forEach((deviation, index) => {
    variances[index] = deviation * deviation;
  });
  for (const factor of loadFactors) {
    factor.forEach((off, index) => {
      variances[index] = Math.max(0, variances[index] - off * off);
    });
  }
  return variances;
}
