import {
  crossNodeFraction,
  crossNodeTraffic,
  dispatchRankLoads,
} from './dispatch/dispatch-metrics.js';
import { type DispatchTable, uniformDispatch } from './dispatch/dispatch-table.js';
import { scaleSourceLoads } from './dispatch/source-loads.js';
import { ExpertMapping, largestRelativeLoads } from './expert-mapping.js';
import type { RouteSample } from './locality/route-sample.js';
import { crowdedExperts, splitGroups } from './placement/domain-metrics.js';
import { largestRankLoadBound } from './placement/lower-bound.js';
import { assertRequest } from './request-validation.js';
import { servingCapacities } from './serving-capacities.js';
import { usableSlotsOf } from './usable-slots.js';

/** What placement asks of a cluster; plain data, so that it can go to a worker. */
export interface ClusterShape {
  readonly numRanks: number;
  /** Fast domain of each rank, [ranks]. */
  readonly fastDomains: Int32Array;
  /** Failure domain of each rank, [ranks]. */
  readonly failureDomains: Int32Array;
  /** Seconds to bring one expert from rank to rank, [ranks × ranks], by row of the source. */
  readonly cost: Float64Array;
}

/** How an engine's kernels count what a token sends across fast domains. */
export type TrafficUnit = 'domain' | 'rank' | 'expert';

/** How an engine chooses among an expert's replicas: all alike, or by a dispatch table. */
export type ReplicaChoice = 'uniform' | 'weighted';

export interface RebalanceRequest {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  /** [ranks + 1] */
  readonly slotOffsets: Int32Array;
  /** Tokens expected by expert, [layers × experts]. */
  readonly loads: Float64Array;
  /** Standard deviations of `loads`, [layers × experts]. @default 0: the loads are certain */
  readonly loadDeviations?: Float64Array;
  /**
   * Loads that err together: tokens by which each is off at one standard deviation, at most two
   * such factors, each [layers × experts]. `loadDeviations` hold them too. @default none
   */
  readonly loadFactors?: readonly Float64Array[];
  /** @default 1 */
  readonly numNodes?: number;
  /** Expert groups of a group-limited router, each of consecutive experts. @default 1 */
  readonly numGroups?: number;
  readonly currentMapping?: ExpertMapping;
  readonly topology?: ClusterShape;
  /** Ranks that are out or draining: they serve nothing, and their slots end empty. @default none */
  readonly unavailableRanks?: readonly number[];
  /**
   * Slots of each rank that may hold an expert in every layer, its first ones, [ranks]; the others
   * end empty. @default all
   */
  readonly usableSlots?: Int32Array;
  /** Tokens that a rank serves in the time in which one of capacity 1 serves one, [ranks]. @default 1 */
  readonly rankCapacities?: Float64Array;
  /** Slots of ranks that serve which keep their expert in every layer. @default none */
  readonly pinnedSlots?: readonly number[];
  /** Most moves that the plan may make. @default unlimited */
  readonly maxMoves?: number;
  /**
   * Tokens by which a layer's largest rank load must fall for each move, [layers]; Infinity holds
   * the layer. @default `moveCostDefault` mean rank loads of the layer
   */
  readonly moveCosts?: Float64Array;
  /** @default 'uniform' */
  readonly replicaChoice?: ReplicaChoice;
  /**
   * Where tokens come from, [layers × ranks × experts], in any scale; heeded with the choice
   * `weighted`. @default unknown: every rank sends alike
   */
  readonly sourceLoads?: Float64Array;
  /** Which experts share a token; heeded with the choice `weighted`. @default unknown */
  readonly routes?: RouteSample;
  /** @default 'domain' */
  readonly trafficUnit?: TrafficUnit;
  /**
   * Balancedness that may be given up for less traffic across fast domains, and the share by which
   * a layer's largest rank load may be higher for expert groups that stay together.
   * @default 0.02 for traffic, 0.005 for groups
   */
  readonly balanceLossMax?: number;
  /**
   * Visits to other fast domains, per token of a layer, that a move must save where it is made for
   * traffic. @default 0.005 with a current mapping, else 0
   */
  readonly trafficMoveCost?: number;
  /**
   * Most candidate changes that the search may weigh: with a current mapping too, it then goes on
   * from local minima until they are weighed. @default by sizes; with a current mapping it ends at
   * the first local minimum
   */
  readonly workBudget?: number;
  /** Two requests that differ in it may be searched differently. @default 1 */
  readonly seed?: number;
  /** Safety cut of the search, reported as `deadlineCut`. @default none */
  readonly deadlineMs?: number;
}

