import { EplbError } from '../eplb-error.js';
import { ExpertMapping } from '../expert-mapping.js';

/**
 * `to`, with experts that stay on a rank back in the slots that they have in `from`. Each rank
 * holds what `to` gives it, copy for copy; an expert that stays keeps its first old slot, a
 * further copy that stays keeps its own; whatever comes fills the remaining slots, both in
 * index order. A slot that is empty in both stays so; any other that is empty is treated like an expert.
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
 */
export function keepSlots(from: ExpertMapping, to: ExpertMapping): ExpertMapping {
  if (!from.sameShape(to)) {
    throw new EplbError(
      'ISOBAR_EPLB_MAPPING_SHAPE',
      'two mappings differ in layers, experts or slots',
      { field: 'mapping' },
    );
  }
  const physicalToLogical = to.physicalToLogical.slice();
  const slots = from.numPhysicalExperts;
  for (let layer = 0; layer < from.numLayers; layer += 1) {
    for (let rank = 0; rank < from.numRanks; rank += 1) {
      const first = layer * slots + (from.slotOffsets[rank] ?? 0);
      const last = layer * slots + (from.slotOffsets[rank + 1] ?? 0);
      alignRank(
        from.physicalToLogical.subarray(first, last),
        physicalToLogical.subarray(first, last),
      );
    }
  }
  const { numLayers, numLogicalExperts, slotOffsets } = from;
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

/** In place of an expert: the slot's old one does not stay. */
const leaves = -2;

function alignRank(before: Int32Array, after: Int32Array): void {
  const staysEmpty = before.map((expert, slot) => (expert < 0 && (after[slot] ?? -1) < 0 ? 1 : 0));
  const coming = [...after].filter((_, slot) => staysEmpty[slot] === 0);
  const kept = before.map((expert, slot) => {
    if (staysEmpty[slot] === 1) return expert;
    const at = coming.indexOf(expert);
    if (at < 0) return leaves;
    coming.splice(at, 1);
    return expert;
  });
  kept.forEach((expert, slot) => {
    after[slot] = expert === leaves ? (coming.shift() ?? -1) : expert;
  });
}
