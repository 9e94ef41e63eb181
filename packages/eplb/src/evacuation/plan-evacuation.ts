import type { ExpertMapping } from '../expert-mapping.js';
import {
  type ExpertTransfer,
  planTransfers,
  type TransferTopology,
} from '../transfer/transfer-plan.js';
import { RoomLeft, type WaveRoom } from '../transfer/wave-room.js';
import { type NoPlace, type Placement, placeMissing } from './place-missing.js';

/** Ranks that are to hold nothing, and what the others may take in. */
export interface EvacuationRequest {
  /** The mapping in force. */
  readonly current: ExpertMapping;
  /** An older mapping, and the ranks that still hold its experts in buffers. @default none */
  readonly retained?: {
    readonly mapping: ExpertMapping;
    readonly ranks: readonly number[];
  } | null;
  /** Ranks that are dead or no members: they end empty, and give nothing. */
  readonly outRanks: readonly number[];
  /** Ranks that live, end empty, and can give. */
  readonly leavingRanks: readonly number[];
  /** Slots that take nothing in, in every layer. @default none */
  readonly closedSlots?: Int32Array;
  /** Of these, such as end empty. @default none */
  readonly leavingSlots?: Int32Array;
  /**
   * Ranks that begin anew: their slots stay as they are, the first wave brings all that these
   * name, without a limit. They give nothing. @default none
   */
  readonly returningRanks?: readonly number[];
  /** Most experts that a wave may bring each rank: its spare buffers, [ranks]. */
  readonly maxIncomingPerRank: Int32Array;
  /** Slots that keep their expert in every layer, while their rank stays. @default none */
  readonly pinnedSlots?: Int32Array;
  /** [layers × experts]; by count where absent. */
  readonly loads?: Float64Array;
  /**
   * What a wave's message has room for. One that takes no expert is none: nothing is cut for it.
   * @default without a limit
   */
  readonly room?: WaveRoom;
  /** For sources. @default all alike */
  readonly topology?: TransferTopology;
}

export interface EvacuationWave {
  readonly mapping: ExpertMapping;
  /**
   * A source for every expert that a rank does not hold: under the mapping before, else in a
   * retained buffer, its own included, else −1: the backing store.
   */
  readonly transfers: readonly ExpertTransfer[];
}

/** `degraded`: with the ranks that stay, `layer` can't hold all its experts. */
export type EvacuationPlan =
  | { readonly kind: 'waves'; readonly waves: readonly EvacuationWave[] }
  | ({ readonly kind: 'degraded' } & NoPlace);

/**
 * Brings every expert that would be without a replica to a slot that stays, and empties the others,
 * in as many waves as the spare buffers and the messages' room need, at least one. Every wave is a whole
 * mapping: until an expert has its new place, its old slot stays named. What only a retained buffer
 * holds comes first, since retiring the first wave frees it. That wave takes whole, whatever the room, what
 * returning ranks begin with and what ranks take back from buffers of their own.
 * Deterministic; balanced by loads where they are given.
 */
export function planEvacuation(request: EvacuationRequest): EvacuationPlan {
  const roles = rolesOf(request);
  const { current, maxIncomingPerRank, loads = null } = request;
  const { pinnedSlots = [], closedSlots = [] } = request;
  const ranks = Array.from({ length: current.numRanks }, (_, rank) => rank);
  const placements = placeMissing({
    mapping: current,
    stays: roles.ends.map((ends) => !ends),
    closedSlots: new Set(closedSlots),
    receives: ranks.map((rank) => incomingMax(roles, maxIncomingPerRank, rank) > 0),
    pinnedSlots: new Set(pinnedSlots),
    retainers: holdersOf(request, roles),
    loads,
  });
  if (!Array.isArray(placements)) return { kind: 'degraded', ...placements };
  return { kind: 'waves', waves: cutWaves(request, roles, placements) };
}

interface Roles {
  /** Whether a slot ends empty, [slots]. */
  readonly ends: readonly boolean[];
  readonly returning: ReadonlySet<number>;
  /** Ranks that can give nothing. */
  readonly giveNothing: ReadonlySet<number>;
}

function rolesOf(request: EvacuationRequest): Roles {
  const { current, outRanks, leavingRanks, returningRanks = [], leavingSlots = [] } = request;
  const emptied = new Set([...outRanks, ...leavingRanks]);
  const left = new Set(leavingSlots);
  return {
    ends: Array.from(
      { length: current.numPhysicalExperts },
      (_, slot) => left.has(slot) || emptied.has(current.rankOfSlot(slot)),
    ),
    returning: new Set(returningRanks),
    giveNothing: new Set([...outRanks, ...returningRanks]),
  };
}

