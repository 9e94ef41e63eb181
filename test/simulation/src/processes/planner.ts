import { type ExpertMapping, planTransfers, planWaves, type WaveRoom } from '@isobar/eplb';
import type { Change, Member, Wave } from '@isobar/protocol';
import { encodeTransfers, wholeMapping } from '@isobar/protocol';
import type { Random } from '@isobar/trace';
import { present } from '../present.js';

export interface PlanningLimits {
  /** Spare buffers less the reserve. */
  readonly incomingMax: number;
  /** What a wave's message has room for. */
  readonly room: WaveRoom;
}

/** Where nothing is to be put. */
export interface NoRoom {
  readonly drained: readonly number[];
  readonly closedSlots: Int32Array;
}

/** A mapping somewhat like the one in force: a few exchanges, copies made and given up. */
export function rearrange(
  mapping: ExpertMapping,
  members: readonly Member[],
  { drained, closedSlots }: NoRoom,
  random: Random,
): ExpertMapping {
  const { numLayers, numLogicalExperts, numPhysicalExperts: slots } = mapping;
  const open = new Set(members.map(({ rank }) => rank).filter((rank) => !drained.includes(rank)));
  const usable: number[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    if (open.has(mapping.rankOfSlot(slot)) && !closedSlots.includes(slot)) usable.push(slot);
  }
  const rows = mapping.physicalToLogical.slice();
  if (usable.length === 0) return mapping;
  const edits = 1 + random.integer(5);
  for (let edit = 0; edit < edits; edit += 1) {
    const start = random.integer(numLayers) * slots;
    const one = start + present(usable[random.integer(usable.length)]);
    const other = start + present(usable[random.integer(usable.length)]);
    const held = rows[one] ?? -1;
    const copies = rows.subarray(start, start + slots).filter((expert) => expert === held).length;
    if (held < 0 || (copies > 1 && random.next() < 0.5)) {
      rows[one] = random.integer(numLogicalExperts);
      continue;
    }
    rows[one] = rows[other] ?? -1;
    rows[other] = held;
  }
  const layers = Int32Array.from({ length: numLayers }, (_, layer) => layer);
  return mapping.apply({ layers, rows });
}

/** Cuts a change into waves that spare buffers and messages take, as the coordinator's shell does. */
export function wavesTo(
  from: ExpertMapping,
  to: ExpertMapping,
  change: Change,
  reason: string,
  { incomingMax, room }: PlanningLimits,
): Wave[] {
  const maxIncomingPerRank = new Int32Array(from.numRanks).fill(incomingMax);
  let before = from;
  return planWaves(from, to, { maxIncomingPerRank, room }).map((mapping, index, all) => {
    const { layers, rows } = before.delta(mapping);
    const transfers = encodeTransfers(planTransfers(before, mapping));
    before = mapping;
    return {
      change,
      reason: `${reason}, wave ${index + 1} of ${all.length}`,
      mapping: wholeMapping(mapping),
      digest: mapping.digest(),
      layers,
      rows,
      transfers,
    };
  });
}
