import { type RebalanceRequest, servingCapacities } from '../abstract-eplb-policy.js';
import type { SlotShape } from './layer-state.js';

/** What a request says of slots and ranks; ranks that are out have no capacity. */
export function slotShapeOf(request: RebalanceRequest): SlotShape {
  const { slotOffsets, numLogicalExperts, pinnedSlots = [] } = request;
  const numRanks = slotOffsets.length - 1;
  const rankOfSlot = new Int32Array(slotOffsets[numRanks]);
  for (let rank = 0; rank < numRanks; rank += 1) {
    rankOfSlot.fill(rank, slotOffsets[rank], slotOffsets[rank + 1]);
  }
  const capacities = servingCapacities(request);
  const pinned = new Uint8Array(rankOfSlot.length);
  for (const slot of pinnedSlots) pinned[slot] = 1;
  return { numExperts: numLogicalExperts, numRanks, slotOffsets, rankOfSlot, capacities, pinned };
}
