import type { ExpertMapping } from './expert-mapping.js';

/** One expert's weights on their way into a slot. */
export interface ExpertTransfer {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly destinationRank: number;
  /** −1: no live rank holds it; it comes from the engine's backing store. */
  readonly sourceRank: number;
}

/**
 * A source for every slot whose expert its rank does not hold: the nearest holder; among
 * equally near ones that which gives least so far; then the lowest rank.
 * @param cost seconds from rank to rank, [ranks × ranks]; all alike where absent
 */
export function planTransfers(
  from: ExpertMapping,
  to: ExpertMapping,
  cost?: Float64Array,
): ExpertTransfer[] {
  const given = new Int32Array(from.numRanks);
  return from.moves(to).map(({ layer, slot, expert, rank }) => {
    let sourceRank = -1;
    for (const holder of from.getPhysicalExperts(layer, expert)) {
      const candidate = from.rankOfSlot(holder);
      if (sourceRank < 0 || isNearer(candidate, sourceRank, rank, given, from.numRanks, cost)) {
        sourceRank = candidate;
      }
    }
    if (sourceRank >= 0) given[sourceRank] = (given[sourceRank] ?? 0) + 1;
    return { layer, slot, expert, destinationRank: rank, sourceRank };
  });
}

function isNearer(
  candidate: number,
  best: number,
  destination: number,
  given: Int32Array,
  numRanks: number,
  cost: Float64Array | undefined,
): boolean {
  const candidateCost = cost?.[candidate * numRanks + destination] ?? 0;
  const bestCost = cost?.[best * numRanks + destination] ?? 0;
  if (candidateCost !== bestCost) return candidateCost < bestCost;
  return (given[candidate] ?? 0) < (given[best] ?? 0);
}
