/** Slots by rank, and how many of them may hold experts. */
export interface SlotLimits {
  /** [ranks + 1] */
  readonly slotOffsets: Int32Array;
  /** Slots of each rank that may hold an expert in every layer, its first ones, [ranks]. @default all */
  readonly usableSlots?: Int32Array | undefined;
}

export function usableSlotsOf({ slotOffsets, usableSlots }: SlotLimits, rank: number): number {
  const slots = (slotOffsets[rank + 1] ?? 0) - (slotOffsets[rank] ?? 0);
  return Math.min(slots, usableSlots?.[rank] ?? slots);
}

/** Slots that are to be empty since their ranks offer fewer than they have, ascending. */
export function closedSlots(limits: SlotLimits): Int32Array {
  const { slotOffsets, usableSlots } = limits;
  if (usableSlots === undefined) return new Int32Array(0);
  const closed: number[] = [];
  for (let rank = 0; rank + 1 < slotOffsets.length; rank += 1) {
    const first = (slotOffsets[rank] ?? 0) + usableSlotsOf(limits, rank);
    for (let slot = first; slot < (slotOffsets[rank + 1] ?? 0); slot += 1) closed.push(slot);
  }
  return Int32Array.from(closed);
}
