import { EplbError } from '../eplb-error.js';
import type { ExpertMapping } from '../expert-mapping.js';
import { type NoPlace, placeMissing } from './place-missing.js';

/** Where experts may be from now on. */
export interface Room {
  /** Ranks that may hold experts. */
  readonly memberRanks: readonly number[];
  /** Slots of theirs that are to be empty. @default none */
  readonly closedSlots?: Int32Array;
}

export type RevalidatedMapping =
  | { readonly kind: 'mapping'; readonly mapping: ExpertMapping }
  | ({ readonly kind: 'degraded' } & NoPlace);

/**
 * An earlier mapping as it can be had now: ranks that are no members, or are to hold nothing, and
 * closed slots end empty, and what would be missing is placed, where possible on a rank that holds it now.
 * @param current the mapping in force
 * @param loads [layers × experts], for where to place; by count where null
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE where the shape has changed since
 */
export function revalidateMapping(
  mapping: ExpertMapping,
  { memberRanks, closedSlots = new Int32Array(0) }: Room,
  current: ExpertMapping,
  loads: Float64Array | null = null,
): RevalidatedMapping {
  if (!mapping.sameShape(current)) {
    throw new EplbError(
      'ISOBAR_EPLB_MAPPING_SHAPE',
      'an earlier mapping has other layers, experts or slots than the one in force',
      { field: 'mapping' },
    );
  }
  const members = new Set(memberRanks);
  const closed = new Set(closedSlots);
  const receives = Array.from({ length: mapping.numRanks }, (_, rank) => members.has(rank));
  const stays = Array.from(
    { length: mapping.numPhysicalExperts },
    (_, slot) => receives[mapping.rankOfSlot(slot)] === true && !closed.has(slot),
  );
  const placements = placeMissing({
    mapping,
    stays,
    closedSlots: closed,
    receives,
    pinnedSlots: new Set(),
    retainers: (layer, expert) =>
      [...current.getPhysicalExperts(layer, expert)].map((slot) => current.rankOfSlot(slot)),
    loads,
  });
  if (!Array.isArray(placements)) return { kind: 'degraded', ...placements };
  const slots = mapping.numPhysicalExperts;
  const rows = mapping.physicalToLogical.map((expert, index) =>
    stays[index % slots] === true ? expert : -1,
  );
  for (const { layer, slot, expert } of placements) rows[layer * slots + slot] = expert;
  const layers = Int32Array.from({ length: mapping.numLayers }, (_, layer) => layer);
  return { kind: 'mapping', mapping: mapping.apply({ layers, rows }) };
}
