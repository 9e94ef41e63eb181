/** Ranks of a request: how fast they are, and which are out. */
export interface RankFacts {
  /** [ranks] @default 1 */
  readonly rankCapacities?: Float64Array | undefined;
  /** @default none */
  readonly unavailableRanks?: readonly number[] | undefined;
  /** Slots that may hold experts, [ranks]; a rank of none is out. @default all */
  readonly usableSlots?: Int32Array | undefined;
}

/** Relative speeds of ranks, 0 for those that are out, [ranks]. */
export function servingCapacities(
  { rankCapacities, unavailableRanks = [], usableSlots }: RankFacts,
  numRanks: number,
): Float64Array {
  const capacities = rankCapacities?.slice() ?? new Float64Array(numRanks).fill(1);
  for (const rank of unavailableRanks) capacities[rank] = 0;
  usableSlots?.forEach((slots, rank) => {
    if (slots === 0) capacities[rank] = 0;
  });
  return capacities;
}
