import { createHash } from 'node:crypto';
import { balancedness } from './balancedness.js';
import { EplbError } from './eplb-error.js';
import { ExpertType } from './expert-type.js';

/** Shape and content of a mapping. */
export interface ExpertMappingSpec {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  /** First physical slot of each rank, and after the last rank the number of slots, [ranks + 1]. */
  readonly slotOffsets: Int32Array;
  /** The expert in each slot, [layers × slots]; −1 is an empty slot. */
  readonly physicalToLogical: Int32Array;
}

/** The layers in which two mappings differ, ascending, and their new rows [layers.length × slots]. */
export interface MappingDelta {
  readonly layers: Int32Array;
  readonly rows: Int32Array;
}

/** A slot whose new expert was not on that rank before: its weights must travel. */
export interface ExpertMove {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly rank: number;
}

/**
 * Which expert each physical slot holds, in every layer. Immutable; the arrays that getters
 * return are its own and must not be written.
 */
export class ExpertMapping {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  readonly numPhysicalExperts: number;
  readonly numRanks: number;
  /** [ranks + 1] */
  readonly slotOffsets: Int32Array;
  /** [layers × slots] */
  readonly physicalToLogical: Int32Array;
  readonly #rankOfSlot: Int32Array;
  /** Slots by layer and expert, ascending within each; an expert's begin at its replica offset. */
  readonly #replicaSlots: Int32Array;
  /** [layers × experts + 1] */
  readonly #replicaOffsets: Int32Array;
  #digest: string | undefined;

  private constructor(spec: ExpertMappingSpec) {
    this.numLayers = spec.numLayers;
    this.numLogicalExperts = spec.numLogicalExperts;
    this.slotOffsets = spec.slotOffsets.slice();
    this.physicalToLogical = spec.physicalToLogical.slice();
    this.numRanks = spec.slotOffsets.length - 1;
    this.numPhysicalExperts = spec.slotOffsets[this.numRanks] ?? 0;
    this.#rankOfSlot = ranksOfSlots(this.slotOffsets);
    const index = indexReplicas(this);
    this.#replicaSlots = index.slots;
    this.#replicaOffsets = index.offsets;
  }

  /** @throws EplbError ISOBAR_EPLB_MAPPING_INVALID, naming field, and layer and slot or expert */
  static create(spec: ExpertMappingSpec): ExpertMapping {
    assertShape(spec);
    const mapping = new ExpertMapping(spec);
    mapping.#assertEveryExpertHeld();
    return mapping;
  }

  /**
   * Experts in order over the slots, then redundant slots in cyclic order; of S slots on R
   * ranks the first S mod R ranks get one more.
   */
  static contiguous(shape: {
    readonly numLayers: number;
    readonly numLogicalExperts: number;
    readonly numRanks: number;
    readonly numPhysicalExperts: number;
  }): ExpertMapping {
    const { numLayers, numLogicalExperts, numRanks, numPhysicalExperts } = shape;
    const physicalToLogical = new Int32Array(numLayers * numPhysicalExperts);
    for (let index = 0; index < physicalToLogical.length; index += 1) {
      physicalToLogical[index] = (index % numPhysicalExperts) % numLogicalExperts;
    }
    const slotOffsets = uniformSlotOffsets(numPhysicalExperts, numRanks);
    return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
  }