export interface RebalanceReport {
  readonly policy: string;
  readonly planMs: number;
  /** Balancedness of the new mapping under the request's loads, relative to ranks' capacities. */
  readonly balancedness: number;
  /**
   * Of the current mapping's replicas on ranks that serve; null where there is none, or where some
   * expert has no replica on such a rank.
   */
  readonly balancednessBefore: number | null;
  /** Largest relative rank load of the new mapping, by its dispatch where it has one, [layers]. */
  readonly largestRankLoads: Float64Array;
  /**
   * No placement has a smaller largest relative rank load, [layers]. Proven when first read. With a
   * dispatch, whose shares need not be even, no more is proven than the mean.
   */
  readonly lowerBound: Float64Array;
  /**
   * (Layer, expert) pairs with more replicas in one failure domain than ⌈replicas ÷ domains⌉, of
   * ranks that serve; null without topology.
   */
  readonly crowdedExperts: number | null;
  /**
   * (Layer, group) pairs of a group-limited router that are not within one fast domain; null
   * without topology or with one group.
   */
  readonly splitGroups: number | null;
  /** Slots whose weights must travel. */
  readonly moves: number;
  /**
   * Largest relative rank load before less after, by layer, [layers]; 0 where there is no current
   * mapping.
   */
  readonly layerGains: Float64Array;
  /** Part of all sends to an expert that leave the source's fast domain; null without topology. */
  readonly crossNodeFraction: number | null;
  /**
   * Visits to other fast domains per sampled token and layer; null where no routes are known or
   * the policy plans no dispatch.
   */
  readonly crossNodeTraffic: number | null;
  /** Candidate changes that the search weighed. */
  readonly work: number;
  /** The deadline ended the search early: another run of the same request may plan otherwise. */
  readonly deadlineCut: boolean;
}

export interface RebalanceResult {
  readonly mapping: ExpertMapping;
  /** Who serves whom; null where replicas are chosen alike. */
  readonly dispatch: DispatchTable | null;
  readonly report: RebalanceReport;
}

/** What a policy's search comes to. */
export interface Placement {
  readonly mapping: ExpertMapping;
  readonly dispatch: DispatchTable | null;
  readonly work: number;
  readonly deadlineCut: boolean;
}

/** Places experts. Deterministic for a given request that no deadline cuts. */
export abstract class AbstractEplbPolicy {
  abstract readonly name: string;

  /**
   * @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field; ISOBAR_EPLB_SIZES where the
   *   policy can't place these sizes
   */
  rebalanceExperts(request: RebalanceRequest): RebalanceResult {
    assertRequest(request);
    const startedMs = performance.now();
    const placement = this.place(request);
    const planMs = performance.now() - startedMs;
    const { mapping, dispatch } = placement;
    return { mapping, dispatch, report: reportOf(this.name, request, placement, planMs) };
  }

  /** The new mapping for a request that has been checked. */
  protected abstract place(request: RebalanceRequest): Placement;
}

