import type { ExpertMapping } from './expert-mapping.js';
import { assertRequest } from './request-validation.js';

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

/** How an engine chooses among an expert's replicas. */
export type ReplicaChoice = 'uniform' | 'nearest' | 'weighted';

export interface RebalanceRequest {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  /** [ranks + 1] */
  readonly slotOffsets: Int32Array;
  /** Tokens expected by expert, [layers × experts]. */
  readonly loads: Float64Array;
  /** Standard deviations of `loads`, [layers × experts]. @default 0: the loads are certain */
  readonly loadDeviations?: Float64Array;
  /** @default 1 */
  readonly numNodes?: number;
  /** Expert groups of a group-limited router. @default 1 */
  readonly numGroups?: number;
  readonly currentMapping?: ExpertMapping;
  readonly topology?: ClusterShape;
  /** Ranks that are out or draining: they serve nothing. @default none */
  readonly unavailableRanks?: readonly number[];
  /** Tokens that a rank serves in the time in which one of capacity 1 serves one, [ranks]. @default 1 */
  readonly rankCapacities?: Float64Array;
  /** Slots that keep their expert in every layer. @default none */
  readonly pinnedSlots?: readonly number[];
  /** Most moves that the plan may make. @default unlimited */
  readonly maxMoves?: number;
  /**
   * Tokens by which a layer's largest rank load must fall for each move, [layers]; Infinity holds
   * the layer. @default 2 % of the layer's mean rank load
   */
  readonly moveCosts?: Float64Array;
  /** Most candidate changes that the search may weigh. @default 50,000,000 */
  readonly workBudget?: number;
  /** Two requests that differ in it may be searched differently. @default 1 */
  readonly seed?: number;
  /** Safety cut of the search, reported as `deadlineCut`. @default none */
  readonly deadlineMs?: number;
}

export interface RebalanceReport {
  readonly policy: string;
  readonly planMs: number;
  /** Balancedness of the new mapping under the request's loads. */
  readonly balancedness: number;
  /** Of the current mapping, null where there is none. */
  readonly balancednessBefore: number | null;
  /** No placement has a smaller largest rank load, [layers]: the mean over available ranks. */
  readonly lowerBound: Float64Array;
  /** Slots whose weights must travel. */
  readonly moves: number;
  /** Largest rank load before less after, by layer, [layers]; 0 where there is no current mapping. */
  readonly layerGains: Float64Array;
}

export interface RebalanceResult {
  readonly mapping: ExpertMapping;
  readonly report: RebalanceReport;
}

/** Places experts. Deterministic for a given request. */
export abstract class AbstractEplbPolicy {
  abstract readonly name: string;

  /**
   * @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field; ISOBAR_EPLB_SIZES where the
   *   policy can't place these sizes
   */
  rebalanceExperts(request: RebalanceRequest): RebalanceResult {
    assertRequest(request);
    const startedMs = performance.now();
    const mapping = this.place(request);
    const planMs = performance.now() - startedMs;
    return { mapping, report: report(this.name, request, mapping, planMs) };
  }

  /** The new mapping for a request that has been checked. */
  protected abstract place(request: RebalanceRequest): ExpertMapping;
}

function report(
  policy: string,
  request: RebalanceRequest,
  mapping: ExpertMapping,
  planMs: number,
): RebalanceReport {
  const { currentMapping, loads, numLayers } = request;
  const layerGains = new Float64Array(numLayers);
  if (currentMapping !== undefined) {
    const before = largestRankLoads(currentMapping, loads);
    const after = largestRankLoads(mapping, loads);
    for (let layer = 0; layer < numLayers; layer += 1) {
      layerGains[layer] = (before[layer] ?? 0) - (after[layer] ?? 0);
    }
  }
  return {
    policy,
    planMs,
    balancedness: mapping.balancedness(loads),
    balancednessBefore: currentMapping?.balancedness(loads) ?? null,
    lowerBound: meanRankLoads(request),
    moves: currentMapping?.moves(mapping).length ?? mapping.physicalToLogical.length,
    layerGains,
  };
}

/** Largest rank load by layer, [layers]. */
export function largestRankLoads(mapping: ExpertMapping, loads: Float64Array): Float64Array {
  const rankLoads = mapping.rankLoads(loads);
  return Float64Array.from({ length: mapping.numLayers }, (_, layer) =>
    rankLoads
      .subarray(layer * mapping.numRanks, (layer + 1) * mapping.numRanks)
      .reduce((largest, load) => Math.max(largest, load), 0),
  );
}

function meanRankLoads(request: RebalanceRequest): Float64Array {
  const { loads, numLayers, numLogicalExperts, slotOffsets } = request;
  const available = slotOffsets.length - 1 - new Set(request.unavailableRanks).size;
  return Float64Array.from({ length: numLayers }, (_, layer) => {
    const row = loads.subarray(layer * numLogicalExperts, (layer + 1) * numLogicalExperts);
    return row.reduce((sum, load) => sum + load, 0) / available;
  });
}
