/** Ranks that have slots, those of equal slots and capacity counted together. */
export interface RankTypes {
  readonly types: readonly RankType[];
  readonly slots: number;
  readonly mostSlots: number;
  readonly capacity: number;
  readonly largestCapacity: number;
}

export interface RankType {
  readonly slots: number;
  readonly capacity: number;
  readonly count: number;
}

/**
 * @param slotsPerRank [ranks], 0 for ranks that are out
 * @param capacities [ranks]
 */
export function rankTypes(slotsPerRank: Int32Array, capacities: Float64Array): RankTypes {
  const types: { slots: number; capacity: number; count: number }[] = [];
  let slots = 0;
  let capacity = 0;
  slotsPerRank.forEach((rankSlots, rank) => {
    if (rankSlots <= 0) return;
    const rankCapacity = capacities[rank] ?? 0;
    slots += rankSlots;
    capacity += rankCapacity;
    const same = types.find((type) => type.slots === rankSlots && type.capacity === rankCapacity);
    if (same === undefined) types.push({ slots: rankSlots, capacity: rankCapacity, count: 1 });
    else same.count += 1;
  });
  const mostSlots = types.reduce((most, type) => Math.max(most, type.slots), 0);
  const largestCapacity = types.reduce((largest, type) => Math.max(largest, type.capacity), 0);
  return { types, slots, mostSlots, capacity, largestCapacity };
}
