import { EplbError } from '../eplb-error.js';
import type { ExpertMapping } from '../expert-mapping.js';
import { colorEdges, type Edge } from './edge-coloring.js';
import { keepSlots } from './keep-slots.js';
import { RoomLeft, type WaveRoom } from './wave-room.js';

export interface WaveLimits {
  /** Most experts that a wave may bring each rank: its spare buffers, [ranks]. */
  readonly maxIncomingPerRank: Int32Array;
  /** What each layer's change is worth, [layers]; all alike where absent. */
  readonly layerGains?: Float64Array;
  /** What a wave's message has room for; without a limit where absent. */
  readonly room?: WaveRoom;
}

/**
 * Cuts a rebalance into mappings that follow one another, so that no step brings a rank more
 * experts than its limit, or is larger than the room that there is, but for a single part of a layer
 * that is. Whole layers are grouped, most gain per move first. A layer that alone
 * brings a rank too much is cut into matchings between losing and gaining ranks, each of which
 * keeps every expert. The last mapping has the same experts on each rank as `to`; within a rank
 * an expert that stays keeps its slot.
 * @throws EplbError ISOBAR_EPLB_NO_SPARE_BUFFERS where a rank that must receive may receive nothing
 */
export function planWaves(
  from: ExpertMapping,
  to: ExpertMapping,
  limits: WaveLimits,
): ExpertMapping[] {
  const changes = layerChanges(from, keepSlots(from, to));
  changes.sort((a, b) => worth(b, limits) - worth(a, limits) || a.layer - b.layer);
  const waves: ExpertMapping[] = [];
  let remaining = changes.flatMap((change) => cutLayer(from, change, limits.maxIncomingPerRank));
  let mapping = from;
  while (remaining.length > 0) {
    const { taken, left } = fillWave(remaining, limits);
    mapping = applySteps(mapping, taken);
    waves.push(mapping);
    remaining = left;
  }
  return waves;
}

/** Part of a wave: one layer's row after it, and the experts that it brings each rank. */
interface LayerStep {
  readonly layer: number;
  readonly row: Int32Array;
  readonly incoming: Int32Array;
}

interface LayerChange {
  readonly layer: number;
  readonly before: Int32Array;
  readonly after: Int32Array;
  readonly incoming: Int32Array;
  readonly moves: number;
}

function layerChanges(from: ExpertMapping, to: ExpertMapping): LayerChange[] {
  const moves = from.moves(to);
  return [...from.delta(to).layers].map((layer) => {
    const incoming = new Int32Array(from.numRanks);
    const own = moves.filter((move) => move.layer === layer);
    for (const { rank } of own) incoming[rank] = (incoming[rank] ?? 0) + 1;
    return { layer, before: from.row(layer), after: to.row(layer), incoming, moves: own.length };
  });
}

function worth(change: LayerChange, limits: WaveLimits): number {
  return (limits.layerGains?.[change.layer] ?? 1) / Math.max(1, change.moves);
}

function cutLayer(
  mapping: ExpertMapping,
  change: LayerChange,
  maxIncomingPerRank: Int32Array,
): LayerStep[] {
  const over = change.incoming.some((count, rank) => count > (maxIncomingPerRank[rank] ?? 0));
  if (!over) return [{ layer: change.layer, row: change.after, incoming: change.incoming }];
  const starved = change.incoming.findIndex(
    (count, rank) => count > 0 && (maxIncomingPerRank[rank] ?? 0) < 1,
  );
  if (starved >= 0) {
    throw new EplbError(
      'ISOBAR_EPLB_NO_SPARE_BUFFERS',
      `rank ${starved} must receive experts of layer ${change.layer} but has no spare buffer`,
      { rank: starved, layer: change.layer },
    );
  }
  return matchingSteps(mapping, change);
}

/** A lost copy on one rank and a gained copy on another; −1 stands for an empty slot. */
interface CopyEdge extends Edge {
  readonly lost: number;
  readonly gained: number;
}

/** In place of an expert: the rank sits this matching out. */
const unchanged = -2;

/**
 * Every changed slot loses one copy and gains one. A lost and a gained copy of the same expert
 * make an edge, so that within one matching the expert only moves; leftover copies, of experts
 * that end with fewer or more replicas, are paired as they come. Hence no matching takes an
 * expert's last copy.
 */