function reportOf(
  policy: string,
  request: RebalanceRequest,
  { mapping, dispatch, work, deadlineCut }: Placement,
  planMs: number,
): RebalanceReport {
  const { currentMapping, loads, topology, routes, trafficUnit, numGroups = 1 } = request;
  const capacities = servingCapacities(request, request.slotOffsets.length - 1);
  const means = meanRankLoads(request, capacities);
  const after =
    dispatch === null
      ? mapping.largestRankLoads(loads, capacities)
      : largestRelativeLoads(
          dispatchRankLoads(mapping, dispatch, sourceLoadsOf(request)),
          capacities,
        );
  const before = servingPart(currentMapping, capacities)?.largestRankLoads(loads, capacities);
  let lowerBound: Float64Array | undefined;
  return {
    policy,
    planMs,
    balancedness: quotientOfSums(means, after),
    balancednessBefore: before === undefined ? null : quotientOfSums(means, before),
    largestRankLoads: after,
    // What follows as a getter may take longer than the plan, and not everyone asks.
    get lowerBound() {
      lowerBound ??= dispatch === null ? lowerBounds(request, capacities) : means;
      return lowerBound;
    },
    get crowdedExperts() {
      if (topology === undefined) return null;
      return crowdedExperts(mapping, { domains: topology.failureDomains, capacities });
    },
    get splitGroups() {
      if (topology === undefined || numGroups === 1) return null;
      return splitGroups(mapping, { domains: topology.fastDomains, capacities }, numGroups);
    },
    moves: currentMapping?.numMoves(mapping) ?? mapping.physicalToLogical.length,
    layerGains: after.map((largest, layer) => (before?.[layer] ?? largest) - largest),
    get crossNodeFraction() {
      if (topology === undefined) return null;
      const table = dispatch ?? uniformDispatch(mapping);
      return crossNodeFraction(mapping, table, sourceLoadsOf(request), topology.fastDomains);
    },
    get crossNodeTraffic() {
      if (dispatch === null || topology === undefined || routes === undefined) return null;
      return crossNodeTraffic(mapping, dispatch, routes, topology.fastDomains, trafficUnit);
    },
    work,
    deadlineCut,
  };
}

/** A mapping without what ranks hold that are out; undefined where that leaves an expert nowhere. */
function servingPart(
  mapping: ExpertMapping | undefined,
  capacities: Float64Array,
): ExpertMapping | undefined {
  if (mapping === undefined || capacities.every((capacity) => capacity > 0)) return mapping;
  const slots = mapping.numPhysicalExperts;
  const physicalToLogical = mapping.physicalToLogical.map((expert, index) =>
    capacities[mapping.rankOfSlot(index % slots)] > 0 ? expert : -1,
  );
  const { numLayers, numLogicalExperts, slotOffsets } = mapping;
  const held = new Set(
    physicalToLogical.map((expert, index) =>
      expert < 0 ? -1 : Math.floor(index / slots) * numLogicalExperts + expert,
    ),
  );
  held.delete(-1);
  if (held.size < numLayers * numLogicalExperts) return undefined;
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

function sourceLoadsOf(request: RebalanceRequest): Float64Array {
  const { numLayers, numLogicalExperts: numExperts, slotOffsets, loads, sourceLoads } = request;
  const numRanks = slotOffsets.length - 1;
  return scaleSourceLoads(loads, { numLayers, numRanks, numExperts }, sourceLoads);
}

/** Σ of means ÷ Σ of largests over layers, 0 when idle. */
function quotientOfSums(means: Float64Array, largests: Float64Array): number {
  const largest = largests.reduce((sum, value) => sum + value, 0);
  return largest === 0 ? 0 : means.reduce((sum, value) => sum + value, 0) / largest;
}

/** Relative rank load of each layer if it were spread perfectly, [layers]. */
export function meanRankLoads(request: RebalanceRequest, capacities: Float64Array): Float64Array {
  const { loads, numLayers, numLogicalExperts } = request;
  const capacity = capacities.reduce((sum, value) => sum + value, 0);
  const means = new Float64Array(numLayers);
  for (let layer = 0, index = 0; layer < numLayers; layer += 1) {
    let sum = 0;
    for (const end = index + numLogicalExperts; index < end; index += 1) sum += loads[index];
    means[layer] = sum / capacity;
  }
  return means;
}

function lowerBounds(request: RebalanceRequest, capacities: Float64Array): Float64Array {
  const { loads, numLayers, numLogicalExperts } = request;
  const slotsPerRank = Int32Array.from(capacities, (capacity, rank) =>
    capacity > 0 ? usableSlotsOf(request, rank) : 0,
  );
  return Float64Array.from({ length: numLayers }, (_, layer) => {
    const row = loads.subarray(layer * numLogicalExperts, (layer + 1) * numLogicalExperts);
    return largestRankLoadBound(row, slotsPerRank, capacities);
  });
}
