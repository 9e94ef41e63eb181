import {
  AbstractEplbPolicy,
  meanRankLoads,
  type Placement,
  type RebalanceRequest,
  servingCapacities,
} from './abstract-eplb-policy.js';
import { placePublished } from './default-eplb-policy.js';
import { planDispatch } from './dispatch/plan-dispatch.js';
import { ExpertMapping } from './expert-mapping.js';
import { improveForAnySource } from './locality/any-source.js';
import { improveLocality } from './locality/improve-locality.js';
import { areSourcesSteady } from './locality/source-steadiness.js';
import { LayerPlanner, type LayerTask } from './placement/layer-planner.js';
import { slotShapeOf } from './placement/slot-shape.js';

/** Tokens that a move must save where the request does not say, in mean rank loads. */
export const moveCostDefault = 0.0012;
/** Candidate changes weighed by layer and slot without a current placement, and in all at least. */
const workPerSlotDefault = 2_000;
const workDefaultMin = 2_000_000;
/**
 * The same from a current placement, where the first local minimum is mostly reached sooner; only
 * placements so small that it takes little time are searched further.
 */
const workPerSlotFromCurrent = 200;
const workFromCurrentMin = 2_000_000;

/**
 * Replication and packing as one search, layer by layer, from the current placement where there is
 * one and else from the greedy one: the smallest largest rank load, by expectation and uncertainty
 * of the loads, at no more moves than pay. No rank gets two replicas of an expert where that can
 * be avoided. Slots and ranks that need not change stay put. Without a current placement, no
 * layer's largest rank load is above that of the default policy, unless that puts two replicas of
 * an expert on one rank.
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
    this.#meanLoads = meanRankLoads(request, servingCapacities(request));
    this.#planner = new LayerPlanner(slotShapeOf(request), request.seed ?? 1);
    this.#physicalToLogical =
      currentMapping?.physicalToLogical.slice() ?? new Int32Array(numLayers * slots).fill(-1);
    this.#variances = ownVariances(request);
    this.#deadlineMs = performance.now() + (request.deadlineMs ?? Number.POSITIVE_INFINITY);
    this.#movesLeft = request.maxMoves ?? Number.POSITIVE_INFINITY;
    this.#workBudget =
      request.workBudget ??
      (currentMapping === undefined
        ? Math.max(workDefaultMin, numLayers * slots * workPerSlotDefault)
        : Math.max(workFromCurrentMin, numLayers * slots * workPerSlotFromCurrent));
    this.#refines =
      request.workBudget !== undefined ||
      currentMapping === undefined ||
      numLayers * slots * workPerSlotFromCurrent < workFromCurrentMin;
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
    if (this.#request.replicaChoice !== 'weighted') {
      return { mapping: balanced, dispatch: null, work, deadlineCut: this.#deadlineCut };
    }
    const { mapping, dispatch } = this.#localize(balanced);
    return { mapping, dispatch, work, deadlineCut: this.#deadlineCut };
  }

  /** Less traffic across fast domains, as far as balance allows, and who serves whom. */
  #localize(mapping: ExpertMapping): Pick<Placement, 'mapping' | 'dispatch'> {
    const { topology, trafficMoveCost, ...request } = this.#request;
    const plain = topology === undefined || new Set(topology.fastDomains).size === 1;
    if (plain || performance.now() > this.#deadlineMs) {
      return { mapping, dispatch: planDispatch({ ...this.#request, mapping }) };
    }
    const question = { ...request, mapping, topology, moveCost: trafficMoveCost };
    const { physicalToLogical, dispatch } = areSourcesSteady(question)
      ? improveLocality(question)
      : improveForAnySource(question);
    const { numLayers, numLogicalExperts, slotOffsets } = mapping;
    const shape = { numLayers, numLogicalExperts, slotOffsets };
    return { mapping: ExpertMapping.create({ ...shape, physicalToLogical }), dispatch };
  }

  /** Worst layers first: where moves or work run out, they run out on the best ones. */
  #layersByExcess(): number[] {
    const { currentMapping, loads, numLayers } = this.#request;
    const layers = Array.from({ length: numLayers }, (_, layer) => layer);
    if (currentMapping === undefined) return layers;
    const largest = currentMapping.largestRankLoads(loads, servingCapacities(this.#request));
    const excess = layers.map((layer) => largest[layer] - this.#meanLoads[layer]);
    return layers.sort((a, b) => excess[b] - excess[a] || a - b);
  }

  #placeLayer(layer: number, row: Int32Array, layersLeft: number): void {
    const { currentMapping } = this.#request;
    if (performance.now() > this.#deadlineMs) this.#deadlineCut = true;
    const workLeft = this.#deadlineCut ? 0 : this.#workBudget - this.#planner.work;
    const task = this.#task(layer, Math.floor(Math.max(0, workLeft) / layersLeft));
    if (currentMapping === undefined) {
      this.#planner.greedy(task, row);
      this.#planner.plan(task, row);
      this.#keepWithPublished(layer, task, row);
      return;
    }
    this.#movesLeft -= this.#planner.plan(task, row);
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
      moveCost: moveCosts?.[layer] ?? moveCostDefault * this.#meanLoads[layer],
      movesMax: this.#movesLeft,
      meanLoad: this.#meanLoads[layer],
      workMax,
      refine: this.#refines,
    };
  }

  /** Where the published placement is better, the search goes on from that. */
  #keepWithPublished(layer: number, task: LayerTask, row: Int32Array): void {
    this.#published ??= placePublished(this.#request);
    if (this.#published === null) return;
    const published = this.#published.slice(layer * row.length, (layer + 1) * row.length);
    const { loads } = task;
    const largest = this.#planner.largestRankLoad(loads, row);
    if (this.#planner.largestRankLoad(loads, published) >= largest) return;
    this.#planner.plan(task, published);
    if (this.#planner.largestRankLoad(loads, published) < largest) row.set(published);
  }
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
