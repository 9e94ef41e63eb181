import type { ExpertMapping } from '@isobar/eplb';
import { type Activation, IsobarError } from '@isobar/protocol';
import { numbersPerExpert } from './model-shape.js';

export interface ResidencyOptions {
  readonly rank: number;
  readonly activation: Activation;
  readonly spareBuffers: number;
  /** Of the spare ones, kept for evacuation. */
  readonly reserveBuffers: number;
  readonly startMapping: ExpertMapping;
}

/** A slot of a version being staged whose weights must be brought here. */
export interface IncomingExpert {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly weights: Float64Array;
}

interface Version {
  readonly mapping: ExpertMapping;
  /** Buffer of each own slot, [layers × own slots]; −1 for an empty slot. */
  readonly buffers: Int32Array;
  /** Whether tokens of this version are served: from the yes vote on. */
  served: boolean;
}

/**
 * Which weights lie in this rank's memory, for every mapping version that may still be served.
 * Memory is fixed: a buffer for every slot, and the spare ones. `two-table` points a version's
 * slots at the buffers that it staged; `in-place` copies them into the slots' own buffers.
 */
export class Residency {
  readonly #options: ResidencyOptions;
  readonly #firstSlot: number;
  readonly #ownSlots: number;
  readonly #memory: Float64Array[];
  readonly #free: number[];
  readonly #versions = new Map<number, Version>();
  #current: Version;