function incomingMax(roles: Roles, maxIncomingPerRank: Int32Array, rank: number): number {
  if (roles.returning.has(rank)) return Number.POSITIVE_INFINITY;
  return maxIncomingPerRank[rank] ?? 0;
}

/** Ranks that hold an expert in a buffer that is soon freed, retained or of a slot that leaves. */
function holdersOf(
  request: EvacuationRequest,
  roles: Roles,
): (layer: number, expert: number) => number[] {
  const { current, leavingSlots = [] } = request;
  const retainers = retainersOf(request, roles);
  const leaving = new Set(leavingSlots);
  if (leaving.size === 0) return retainers;
  return (layer, expert) => {
    const own = [...current.getPhysicalExperts(layer, expert)]
      .filter((slot) => leaving.has(slot))
      .map((slot) => current.rankOfSlot(slot))
      .filter((rank) => !roles.giveNothing.has(rank));
    return [...new Set([...retainers(layer, expert), ...own])];
  };
}

/** Ranks that hold an expert in a retained buffer and can give it. */
function retainersOf(
  { retained = null }: EvacuationRequest,
  roles: Roles,
): (layer: number, expert: number) => number[] {
  if (retained === null) return () => [];
  const { mapping } = retained;
  const retaining = new Set(retained.ranks.filter((rank) => !roles.giveNothing.has(rank)));
  return (layer, expert) => {
    const holders = [...mapping.getPhysicalExperts(layer, expert)].map((slot) =>
      mapping.rankOfSlot(slot),
    );
    return [...new Set(holders)].filter((rank) => retaining.has(rank));
  };
}

function cutWaves(
  request: EvacuationRequest,
  roles: Roles,
  placements: readonly Placement[],
): EvacuationWave[] {
  const urgency = (placement: Placement) =>
    placement.ownRetained ? 0 : placement.retained ? 1 : 2;
  let left: readonly Placement[] = [...placements].sort((a, b) => urgency(a) - urgency(b));
  const waves: EvacuationWave[] = [];
  let before = request.current;
  let unemptied = layersToEmpty(before, roles);
  do {
    const filling = { request, roles, before, isFirst: waves.length === 0 };
    const { taken, rest, layers } = fillWave(filling, left, unemptied);
    const mapping = waveMapping(before, roles, taken, layers);
    waves.push({ mapping, transfers: sourcesOf(request, roles, before, mapping, waves.length) });
    before = mapping;
    left = rest;
    unemptied = layersToEmpty(before, roles);
  } while (left.length > 0 || unemptied.length > 0);
  return waves;
}

/** Layers in which some slot that ends empty still names an expert. */
function layersToEmpty(mapping: ExpertMapping, { ends }: Roles): number[] {
  const layers = Array.from({ length: mapping.numLayers }, (_, layer) => layer);
  return layers.filter((layer) =>
    mapping.row(layer).some((expert, slot) => expert >= 0 && ends[slot] === true),
  );
}

/** A wave that is being filled, on top of `before`. */
interface Filling {
  readonly request: EvacuationRequest;
  readonly roles: Roles;
  readonly before: ExpertMapping;
  readonly isFirst: boolean;
}

interface FilledWave {
  readonly taken: readonly Placement[];
  readonly rest: readonly Placement[];
  /** Layers in which it empties what it can. */
  readonly layers: ReadonlySet<number>;
}

function fillWave(
  filling: Filling,
  placements: readonly Placement[],
  unemptied: readonly number[],
): FilledWave {
  const { request, roles, isFirst } = filling;
  const room = roomOf(filling);
  const incoming = new Map<number, number>();
  const taken: Placement[] = [];
  const rest: Placement[] = [];
  const layers = new Set<number>();
  for (const placement of placements) {
    const { layer, rank, ownRetained } = placement;
    const brought = incoming.get(rank) ?? 0;
    const isBuffered =
      ownRetained || brought < incomingMax(roles, request.maxIncomingPerRank, rank);
    if (!isBuffered || !(room.fits(layer, 1) || (isFirst && goesFirst(filling, placement)))) {
      rest.push(placement);
      continue;
    }
    taken.push(placement);
    layers.add(layer);
    room.take(layer, 1);
    if (!ownRetained) incoming.set(rank, brought + 1);
  }
  for (const layer of unemptied) {
    if (!room.fits(layer, 0)) continue;
    layers.add(layer);
    room.take(layer, 0);
  }
  return { taken, rest, layers };
}

