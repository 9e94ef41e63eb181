import { EplbError } from '../eplb-error.js';
import type { ExpertMapping } from '../expert-mapping.js';

/**
 * Which replica takes what share of an expert's tokens, by source rank. Plain data, so that it can
 * go to a worker or to an engine; it belongs to one mapping.
 */
export interface DispatchTable {
  readonly numLayers: number;
  readonly numRanks: number;
  readonly numPhysicalExperts: number;
  /**
   * [layers × source ranks × slots]: of the tokens that a source rank has for the expert in a
   * slot, the part that the slot serves. They sum to 1 over each expert's replicas; an empty slot
   * has 0.
   */
  readonly shares: Float32Array;
}

/** Every replica takes the same share from everywhere, as engines do without a table. */
export function uniformDispatch(mapping: ExpertMapping): DispatchTable {
  const { numLayers, numRanks, numPhysicalExperts } = mapping;
  const shares = new Float32Array(numLayers * numRanks * numPhysicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const row = mapping
      .row(layer)
      .map((expert) => (expert < 0 ? 0 : mapping.replicaCount(layer, expert)));
    const first = Float32Array.from(row, (count) => (count === 0 ? 0 : 1 / count));
    for (let rank = 0; rank < numRanks; rank += 1) {
      shares.set(first, (layer * numRanks + rank) * numPhysicalExperts);
    }
  }
  return { numLayers, numRanks, numPhysicalExperts, shares };
}

/** @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE where the table is not of the mapping's shape */
export function assertDispatchFits(dispatch: DispatchTable, mapping: ExpertMapping): void {
  const { numLayers, numRanks, numPhysicalExperts } = mapping;
  const fits =
    dispatch.numLayers === numLayers &&
    dispatch.numRanks === numRanks &&
    dispatch.numPhysicalExperts === numPhysicalExperts &&
    dispatch.shares.length === numLayers * numRanks * numPhysicalExperts;
  if (fits) return;
  throw new EplbError(
    'ISOBAR_EPLB_MAPPING_SHAPE',
    'a dispatch table and a mapping differ in layers, ranks or slots',
    { field: 'dispatch' },
  );
}