  constructor(options: ResidencyOptions) {
    this.#options = options;
    const { startMapping: mapping, rank, spareBuffers } = options;
    this.#firstSlot = mapping.slotOffsets[rank] ?? 0;
    this.#ownSlots = (mapping.slotOffsets[rank + 1] ?? 0) - this.#firstSlot;
    const slotBuffers = mapping.numLayers * this.#ownSlots;
    this.#memory = Array.from(
      { length: slotBuffers + spareBuffers },
      () => new Float64Array(numbersPerExpert),
    );
    this.#free = Array.from({ length: spareBuffers }, (_, index) => slotBuffers + index);
    const buffers = Int32Array.from({ length: slotBuffers }, (_, index) =>
      this.#expertAt(mapping, index) < 0 ? -1 : index,
    );
    this.#current = { mapping, buffers, served: true };
    this.#versions.set(0, this.#current);
  }

  get freeBuffers(): number {
    return this.#free.length;
  }

  /** The mapping that this rank routes by. */
  get mapping(): ExpertMapping {
    return this.#current.mapping;
  }

  #expertAt(mapping: ExpertMapping, index: number): number {
    const layer = Math.floor(index / this.#ownSlots);
    return mapping.getLogicalExpert(layer, this.#firstSlot + (index % this.#ownSlots));
  }

  #indexOf(layer: number, slot: number): number {
    return layer * this.#ownSlots + slot - this.#firstSlot;
  }

  /** Slots to fill at the start, with the experts of the start mapping. */
  startExperts(): IncomingExpert[] {
    return this.#incoming(this.#current, this.#current.buffers);
  }

  #incoming(version: Version, buffers: Iterable<number>): IncomingExpert[] {
    const wanted = new Set(buffers);
    const incoming: IncomingExpert[] = [];
    version.buffers.forEach((buffer, index) => {
      const weights = this.#memory[buffer];
      if (weights === undefined || !wanted.has(buffer)) return;
      const layer = Math.floor(index / this.#ownSlots);
      const slot = this.#firstSlot + (index % this.#ownSlots);
      incoming.push({ layer, slot, expert: this.#expertAt(version.mapping, index), weights });
    });
    return incoming;
  }

  /** Weights that serve tokens of a version in a slot; null where this rank must refuse them. */
  weights(version: number, layer: number, slot: number, expert: number): Float64Array | null {
    const table = this.#versions.get(version);
    if (table === undefined || !table.served) return null;
    if (slot < this.#firstSlot || slot >= this.#firstSlot + this.#ownSlots) return null;
    if (table.mapping.getLogicalExpert(layer, slot) !== expert) return null;
    return this.#memory[table.buffers[this.#indexOf(layer, slot)] ?? -1] ?? null;
  }

  /** An expert's weights for a peer that fetches them, null where they are not here. */
  weightsOfExpert(layer: number, expert: number): Float64Array | null {
    const buffer = this.#bufferOf(this.#current, layer, expert);
    return buffer === null ? null : (this.#memory[buffer] ?? null);
  }

  #bufferOf(version: Version, layer: number, expert: number): number | null {
    for (let index = layer * this.#ownSlots; index < (layer + 1) * this.#ownSlots; index += 1) {
      const buffer = version.buffers[index] ?? -1;
      if (buffer >= 0 && this.#expertAt(version.mapping, index) === expert) return buffer;
    }
    return null;
  }

  /**
   * Takes spare buffers for a version's incoming experts, which the caller then fills.
   * @throws IsobarError ISOBAR_ENGINE_NO_SPARE_BUFFERS
   */
  stage(version: number, mapping: ExpertMapping): IncomingExpert[] {
    const { numLayers } = mapping;
    const buffers = new Int32Array(numLayers * this.#ownSlots).fill(-1);
    const missing: number[] = [];
    buffers.forEach((_, index) => {
      const expert = this.#expertAt(mapping, index);
      if (expert < 0) return;
      const layer = Math.floor(index / this.#ownSlots);
      const held = this.#bufferOf(this.#current, layer, expert);
      if (held === null) missing.push(index);
      else buffers[index] = held;
    });
    this.#assertSpare(version, missing.length);
    const taken = this.#free.splice(0, missing.length);
    missing.forEach((index, at) => {
      buffers[index] = taken[at] ?? -1;
    });
    const staged: Version = { mapping, buffers, served: false };
    this.#versions.set(version, staged);
    return this.#incoming(staged, taken);
  }

  #assertSpare(version: number, wanted: number): void {
    const { reserveBuffers, rank } = this.#options;
    const spare = Math.max(0, this.#free.length - reserveBuffers);
    if (wanted <= spare) return;
    throw new IsobarError(
      'ISOBAR_ENGINE_NO_SPARE_BUFFERS',
      `version ${version} brings rank ${rank} ${wanted} experts; ${spare} buffers are spare`,
      { rank, version, wanted, spare },
    );
  }

  /** Every incoming expert is staged and verified: tokens of this version are served. */
  serve(version: number): void {
    const staged = this.#versions.get(version);
    if (staged === undefined) throw new Error(`version ${version} is not staged`);
    staged.served = true;
  }

  /** Frees what was staged for a version that is void. */
  discard(version: number): void {
    const staged = this.#versions.get(version);
    if (staged === undefined || staged === this.#current) return;
    this.#versions.delete(version);
    this.#freeUnnamed(staged);
  }

  /** Routes by a staged version from now on. */
  switchTo(version: number): void {
    const staged = this.#versions.get(version);
    if (staged === undefined) throw new Error(`version ${version} is not staged`);
    if (this.#options.activation === 'in-place') {
      this.#copyIntoSlots(staged);
      this.#versions.clear();
      this.#versions.set(version, staged);
    }
    this.#current = staged;
  }

  /** Copies a version's weights into the slots' own buffers: their addresses never change. */
  #copyIntoSlots(staged: Version): void {
    const moved = [...staged.buffers].flatMap((buffer, index) =>
      buffer < 0 || buffer === index ? [] : [{ buffer, index }],
    );
    // A slot may take what another slot holds and gives up: read before anything is written.
    const sources = moved.map(({ buffer }) =>
      buffer < staged.buffers.length ? this.#memory[buffer]?.slice() : this.#memory[buffer],
    );
    moved.forEach(({ buffer, index }, at) => {
      const source = sources[at];
      if (source !== undefined) this.#memory[index]?.set(source);
      staged.buffers[index] = index;
      if (buffer >= staged.buffers.length) this.#free.push(buffer);
    });
  }

  /** Frees the buffers that only versions below `version` name. */
  retire(version: number): void {
    for (const [number, old] of [...this.#versions]) {
      if (number >= version || old === this.#current) continue;
      this.#versions.delete(number);
      this.#freeUnnamed(old);
    }
  }

  #freeUnnamed(gone: Version): void {
    const named = new Set([...this.#versions.values()].flatMap(({ buffers }) => [...buffers]));
    for (const buffer of new Set(gone.buffers)) {
      if (buffer >= 0 && !named.has(buffer) && this.#isSpare(buffer)) this.#free.push(buffer);
    }
  }

  /** In-place slots keep their buffers for ever; two-table buffers belong to no slot. */
  #isSpare(buffer: number): boolean {
    if (this.#options.activation === 'two-table') return true;
    return buffer >= this.#current.buffers.length;
  }
}
