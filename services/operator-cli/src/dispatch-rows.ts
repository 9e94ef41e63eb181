import type { DispatchTable } from '@isobar/eplb';

/** A dispatch table as JSON: the share of each slot by source rank, [layers][source ranks][slots]. */
export function dispatchRows(dispatch: DispatchTable): number[][][] {
  const { numLayers, numRanks, numPhysicalExperts, shares } = dispatch;
  const row = (index: number) =>
    Array.from(
      shares.subarray(index * numPhysicalExperts, (index + 1) * numPhysicalExperts),
      (share) => Math.round(share * 1e7) / 1e7,
    );
  return Array.from({ length: numLayers }, (_, layer) =>
    Array.from({ length: numRanks }, (_, rank) => row(layer * numRanks + rank)),
  );
}
