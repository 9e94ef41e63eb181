import type { RebalanceRequest } from '../abstract-eplb-policy.js';
import { servingCapacities } from '../serving-capacities.js';
import { closedSlots } from '../usable-slots.js';
import type { SlotShape } from './layer-state.js';

/** What a request says of slots and ranks; ranks that are out have no capacity. */
export function slotShapeOf(request: RebalanceRequest): SlotShape {
  const { slotOffsets, numLogicalExperts, pinnedSlots = [], numGroups = 1, topology } = request;
  const numRanks = slotOffsets.length - 1;
  const rankOfSlot = new Int32Array(slotOffsets[numRanks]);
  for (let rank = 0; rank < numRanks; rank += 1) {
    rankOfSlot.fill(rank, slotOffsets[rank], slotOffsets[rank + 1]);
  }
  const capacities = servingCapacities(request, numRanks);
  const pinned = new Uint8Array(rankOfSlot.length);
  for (const slot of pinnedSlots) pinned[slot] = 1;
  const closed = new Uint8Array(rankOfSlot.length);
  for (const slot of closedSlots(request)) {
    pinned[slot] = 1;
    closed[slot] = 1;
  }
  const serving = [...new Set(rankOfSlot)].filter((rank) => capacities[rank] > 0);
  const numDomains = (domains: Int32Array) => new Set(serving.map((rank) => domains[rank])).size;
  const failureDomains = topology?.failureDomains ?? new Int32Array(numRanks);
  const fastDomains = topology?.fastDomains ?? new Int32Array(numRanks);
  // A rank that is a domain by itself never holds more than its part.
  const spreads = numDomains(failureDomains) > 1 && numDomains(failureDomains) < serving.length;
  return {
    numExperts: numLogicalExperts,
    numRanks,
    slotOffsets,
    rankOfSlot,
    capacities,
    pinned,
    closed,
    failureDomains: spreads ? failureDomains : null,
    fastDomains: numGroups > 1 && numDomains(fastDomains) > 1 ? fastDomains : null,
  };
}