  #assertEveryExpertHeld(): void {
    const offsets = this.#replicaOffsets;
    for (let index = 0; index + 1 < offsets.length; index += 1) {
      if (offsets[index] < offsets[index + 1]) continue;
      const layer = Math.floor(index / this.numLogicalExperts);
      const expert = index % this.numLogicalExperts;
      const what = `layer ${layer}: no slot holds expert ${expert}`;
      throw invalid(what, 'physicalToLogical', { layer, expert });
    }
  }

  /** The expert in a slot, −1 where it is empty. */
  getLogicalExpert(layer: number, physical: number): number {
    return this.physicalToLogical[layer * this.numPhysicalExperts + physical] ?? -1;
  }

  /** Slots that hold an expert, ascending. */
  getPhysicalExperts(layer: number, logical: number): Int32Array {
    const index = layer * this.numLogicalExperts + logical;
    return this.#replicaSlots.subarray(
      this.#replicaOffsets[index],
      this.#replicaOffsets[index + 1],
    );
  }

  replicaCount(layer: number, logical: number): number {
    const index = layer * this.numLogicalExperts + logical;
    return (this.#replicaOffsets[index + 1] ?? 0) - (this.#replicaOffsets[index] ?? 0);
  }

  rankOfSlot(physical: number): number {
    return this.#rankOfSlot[physical] ?? -1;
  }

  /** Experts of a layer by slot, [slots]. */
  row(layer: number): Int32Array {
    const start = layer * this.numPhysicalExperts;
    return this.physicalToLogical.subarray(start, start + this.numPhysicalExperts);
  }

  /** PHYSICAL for an expert's first slot, REDUNDANT for any further one, null for an empty slot. */
  expertType(layer: number, physical: number): ExpertType | null {
    const expert = this.getLogicalExpert(layer, physical);
    if (expert < 0) return null;
    const first = this.getPhysicalExperts(layer, expert)[0];
    return first === physical ? ExpertType.PHYSICAL : ExpertType.REDUNDANT;
  }

  /** Whether a rank holds an expert in a layer. */
  holds(layer: number, rank: number, logical: number): boolean {
    return this.getPhysicalExperts(layer, logical).some((slot) => this.rankOfSlot(slot) === rank);
  }

  /** SHA-256, in hex, over shape, slot offsets and slots as little-endian 32-bit integers. */
  digest(): string {
    this.#digest ??= digestOf(this);
    return this.#digest;
  }

  equals(other: ExpertMapping): boolean {
    return this.digest() === other.digest();
  }

  sameShape(other: ExpertMapping): boolean {
    return (
      this.numLayers === other.numLayers &&
      this.numLogicalExperts === other.numLogicalExperts &&
      this.slotOffsets.length === other.slotOffsets.length &&
      this.slotOffsets.every((offset, rank) => offset === other.slotOffsets[rank])
    );
  }

  /** @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE */
  delta(to: ExpertMapping): MappingDelta {
    this.#assertSameShape(to);
    const layers: number[] = [];
    for (let layer = 0; layer < this.numLayers; layer += 1) {
      const row = to.row(layer);
      if (this.row(layer).some((expert, slot) => expert !== row[slot])) layers.push(layer);
    }
    const rows = new Int32Array(layers.length * this.numPhysicalExperts);
    layers.forEach((layer, index) => {
      rows.set(to.row(layer), index * this.numPhysicalExperts);
    });
    return { layers: Int32Array.from(layers), rows };
  }

  /** @throws EplbError ISOBAR_EPLB_MAPPING_INVALID where the delta does not fit */
  apply(delta: MappingDelta): ExpertMapping {
    const slots = this.numPhysicalExperts;
    if (delta.rows.length !== delta.layers.length * slots) {
      throw invalid(
        `rows have ${delta.rows.length} entries, not ${delta.layers.length} × ${slots}`,
        'rows',
      );
    }
    const physicalToLogical = this.physicalToLogical.slice();
    delta.layers.forEach((layer, index) => {
      if (layer < 0 || layer >= this.numLayers) {
        throw invalid(`there is no layer ${layer}`, 'layers', { layer });
      }
      physicalToLogical.set(delta.rows.subarray(index * slots, (index + 1) * slots), layer * slots);
    });
    const { numLayers, numLogicalExperts, slotOffsets } = this;
    return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
  }

  /** @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE */
  moves(to: ExpertMapping): ExpertMove[] {
    const moves: ExpertMove[] = [];
    this.#eachMove(to, (layer, rank, slot, expert) => moves.push({ layer, slot, expert, rank }));
    return moves;
  }

  /**
   * How many moves there are, without naming them.
   * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
   */
  numMoves(to: ExpertMapping): number {
    let numMoves = 0;
    this.#eachMove(to, () => {
      numMoves += 1;
    });
    return numMoves;
  }

  #eachMove(
    to: ExpertMapping,
    visit: (layer: number, rank: number, slot: number, expert: number) => void,
  ): void {
    this.#assertSameShape(to);
    const { numLayers, numPhysicalExperts, numRanks, slotOffsets } = this;
    const [before, after] = [this.physicalToLogical, to.physicalToLogical];
    // Layers' ranks, counted from 1 over all layers: the last that was seen to hold an expert.
    const lastHolders = new Int32Array(this.numLogicalExperts);
    for (let layer = 0, holder = 1; layer < numLayers; layer += 1) {
      const row = layer * numPhysicalExperts;
      for (let rank = 0; rank < numRanks; rank += 1, holder += 1) {
        const end = slotOffsets[rank + 1];
        for (let slot = slotOffsets[rank]; slot < end; slot += 1) {
          const expert = before[row + slot];
          if (expert >= 0) lastHolders[expert] = holder;
        }
        for (let slot = slotOffsets[rank]; slot < end; slot += 1) {
          const expert = after[row + slot];
          if (expert >= 0 && lastHolders[expert] !== holder) visit(layer, rank, slot, expert);
        }
      }
    }
  }

  #assertSameShape(other: ExpertMapping): void {
    if (this.sameShape(other)) return;
    throw new EplbError(
      'ISOBAR_EPLB_MAPPING_SHAPE',
      'two mappings differ in layers, experts or slots',
      { field: 'mapping' },
    );
  }

  /**
   * Load of each rank, an expert's split evenly over its replicas.
   * @param logicalLoads [layers × experts]
   * @returns [layers × ranks]
   */
  rankLoads(logicalLoads: Float64Array): Float64Array {
    const { numLayers, numLogicalExperts, numRanks } = this;
    const rankOfSlot = this.#rankOfSlot;
    const slots = this.#replicaSlots;
    const offsets = this.#replicaOffsets;
    const loads = new Float64Array(numLayers * numRanks);
    // By expert, not by slot: a rank's sum must not depend on which of its slots holds what.
    for (let layer = 0, index = 0; layer < numLayers; layer += 1) {
      const firstRank = layer * numRanks;
      for (const end = index + numLogicalExperts; index < end; index += 1) {
        const share = logicalLoads[index] / (offsets[index + 1] - offsets[index]);
        for (let at = offsets[index]; at < offsets[index + 1]; at += 1) {
          loads[firstRank + rankOfSlot[slots[at]]] += share;
        }
      }
    }
    return loads;
  }

  /**
   * Largest load ÷ capacity over the ranks with any, by layer, [layers].
   * @param logicalLoads [layers × experts]
   * @param capacities of the ranks, [ranks]. @default 1
   */
  largestRankLoads(logicalLoads: Float64Array, capacities?: Float64Array): Float64Array {
    const ones = capacities ?? new Float64Array(this.numRanks).fill(1);
    return largestRelativeLoads(this.rankLoads(logicalLoads), ones);
  }

  /** Balancedness under these loads, [layers × experts], an expert's split evenly. */
  balancedness(logicalLoads: Float64Array): number {
    return balancedness(this.rankLoads(logicalLoads), this.numLayers, this.numRanks);
  }
}

