import type { ExpertMapping } from '@isobar/eplb';
import { type Activation, type Change, IsobarError } from '@isobar/protocol';
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
  /**
   * `staging`: some of it is not verified yet. `serving`: tokens of this version are served, from
   * the yes vote on. `pool`: weights of a joining engine that count for nothing, but may be used.
   */
  use: 'staging' | 'serving' | 'pool';
}

/**
 * Which weights lie in this rank's memory, for every mapping version that may still be served.
 * Memory is fixed: a buffer for every slot that is offered, and the spare ones. `two-table` points a version's
 * slots at the buffers that it staged; `in-place` copies them into the slots' own buffers.
 */
export class Residency {
  readonly #options: ResidencyOptions;
  readonly #firstSlot: number;
  readonly #ownSlots: number;
  readonly #slotBuffers: number;
  /** Null where the memory has been given back. */
  readonly #memory: (Float64Array | null)[];
  readonly #versions = new Map<number, Version>();
  #current: Version;
  #offeredSlots: number;

  constructor(options: ResidencyOptions) {
    this.#options = options;
    const { startMapping: mapping, rank, spareBuffers } = options;
    this.#firstSlot = mapping.slotOffsets[rank] ?? 0;
    this.#ownSlots = (mapping.slotOffsets[rank + 1] ?? 0) - this.#firstSlot;
    this.#slotBuffers = mapping.numLayers * this.#ownSlots;
    this.#offeredSlots = this.#ownSlots;
    this.#memory = Array.from(
      { length: this.#slotBuffers + spareBuffers },
      () => new Float64Array(numbersPerExpert),
    );
    const buffers = Int32Array.from({ length: this.#slotBuffers }, (_, index) =>
      this.#expertAt(mapping, index) < 0 ? -1 : index,
    );
    this.#current = { mapping, buffers, use: 'serving' };
    this.#versions.set(0, this.#current);
  }

  /** Buffers that no version names; of a joining engine all, since what they hold counts not. */
  get freeBuffers(): number {
    return this.#isJoining ? this.heldBuffers : this.#unnamed().length;
  }

  /** Buffers whose memory it has not given back. */
  get heldBuffers(): number {
    return this.#memory.filter((buffer) => buffer !== null).length;
  }

  /** Of a layer. */
  get ownSlots(): number {
    return this.#ownSlots;
  }

  get offeredSlots(): number {
    return this.#offeredSlots;
  }

  /**
   * Offers the first slots of every layer. Memory of the others is given back as soon as no version
   * names them, and taken again before they are offered anew.
   */
  offer(slots: number): void {
    this.#offeredSlots = Math.max(0, Math.min(slots, this.#ownSlots));
    this.#fitMemory();
  }

  #fitMemory(): void {
    if (this.#isJoining) this.#forgetClosed();
    const versions = [...this.#versions.values()];
    const closed = [...Array(this.#slotBuffers).keys()].filter(
      (index) =>
        index % this.#ownSlots >= this.#offeredSlots &&
        versions.every(({ buffers }) => (buffers[index] ?? -1) < 0),
    );
    if (this.#options.activation === 'in-place') this.#fitSlots(new Set(closed));
    else this.#fitNumber(this.#memory.length - closed.length);
  }

  /** In place every slot has memory of its own. */
  #fitSlots(closed: ReadonlySet<number>): void {
    const named = new Set([...this.#versions.values()].flatMap(({ buffers }) => [...buffers]));
    for (let index = 0; index < this.#slotBuffers; index += 1) {
      if (!closed.has(index)) this.#memory[index] ??= new Float64Array(numbersPerExpert);
      else if (!named.has(index)) this.#memory[index] = null;
    }
  }

  #fitNumber(wanted: number): void {
    const unnamed = this.#unnamed();
    while (this.heldBuffers > wanted && unnamed.length > 0)
      this.#memory[unnamed.pop() ?? -1] = null;
    while (this.heldBuffers < wanted) {
      this.#memory[this.#memory.indexOf(null)] = new Float64Array(numbersPerExpert);
    }
  }

  /** What a joining engine's closed slots hold counts for nothing. */
  #forgetClosed(): void {
    const { buffers } = this.#current;
    buffers.forEach((_, index) => {
      if (index % this.#ownSlots >= this.#offeredSlots) buffers[index] = -1;
    });
  }

  /** The mapping that this rank routes by; before it routes by any, its start mapping. */
  get mapping(): ExpertMapping {
    return this.#current.mapping;
  }

  get #isJoining(): boolean {
    return this.#current.use === 'pool';
  }

  /** The start mapping is not served: this engine joins a group that has gone on. */
  join(): void {
    this.#current.use = 'pool';
    this.#fitMemory();
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
      const weights = this.#memory[buffer] ?? null;
      if (weights === null || !wanted.has(buffer)) return;
      const layer = Math.floor(index / this.#ownSlots);
      const slot = this.#firstSlot + (index % this.#ownSlots);
      incoming.push({ layer, slot, expert: this.#expertAt(version.mapping, index), weights });
    });
    return incoming;
  }

  /** Weights that serve tokens of a version in a slot; null where this rank must refuse them. */
  weights(version: number, layer: number, slot: number, expert: number): Float64Array | null {
    const table = this.#versions.get(version);
    if (table?.use !== 'serving') return null;
    if (slot < this.#firstSlot || slot >= this.#firstSlot + this.#ownSlots) return null;
    if (table.mapping.getLogicalExpert(layer, slot) !== expert) return null;
    return this.#memory[table.buffers[this.#indexOf(layer, slot)] ?? -1] ?? null;
  }

  /** An expert's weights for a peer that fetches them, null where they are not here. */
  weightsOfExpert(layer: number, expert: number): Float64Array | null {
    return this.#memory[this.#verifiedBuffer(layer, expert)] ?? null;
  }

  /** A buffer with that expert's verified weights, of whatever version; −1 where there is none. */
  #verifiedBuffer(layer: number, expert: number): number {
    for (const { mapping, buffers, use } of this.#newestFirst()) {
      if (use === 'staging') continue;
      for (let index = layer * this.#ownSlots; index < (layer + 1) * this.#ownSlots; index += 1) {
        const buffer = buffers[index] ?? -1;
        if (buffer >= 0 && this.#expertAt(mapping, index) === expert) return buffer;
      }
    }
    return -1;
  }

  #newestFirst(): Version[] {
    return [...this.#versions].sort(([left], [right]) => right - left).map(([, table]) => table);
  }

  /** Buffers that may be taken, ascending: in place, a slot's own buffer is taken for ever. */
  #unnamed(): number[] {
    const named = new Set([...this.#versions.values()].flatMap(({ buffers }) => [...buffers]));
    const fixed = this.#options.activation === 'in-place' && !this.#isJoining;
    const free: number[] = [];
    for (let buffer = fixed ? this.#slotBuffers : 0; buffer < this.#memory.length; buffer += 1) {
      if (!named.has(buffer) && this.#memory[buffer] !== null) free.push(buffer);
    }
    return free;
  }

  /**
   * Takes buffers for a version's incoming experts, which the caller then fills. Experts that lie
   * in any version's buffers are used from there. The reserve is for evacuations only.
   * @throws IsobarError ISOBAR_ENGINE_NO_SPARE_BUFFERS
   */
  stage(version: number, mapping: ExpertMapping, change: Change): IncomingExpert[] {
    const buffers = new Int32Array(this.#slotBuffers).fill(-1);
    const missing: number[] = [];
    buffers.forEach((_, index) => {
      const expert = this.#expertAt(mapping, index);
      if (expert < 0) return;
      const held = this.#verifiedBuffer(Math.floor(index / this.#ownSlots), expert);
      if (held < 0) missing.push(index);
      else buffers[index] = held;
    });
    if (this.#isJoining) this.#forgetAllBut(new Set(buffers));
    const taken = this.#take(version, missing.length, change);
    missing.forEach((index, at) => {
      buffers[index] = taken[at] ?? -1;
    });
    const staged: Version = { mapping, buffers, use: 'staging' };
    this.#versions.set(version, staged);
    return this.#incoming(staged, taken);
  }

  /** A joining engine's whole memory is there for the version that lists it. */
  #forgetAllBut(kept: ReadonlySet<number>): void {
    const { buffers } = this.#current;
    buffers.forEach((buffer, index) => {
      if (!kept.has(buffer)) buffers[index] = -1;
    });
  }

  #take(version: number, wanted: number, change: Change): number[] {
    const { reserveBuffers, rank } = this.#options;
    const unnamed = this.#unnamed();
    const reserve = change === 'evacuation' || this.#isJoining ? 0 : reserveBuffers;
    const spare = Math.max(0, unnamed.length - reserve);
    if (wanted <= spare) return unnamed.slice(0, wanted);
    throw new IsobarError(
      'ISOBAR_ENGINE_NO_SPARE_BUFFERS',
      `version ${version} brings rank ${rank} ${wanted} experts; ${spare} buffers are spare`,
      { rank, version, wanted, spare },
    );
  }

  /** Every incoming expert is staged and verified: tokens of this version are served. */
  serve(version: number): void {
    this.#staged(version).use = 'serving';
  }

  #staged(version: number): Version {
    const staged = this.#versions.get(version);
    if (staged === undefined) throw new Error(`version ${version} is not staged`);
    return staged;
  }

  /** Frees what was staged for a version that is void. */
  discard(version: number): void {
    if (this.#versions.get(version) !== this.#current) this.#versions.delete(version);
    this.#fitMemory();
  }

  /** Routes by a staged version from now on. */
  switchTo(version: number): void {
    const staged = this.#staged(version);
    if (this.#options.activation === 'in-place') {
      this.#copyIntoSlots(staged);
      this.#versions.clear();
      this.#versions.set(version, staged);
    }
    if (this.#isJoining) this.#versions.delete(0);
    this.#current = staged;
    this.#fitMemory();
  }

  /** Copies a version's weights into the slots' own buffers: their addresses never change. */
  #copyIntoSlots(staged: Version): void {
    const moved = [...staged.buffers].flatMap((buffer, index) =>
      buffer < 0 || buffer === index ? [] : [{ buffer, index }],
    );
    // A slot may take what another slot holds and gives up: read before anything is written.
    const sources = moved.map(({ buffer }) =>
      buffer < this.#slotBuffers ? this.#memory[buffer]?.slice() : this.#memory[buffer],
    );
    moved.forEach(({ index }, at) => {
      const source = sources[at];
      if (source != null) this.#memory[index]?.set(source);
      staged.buffers[index] = index;
    });
  }

  /** Forgets the versions below `version`: buffers that only they name are free. */
  retire(version: number): void {
    for (const [number, old] of [...this.#versions]) {
      if (number < version && old !== this.#current) this.#versions.delete(number);
    }
    this.#fitMemory();
  }
}
