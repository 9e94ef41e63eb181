import type { RankStatus } from '@isobar/protocol';

/** Slots of a layer that a rank may use: as many as its engine offers and operators let it. */
export function usableSlotsOf({ slots: { offered, limit } }: RankStatus): number {
  return Math.min(offered, limit ?? offered);
}

/** What a rank is to hold less for, a few words each; none of a rank that takes part whole. */
export function wishesOf(rank: RankStatus): string[] {
  const { drained, leaving, slots } = rank;
  const usable = usableSlotsOf(rank);
  return [
    ...(drained ? ['drained'] : []),
    ...(leaving ? ['leaving'] : []),
    ...(usable < slots.own ? [`${usable} of ${slots.own} slots`] : []),
  ];
}