/**
 * Largest load ÷ capacity over the ranks with any, by layer, [layers].
 * @param rankLoads [layers × ranks]
 * @param capacities [ranks]
 */
export function largestRelativeLoads(
  rankLoads: Float64Array,
  capacities: Float64Array,
): Float64Array {
  const numRanks = capacities.length;
  const largests = new Float64Array(rankLoads.length / numRanks);
  for (let layer = 0; layer < largests.length; layer += 1) {
    for (let rank = 0; rank < numRanks; rank += 1) {
      if (!(capacities[rank] > 0)) continue;
      const load = rankLoads[layer * numRanks + rank] / capacities[rank];
      if (load > largests[layer]) largests[layer] = load;
    }
  }
  return largests;
}

/** First slot of each rank: of S slots on R ranks the first S mod R ranks get one more. */
export function uniformSlotOffsets(numPhysicalExperts: number, numRanks: number): Int32Array {
  const each = Math.floor(numPhysicalExperts / numRanks);
  const more = numPhysicalExperts % numRanks;
  return Int32Array.from({ length: numRanks + 1 }, (_, rank) => rank * each + Math.min(rank, more));
}

function invalid(
  what: string,
  field: string,
  fields: Readonly<Record<string, unknown>> = {},
): EplbError {
  return new EplbError('ISOBAR_EPLB_MAPPING_INVALID', `mapping: ${what}`, { field, ...fields });
}

