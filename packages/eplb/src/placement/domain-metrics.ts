import type { ExpertMapping } from '../expert-mapping.js';
import { groupOf } from './expert-groups.js';

/** Ranks by domain, and which of them serve. */
export interface ServingDomains {
  /** [ranks] */
  readonly domains: Int32Array;
  /** 0 for ranks that serve nothing, [ranks] */
  readonly capacities: Float64Array;
}

/**
 * (Layer, expert) pairs of which a failure domain holds more than its part: of c replicas more than
 * ⌈c ÷ D⌉, D being the domains of ranks that serve and have slots.
 */
export function crowdedExperts(mapping: ExpertMapping, serving: ServingDomains): number {
  const { numLayers, numLogicalExperts } = mapping;
  const domains = domainOfSlots(mapping, serving);
  const ids = [...new Set(domains)].filter((domain) => domain >= 0);
  const place = new Map(ids.map((domain, index) => [domain, index]));
  const held = new Int32Array(numLogicalExperts * ids.length);
  let crowded = 0;
  for (let layer = 0; layer < numLayers; layer += 1) {
    held.fill(0);
    mapping.row(layer).forEach((expert, slot) => {
      const index = place.get(domains[slot]);
      if (expert >= 0 && index !== undefined) held[expert * ids.length + index] += 1;
    });
    for (let expert = 0; expert < numLogicalExperts; expert += 1) {
      const counts = held.subarray(expert * ids.length, (expert + 1) * ids.length);
      const count = counts.reduce((sum, copies) => sum + copies, 0);
      if (counts.some((copies) => copies > Math.ceil(count / ids.length))) crowded += 1;
    }
  }
  return crowded;
}

/** (Layer, group) pairs whose replicas, on ranks that serve, are in more than one domain. */
export function splitGroups(
  mapping: ExpertMapping,
  serving: ServingDomains,
  numGroups: number,
): number {
  const { numLayers, numLogicalExperts } = mapping;
  const domains = domainOfSlots(mapping, serving);
  let split = 0;
  for (let layer = 0; layer < numLayers; layer += 1) {
    const domainOf = new Int32Array(numGroups).fill(-1);
    const torn = new Set<number>();
    mapping.row(layer).forEach((expert, slot) => {
      if (expert < 0 || domains[slot] < 0) return;
      const group = groupOf(expert, numLogicalExperts, numGroups);
      if (domainOf[group] < 0) domainOf[group] = domains[slot];
      else if (domainOf[group] !== domains[slot]) torn.add(group);
    });
    split += torn.size;
  }
  return split;
}

/** −1 for slots of ranks that serve nothing, [slots]. */
function domainOfSlots(
  { slotOffsets, numRanks }: ExpertMapping,
  { domains, capacities }: ServingDomains,
): Int32Array {
  const ofSlots = new Int32Array(slotOffsets[numRanks]).fill(-1);
  for (let rank = 0; rank < numRanks; rank += 1) {
    if (!(capacities[rank] > 0)) continue;
    ofSlots.fill(domains[rank], slotOffsets[rank], slotOffsets[rank + 1]);
  }
  return ofSlots;
}
