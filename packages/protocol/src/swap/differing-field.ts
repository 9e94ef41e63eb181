import type { EngineDescription } from '../engine-description.js';

/** The field in which two engines can't belong to one group; null where they can. */
export function differingField(left: EngineDescription, right: EngineDescription): string | null {
  const fields = [
    'deployment',
    'numRanks',
    'modelRevision',
    'numLogicalExperts',
    'bytesPerExpert',
    'activation',
    'digestAlgorithm',
  ] as const;
  const differing = fields.find((field) => left[field] !== right[field]);
  if (differing !== undefined) return differing;
  const arrays = ['modelLayerIds', 'slotOffsets', 'pinnedSlots'] as const;
  return arrays.find((field) => left[field].join() !== right[field].join()) ?? null;
}