function assertShape(spec: ExpertMappingSpec): void {
  for (const field of ['numLayers', 'numLogicalExperts'] as const) {
    if (!Number.isInteger(spec[field]) || spec[field] < 1) {
      throw invalid(`${field} must be a positive integer`, field);
    }
  }
  const { slotOffsets, physicalToLogical } = spec;
  if (slotOffsets.length < 2 || slotOffsets[0] !== 0) {
    throw invalid('slotOffsets must start at 0 and name at least one rank', 'slotOffsets');
  }
  if (slotOffsets.some((offset, rank) => rank > 0 && offset < (slotOffsets[rank - 1] ?? 0))) {
    throw invalid('slotOffsets must not fall', 'slotOffsets');
  }
  const slots = slotOffsets[slotOffsets.length - 1] ?? 0;
  if (physicalToLogical.length !== spec.numLayers * slots) {
    throw invalid(
      `physicalToLogical has ${physicalToLogical.length} entries, not ${spec.numLayers} × ${slots}`,
      'physicalToLogical',
    );
  }
  assertExperts(spec, slots);
}

function assertExperts({ numLogicalExperts, physicalToLogical }: ExpertMappingSpec, slots: number) {
  for (let index = 0; index < physicalToLogical.length; index += 1) {
    const expert = physicalToLogical[index];
    if (expert >= -1 && expert < numLogicalExperts) continue;
    const layer = Math.floor(index / slots);
    const slot = index % slots;
    const what = `layer ${layer}, slot ${slot}: no expert ${expert}`;
    throw invalid(what, 'physicalToLogical', { layer, slot, expert });
  }
}

function ranksOfSlots(slotOffsets: Int32Array): Int32Array {
  const ranks = new Int32Array(slotOffsets[slotOffsets.length - 1] ?? 0);
  for (let rank = 0; rank + 1 < slotOffsets.length; rank += 1) {
    ranks.fill(rank, slotOffsets[rank], slotOffsets[rank + 1]);
  }
  return ranks;
}

function indexReplicas(mapping: ExpertMapping): { slots: Int32Array; offsets: Int32Array } {
  const { numLayers, numLogicalExperts, numPhysicalExperts, physicalToLogical } = mapping;
  const offsets = replicaOffsets(mapping);
  const slots = new Int32Array(offsets[offsets.length - 1]);
  const next = new Int32Array(numLogicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const firstExpert = layer * numLogicalExperts;
    next.set(offsets.subarray(firstExpert, firstExpert + numLogicalExperts));
    const row = layer * numPhysicalExperts;
    for (let slot = 0; slot < numPhysicalExperts; slot += 1) {
      const expert = physicalToLogical[row + slot];
      if (expert < 0) continue;
      slots[next[expert]] = slot;
      next[expert] += 1;
    }
  }
  return { slots, offsets };
}

/** Replicas of all layers and experts before each, [layers × experts + 1]. */
function replicaOffsets(mapping: ExpertMapping): Int32Array {
  const { numLayers, numLogicalExperts, numPhysicalExperts, physicalToLogical } = mapping;
  const offsets = new Int32Array(numLayers * numLogicalExperts + 1);
  for (let layer = 0, index = 0; layer < numLayers; layer += 1) {
    const firstExpert = layer * numLogicalExperts;
    for (const end = index + numPhysicalExperts; index < end; index += 1) {
      const expert = physicalToLogical[index];
      if (expert >= 0) offsets[firstExpert + expert + 1] += 1;
    }
  }
  for (let at = 1; at < offsets.length; at += 1) offsets[at] += offsets[at - 1];
  return offsets;
}

function digestOf(mapping: ExpertMapping): string {
  const { numLayers, numLogicalExperts, slotOffsets, physicalToLogical } = mapping;
  const hash = createHash('sha256');
  hash.update(littleEndian(Int32Array.of(numLayers, numLogicalExperts, slotOffsets.length)));
  hash.update(littleEndian(slotOffsets));
  hash.update(littleEndian(physicalToLogical));
  return hash.digest('hex');
}

function littleEndian(values: Int32Array): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeInt32LE(value, index * 4);
  });
  return bytes;
}
