import { ExpertMapping } from '@isobar/eplb';

/** The mapping with some ranks' slots empty, and what they alone held in place of spare replicas. */
export function withoutRanks(mapping: ExpertMapping, ranks: readonly number[]): ExpertMapping {
  const { numLayers, numLogicalExperts, numPhysicalExperts, slotOffsets } = mapping;
  const physicalToLogical = mapping.physicalToLogical.slice();
  for (let layer = 0; layer < numLayers; layer += 1) {
    const row = physicalToLogical.subarray(
      layer * numPhysicalExperts,
      (layer + 1) * numPhysicalExperts,
    );
    row.forEach((_, slot) => {
      if (ranks.includes(mapping.rankOfSlot(slot))) row[slot] = -1;
    });
    for (let expert = 0; expert < numLogicalExperts; expert += 1) {
      if (!row.includes(expert)) row[spareSlot(row, mapping, ranks)] = expert;
    }
  }
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

/** A slot of another rank that is empty, or whose expert has a further replica. */
function spareSlot(row: Int32Array, mapping: ExpertMapping, ranks: readonly number[]): number {
  const isSpare = (expert: number, slot: number) =>
    !ranks.includes(mapping.rankOfSlot(slot)) &&
    (expert < 0 || row.filter((other) => other === expert).length > 1);
  const slot = row.findIndex(isSpare);
  if (slot < 0) throw new Error('fewer slots than experts are left');
  return slot;
}
