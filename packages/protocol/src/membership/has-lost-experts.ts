import type { WholeMapping } from '../map-record.js';

/**
 * Whether an expert has no slot on a rank that lives. O(layers × slots); builds no index.
 * @param livingRanks members that are not proven dead
 */
export function hasLostExperts(mapping: WholeMapping, livingRanks: Iterable<number>): boolean {
  const { numLayers, numLogicalExperts, slotOffsets, physicalToLogical } = mapping;
  const slots = slotOffsets[slotOffsets.length - 1] ?? 0;
  const livingSlots: number[] = [];
  for (const rank of livingRanks) {
    const end = slotOffsets[rank + 1] ?? 0;
    for (let slot = slotOffsets[rank] ?? 0; slot < end; slot += 1) livingSlots.push(slot);
  }
  // By layer, counted from 1: the last in which an expert was seen.
  const seenIn = new Int32Array(numLogicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    let held = 0;
    for (const slot of livingSlots) {
      const expert = physicalToLogical[layer * slots + slot] ?? -1;
      if (expert < 0 || seenIn[expert] === layer + 1) continue;
      seenIn[expert] = layer + 1;
      held += 1;
    }
    if (held < numLogicalExperts) return true;
  }
  return false;
}
