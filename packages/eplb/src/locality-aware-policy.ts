import { AbstractEplbPolicy, type RebalanceRequest } from './abstract-eplb-policy.js';
import { ExpertMapping, uniformSlotOffsets } from './expert-mapping.js';
import { LayerSearch, type SearchLimits } from './local-search.js';

export interface LocalityAwareOptions {
  /**
   * Smallest fall of a layer's largest rank load that pays for one move, in mean rank loads.
   * Higher: fewer moves, less balance. Without a current mapping nothing moves, and it is 0.
   * @default 0.02
   */
  readonly gainPerMove?: number;
}

const workBudgetDefault = 50_000_000;

/**
 * Changes the current placement step by step, layer by layer, where a change pays for its moves:
 * no two replicas of an expert on one rank while that is avoidable, then the smallest largest rank
 * load, then exchanges within a fast domain. Slots and ranks that need not change stay put.
 */
export class LocalityAwarePolicy extends AbstractEplbPolicy {
  override readonly name = 'locality-aware';
  readonly #gainPerMove: number;

  constructor(options: LocalityAwareOptions = {}) {
    super();
    this.#gainPerMove = options.gainPerMove ?? 0.02;
  }

  protected override place(request: RebalanceRequest): ExpertMapping {
    const { numLayers, numLogicalExperts, slotOffsets, loads } = request;
    const start = request.currentMapping ?? startMapping(request);
    const physicalToLogical = start.physicalToLogical.slice();
    const slots = start.numPhysicalExperts;
    const limits = searchLimits(request, start, this.#gainPerMove);
    let movesLeft = request.maxMoves ?? Number.POSITIVE_INFINITY;
    let workLeft = request.workBudget ?? workBudgetDefault;
    for (const layer of layersByImbalance(start, loads)) {
      const row = physicalToLogical.subarray(layer * slots, (layer + 1) * slots);
      const layerLoads = loads.subarray(layer * numLogicalExperts, (layer + 1) * numLogicalExperts);
      const bounded = { ...limits, maxMoves: movesLeft, workBudget: workLeft };
      const outcome = new LayerSearch(row, layerLoads, bounded).run();
      movesLeft -= outcome.moves;
      workLeft -= outcome.work;
    }
    return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
  }
}

/** Worst layers first: where moves or work run out, they run out on the best ones. */
function layersByImbalance(mapping: ExpertMapping, loads: Float64Array): number[] {
  const rankLoads = mapping.rankLoads(loads);
  const { numRanks } = mapping;
  const excess = Float64Array.from({ length: mapping.numLayers }, (_, layer) => {
    const row = rankLoads.subarray(layer * numRanks, (layer + 1) * numRanks);
    return Math.max(...row) - row.reduce((sum, load) => sum + load, 0) / numRanks;
  });
  return [...excess.keys()].sort((a, b) => (excess[b] ?? 0) - (excess[a] ?? 0) || a - b);
}

function startMapping(request: RebalanceRequest): ExpertMapping {
  const { numLayers, numLogicalExperts, slotOffsets } = request;
  const numRanks = slotOffsets.length - 1;
  const numPhysicalExperts = slotOffsets[numRanks] ?? 0;
  const uniform = ExpertMapping.contiguous({
    numLayers,
    numLogicalExperts,
    numRanks,
    numPhysicalExperts,
  });
  if (uniformSlotOffsets(numPhysicalExperts, numRanks).join() === slotOffsets.join())
    return uniform;
  const { physicalToLogical } = uniform;
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

function searchLimits(
  request: RebalanceRequest,
  start: ExpertMapping,
  gainPerMove: number,
): SearchLimits {
  const available = new Uint8Array(start.numRanks).fill(1);
  for (const rank of request.unavailableRanks ?? []) available[rank] = 0;
  const pinned = new Uint8Array(start.numPhysicalExperts);
  for (const slot of request.pinnedSlots ?? []) pinned[slot] = 1;
  return {
    slotOffsets: start.slotOffsets,
    rankOfSlot: Int32Array.from(pinned, (_, slot) => start.rankOfSlot(slot)),
    available,
    pinned,
    fastDomains: request.topology?.fastDomains,
    gainPerMove: request.currentMapping === undefined ? 0 : gainPerMove,
    maxMoves: Number.POSITIVE_INFINITY,
    workBudget: workBudgetDefault,
  };
}
