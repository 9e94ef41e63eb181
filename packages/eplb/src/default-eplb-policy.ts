import {
  AbstractEplbPolicy,
  type Placement,
  type RebalanceRequest,
} from './abstract-eplb-policy.js';
import { EplbError } from './eplb-error.js';
import { ExpertMapping } from './expert-mapping.js';
import { HierarchicalPlacement, type Hierarchy } from './hierarchical-placement.js';
import { servingCapacities } from './serving-capacities.js';
import { closedSlots, usableSlotsOf } from './usable-slots.js';

/**
 * The balancer that DeepSeek published (deepseek-ai/EPLB, `rebalance_experts`), slot for slot.
 * Where expert groups divide by nodes it works in a hierarchy: groups are packed to nodes,
 * experts replicated within a node, and their copies packed to the node's ranks. Elsewhere, and
 * where ranks are out, it does the same with one group and one node; slots of ranks that are out
 * are left empty. It knows no current mapping: nearly every slot moves, whatever `maxMoves` says,
 * and nothing can be pinned. Where ranks offer fewer slots than they have, it uses as many of each as
 * the one that offers least. Loads and sums are 32-bit floats, as published.
 */
export class DefaultEplbPolicy extends AbstractEplbPolicy {
  override readonly name = 'default';

  /** @throws EplbError ISOBAR_EPLB_SIZES for slots uneven over ranks, ranks over nodes, or pinned */
  protected override place(request: RebalanceRequest): Placement {
    const sizes = hierarchyOf(request);
    if ('field' in sizes) {
      const text = `the default policy can't place this: ${sizes.what}`;
      throw new EplbError('ISOBAR_EPLB_SIZES', text, { field: sizes.field });
    }
    const { numLayers, numLogicalExperts, slotOffsets } = request;
    const physicalToLogical = placeLayers(request, sizes);
    return {
      mapping: ExpertMapping.create({
        numLayers,
        numLogicalExperts,
        slotOffsets,
        physicalToLogical,
      }),
      dispatch: null,
      work: 0,
      deadlineCut: false,
    };
  }
}

/** The published placement, [layers × slots]; null where it can't place these sizes. */
export function placePublished(request: RebalanceRequest): Int32Array | null {
  const sizes = hierarchyOf(request);
  return 'field' in sizes ? null : placeLayers(request, sizes);
}

function placeLayers(request: RebalanceRequest, sizes: Hierarchy): Int32Array {
  const { numLayers, numLogicalExperts, slotOffsets, loads } = request;
  const slots = slotOffsets[slotOffsets.length - 1];
  const physicalToLogical = new Int32Array(numLayers * slots).fill(-1);
  const placement = new HierarchicalPlacement(numLogicalExperts, sizes);
  const layerLoads = new Float32Array(numLogicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const start = layer * numLogicalExperts;
    layerLoads.set(loads.subarray(start, start + numLogicalExperts));
    const row = physicalToLogical.subarray(layer * slots, (layer + 1) * slots);
    placement.place(layerLoads, slotOffsets, row);
  }
  return physicalToLogical;
}

function servingRanks(request: RebalanceRequest): readonly number[] {
  const capacities = servingCapacities(request, request.slotOffsets.length - 1);
  return [...capacities.keys()].filter((rank) => capacities[rank] > 0);
}

/** Sizes that the published way can't place, by the field that is to blame. */
interface Unplaceable {
  readonly field: string;
  readonly what: string;
}

function hierarchyOf(request: RebalanceRequest): Hierarchy | Unplaceable {
  const { slotOffsets, pinnedSlots = [], numNodes = 1, numGroups = 1 } = request;
  const ranks = servingRanks(request);
  const isLimited = closedSlots(request).length > 0;
  const least = ranks.reduce(
    (slots, rank) => Math.min(slots, usableSlotsOf(request, rank)),
    Number.POSITIVE_INFINITY,
  );
  const slotsOf = (rank: number) => (isLimited ? least : slotOffsets[rank + 1] - slotOffsets[rank]);
  const numRanks = ranks.length;
  const numPhysicalExperts = ranks.reduce((sum, rank) => sum + slotsOf(rank), 0);
  if (pinnedSlots.length > 0) return { field: 'pinnedSlots', what: 'it pins no slot' };
  if (ranks.some((rank) => slotsOf(rank) * numRanks !== numPhysicalExperts)) {
    const what = `${numPhysicalExperts} slots are not even over ${numRanks} ranks`;
    return { field: 'slotOffsets', what };
  }
  if (isLimited && numPhysicalExperts < request.numLogicalExperts) {
    const what = `${least} slots of each of ${numRanks} ranks can't hold all experts`;
    return { field: 'usableSlots', what };
  }
  if (numGroups % numNodes !== 0 || numRanks < slotOffsets.length - 1) {
    return { ranks, numPhysicalExperts, numGroups: 1, numNodes: 1, numRanks };
  }
  if (numRanks % numNodes !== 0) {
    return { field: 'numNodes', what: `${numRanks} ranks don't divide by ${numNodes} nodes` };
  }
  return { ranks, numPhysicalExperts, numGroups, numNodes, numRanks };
}