function roomOf({ request, roles, before, isFirst }: Filling): RoomLeft {
  const { room = null } = request;
  const takesAny = room !== null && room.layerBytes + room.moveBytes <= room.bytesMax;
  const left = new RoomLeft(takesAny ? room : null);
  if (isFirst) left.takeMoves(restoredSlots(request, roles, before, before).length);
  return left;
}

/** What no later wave could bring: a rank begins once, and its own retained buffers are freed next. */
function goesFirst({ roles, before }: Filling, placement: Placement): boolean {
  const { layer, rank, expert, ownRetained } = placement;
  return roles.returning.has(rank) || (ownRetained && !before.holds(layer, rank, expert));
}

/** Of the slots that end empty those stay as they are whose experts have no other place yet. */
function waveMapping(
  before: ExpertMapping,
  roles: Roles,
  taken: readonly Placement[],
  layers: ReadonlySet<number>,
): ExpertMapping {
  const { numPhysicalExperts: slots } = before;
  const changed = Int32Array.from(layers).sort();
  const rows = new Int32Array(changed.length * slots);
  const rowOf = new Map(
    [...changed].map((layer, index) => [layer, rows.subarray(index * slots, (index + 1) * slots)]),
  );
  for (const [layer, row] of rowOf) row.set(before.row(layer));
  for (const { layer, slot, expert } of taken) rowOf.get(layer)?.fill(expert, slot, slot + 1);
  for (const row of rowOf.values()) emptyEnded(row, roles);
  return before.apply({ layers: changed, rows });
}

function emptyEnded(row: Int32Array, { ends }: Roles): void {
  const placed = new Set(row.filter((_, slot) => ends[slot] !== true));
  row.forEach((expert, slot) => {
    if (ends[slot] === true && placed.has(expert)) row[slot] = -1;
  });
}

function sourcesOf(
  request: EvacuationRequest,
  roles: Roles,
  before: ExpertMapping,
  after: ExpertMapping,
  wave: number,
): ExpertTransfer[] {
  const { topology } = request;
  const deadRanks = [...roles.giveNothing];
  const options = topology === undefined ? { deadRanks } : { deadRanks, topology };
  // Retiring the first wave frees what older mappings retain.
  const retainers = wave === 0 ? retainersOf(request, roles) : () => [];
  const moves = planTransfers(before, after, options).map((transfer) => {
    const { layer, expert, destinationRank } = transfer;
    const holders = retainers(layer, expert);
    if (holders.includes(destinationRank)) return { ...transfer, sourceRank: destinationRank };
    if (transfer.sourceRank >= 0) return transfer;
    return { ...transfer, sourceRank: holders[0] ?? -1 };
  });
  if (wave > 0 || roles.returning.size === 0) return moves;
  return [...moves, ...restoredSlots(request, roles, before, after)];
}

/** What a returning rank's slots name and named before: to it all of that is new. */
function restoredSlots(
  request: EvacuationRequest,
  roles: Roles,
  before: ExpertMapping,
  after: ExpertMapping,
): ExpertTransfer[] {
  const retainers = retainersOf(request, roles);
  const restored: ExpertTransfer[] = [];
  const sent = new Int32Array(before.numRanks);
  for (let layer = 0; layer < after.numLayers; layer += 1) {
    const row = after.row(layer);
    row.forEach((expert, slot) => {
      const rank = after.rankOfSlot(slot);
      if (expert < 0 || !roles.returning.has(rank) || !before.holds(layer, rank, expert)) return;
      const holders = [...before.getPhysicalExperts(layer, expert)]
        .map((held) => before.rankOfSlot(held))
        .filter((holder) => !roles.giveNothing.has(holder));
      const source = idlest(holders.length > 0 ? holders : retainers(layer, expert), sent);
      restored.push({ layer, slot, expert, destinationRank: rank, sourceRank: source });
    });
  }
  return restored;
}

/** The candidate that sends least so far, which then sends one more; −1 of none. */
function idlest(candidates: readonly number[], sent: Int32Array): number {
  const least = candidates.reduce(
    (best, candidate) =>
      best < 0 || (sent[candidate] ?? 0) < (sent[best] ?? 0) ? candidate : best,
    -1,
  );
  if (least >= 0) sent[least] = (sent[least] ?? 0) + 1;
  return least;
}
