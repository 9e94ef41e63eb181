import { closedSlots, type ExpertMapping, usableSlotsOf } from '@isobar/eplb';
import type { ControlRecord, SlotLimit } from '../control-record.js';
import { IsobarError } from '../isobar-error.js';
import type { WholeMapping } from '../map-record.js';
import { type Evidence, livingOf } from './evidence.js';
import type { Situation } from './situation.js';

/*
 * A rank's slots are numbered as its engine first said; of those it may offer fewer, always the first
 * ones of every layer. The others are closed: nothing is brought into them, and what they hold is
 * moved away.
 */

type Shape = Pick<WholeMapping, 'slotOffsets'>;

/** Slots that a rank's engine offers by its newest word, all of one that has said nothing. */
export function offeredSlotsOf(
  { slotOffsets }: Shape,
  { witnesses }: Evidence,
  rank: number,
): number {
  const offered = witnesses.get(rank)?.engine?.offeredSlots;
  const slots = (slotOffsets[rank + 1] ?? 0) - (slotOffsets[rank] ?? 0);
  return Math.min(slots, offered ?? slots);
}

/** Slots that engines offer, [ranks]. */
export function offeredSlots(shape: Shape, evidence: Evidence): Int32Array {
  const offered = new Int32Array(shape.slotOffsets.length - 1);
  for (let rank = 0; rank < offered.length; rank += 1) {
    offered[rank] = offeredSlotsOf(shape, evidence, rank);
  }
  return offered;
}

/** Slots that engines offer, and operators let them, [ranks]. */
export function usableSlots(
  shape: Shape,
  evidence: Evidence,
  { slotLimits }: Pick<ControlRecord, 'slotLimits'>,
): Int32Array {
  const usable = offeredSlots(shape, evidence);
  for (const { rank, slots } of slotLimits) usable[rank] = Math.min(usable[rank] ?? 0, slots);
  return usable;
}

/** Closed slots of all ranks, ascending. */
export function closedSlotsOf({ mapping, usableSlots: usable }: Situation): Int32Array {
  return closedSlots({ slotOffsets: mapping.slotOffsets, usableSlots: usable });
}

/** Ranks of living members whose closed slots hold something still. */
export function ranksToClear(situation: Situation): number[] {
  const { mapping, members, evidence } = situation;
  const closed = closedSlotsOf(situation);
  if (closed.length === 0) return [];
  const living = new Set(livingOf(evidence, members).map(({ rank }) => rank));
  const ranks = new Set<number>();
  for (const slot of closed) {
    const rank = mapping.rankOfSlot(slot);
    if (!living.has(rank) || ranks.has(rank)) continue;
    for (let layer = 0; layer < mapping.numLayers; layer += 1) {
      if (mapping.getLogicalExpert(layer, slot) >= 0) ranks.add(rank);
    }
  }
  return [...ranks];
}

/** Whether a mapping brings an expert into a closed slot; what is in one may stay. */
export function fillsClosedSlot(
  wanted: Pick<WholeMapping, 'physicalToLogical'>,
  current: ExpertMapping,
  closed: Int32Array,
): boolean {
  const { numLayers, numPhysicalExperts: slots, physicalToLogical } = current;
  for (const slot of closed) {
    for (let index = slot; index < numLayers * slots; index += slots) {
      const expert = wanted.physicalToLogical[index] ?? -1;
      if (expert >= 0 && expert !== physicalToLogical[index]) return true;
    }
  }
  return false;
}

/** With a rank's limit replaced, or taken away where `slots` is null. */
export function withSlotLimit(
  limits: readonly SlotLimit[],
  rank: number,
  slots: number | null,
): SlotLimit[] {
  const others = limits.filter((limit) => limit.rank !== rank);
  const all = slots === null ? others : [...others, { rank, slots }];
  return all.sort((a, b) => a.rank - b.rank);
}

/**
 * For an engine, before it stages: a slot that it does not offer may have no memory any more.
 * @param target what is proposed
 * @param held mappings whose experts it has in their slots
 * @throws IsobarError ISOBAR_ENGINE_SLOT_WITHDRAWN
 */
export function assertOffered(
  rank: number,
  offered: number,
  target: ExpertMapping,
  held: readonly ExpertMapping[],
): void {
  const { slotOffsets, numLayers } = target;
  const first = slotOffsets[rank] ?? 0;
  const slots = (slotOffsets[rank + 1] ?? 0) - first;
  for (let slot = first + offered; slot < first + slots; slot += 1) {
    for (let layer = 0; layer < numLayers; layer += 1) {
      const expert = target.getLogicalExpert(layer, slot);
      if (expert < 0) continue;
      if (held.some((mapping) => mapping.getLogicalExpert(layer, slot) === expert)) continue;
      throw new IsobarError(
        'ISOBAR_ENGINE_SLOT_WITHDRAWN',
        `rank ${rank} offers ${offered} slots: slot ${slot} of layer ${layer} can't be filled`,
        { rank, offered, slot, layer },
      );
    }
  }
}

/** `rank 3 offers 10 of 12 slots`, of the ranks named. */
export function describeOffers(
  { mapping, usableSlots: usable }: Situation,
  ranks: readonly number[],
) {
  const { slotOffsets } = mapping;
  return ranks
    .map((rank) => {
      const own = usableSlotsOf({ slotOffsets, usableSlots: usable }, rank);
      return `rank ${rank} offers ${own} of ${usableSlotsOf({ slotOffsets }, rank)} slots`;
    })
    .join(', ');
}