function matchingSteps(mapping: ExpertMapping, change: LayerChange): LayerStep[] {
  const edges = copyEdges(mapping, change);
  const colors = colorEdges(edges, mapping.numRanks);
  const steps: LayerStep[] = [];
  let row = change.before;
  for (let color = 0; color <= Math.max(...colors); color += 1) {
    const matching = edges.filter((_, index) => colors[index] === color);
    const incoming = new Int32Array(mapping.numRanks);
    const next = row.slice();
    for (const { left, lost } of matching) {
      if (lost === unchanged) continue;
      const gained = matching.find((edge) => edge.right === left)?.gained ?? unchanged;
      if (gained === unchanged) throw new Error(`rank ${left} loses a copy and gains none`);
      next[slotHolding(mapping, row, left, lost)] = gained;
      if (gained >= 0) incoming[left] = 1;
    }
    row = next;
    steps.push({ layer: change.layer, row, incoming });
  }
  return steps;
}

function slotHolding(
  mapping: ExpertMapping,
  row: Int32Array,
  rank: number,
  expert: number,
): number {
  const first = mapping.slotOffsets[rank] ?? 0;
  const at = row.subarray(first, mapping.slotOffsets[rank + 1]).indexOf(expert);
  if (at < 0) throw new Error(`rank ${rank} was to lose expert ${expert}, which it does not hold`);
  return first + at;
}

function copyEdges(mapping: ExpertMapping, change: LayerChange): CopyEdge[] {
  const lost = new Map<number, number[]>();
  const gained: { readonly expert: number; readonly rank: number }[] = [];
  change.after.forEach((expert, slot) => {
    const before = change.before[slot] ?? -1;
    if (before === expert) return;
    const rank = mapping.rankOfSlot(slot);
    lost.set(before, [...(lost.get(before) ?? []), rank]);
    gained.push({ expert, rank });
  });
  const edges: CopyEdge[] = [];
  const unpaired = gained.filter(({ expert, rank }) => {
    const left = lost.get(expert)?.shift();
    if (left !== undefined) edges.push({ left, right: rank, lost: expert, gained: expert });
    return left === undefined;
  });
  const leftovers = [...lost].flatMap(([expert, ranks]) => ranks.map((rank) => ({ expert, rank })));
  unpaired.forEach(({ expert, rank }, index) => {
    const leftover = leftovers[index];
    if (leftover === undefined) throw new Error('lost and gained copies differ in number');
    edges.push({ left: leftover.rank, right: rank, lost: leftover.expert, gained: expert });
  });
  return [...edges, ...idleEdges(edges, mapping.numRanks)];
}

/**
 * Loops that bring every rank to the same degree: in a regular graph each colour is a perfect
 * matching, so a rank that loses a copy gains one in the same step and never lacks a slot.
 */
function idleEdges(edges: readonly CopyEdge[], numRanks: number): CopyEdge[] {
  const degrees = new Int32Array(numRanks);
  for (const { left } of edges) degrees[left] = (degrees[left] ?? 0) + 1;
  const largest = Math.max(...degrees);
  return [...degrees].flatMap((degree, rank) =>
    Array.from({ length: largest - degree }, () => ({
      left: rank,
      right: rank,
      lost: unchanged,
      gained: unchanged,
    })),
  );
}

/** Takes steps in order while ranks and message have room; a layer's later step never overtakes. */
function fillWave(
  steps: readonly LayerStep[],
  { maxIncomingPerRank, room }: WaveLimits,
): { readonly taken: readonly LayerStep[]; readonly left: LayerStep[] } {
  const buffers = maxIncomingPerRank.slice();
  const taken: LayerStep[] = [];
  const left: LayerStep[] = [];
  const skippedLayers = new Set<number>();
  const roomLeft = new RoomLeft(room ?? null);
  for (const step of steps) {
    const { layer } = step;
    const moves = step.incoming.reduce((sum, count) => sum + count, 0);
    const isTellable = roomLeft.fits(layer, moves);
    const fits = isTellable && step.incoming.every((count, rank) => count <= (buffers[rank] ?? 0));
    if (!fits || skippedLayers.has(layer)) {
      left.push(step);
      skippedLayers.add(layer);
      continue;
    }
    taken.push(step);
    roomLeft.take(layer, moves);
    step.incoming.forEach((count, rank) => {
      buffers[rank] = (buffers[rank] ?? 0) - count;
    });
  }
  return { taken, left };
}

function applySteps(mapping: ExpertMapping, steps: readonly LayerStep[]): ExpertMapping {
  const lastByLayer = new Map(steps.map((step) => [step.layer, step.row]));
  const layers = Int32Array.from(lastByLayer.keys()).sort();
  const rows = new Int32Array(layers.length * mapping.numPhysicalExperts);
  layers.forEach((layer, index) => {
    rows.set(lastByLayer.get(layer) ?? [], index * mapping.numPhysicalExperts);
  });
  return mapping.apply({ layers, rows });
}
