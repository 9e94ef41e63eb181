import type { ExpertMapping } from '@isobar/eplb';

/** An expert that a rank must bring into a buffer before it can serve a version. */
export interface IncomingExpert {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly buffer: number;
}

/** Where a version's slots of this rank lie. */
interface VersionTable {
  readonly mapping: ExpertMapping;
  /** Buffer of each own slot, [layers × own slots]; −1: none. */
  readonly buffers: Int32Array;
  /** Tokens of this version are computed here. */
  served: boolean;
}

export interface ExpertMemoryOptions {
  readonly rank: number;
  readonly spareBuffers: number;
  readonly reserveBuffers: number;
}

/** Weights are kept by identity: whose they are, and whether they are whole. */
export const noWeights = -1;

export function weightsOf(mapping: ExpertMapping, layer: number, expert: number): number {
  return layer * mapping.numLogicalExperts + expert;
}

/** The same weights with a bit gone over: any digest tells. */
export function damaged(weights: number): number {
  return -2 - weights;
}

/** A rank's weights: buffers, and for each live version which of them its slots are. */
export class ExpertMemory {
  readonly #options: ExpertMemoryOptions;
  readonly #firstSlot: number;
  readonly #ownSlots: number;
  /** Weights by buffer. */
  readonly #contents: Int32Array;
  readonly #versions = new Map<number, VersionTable>();
  #free: number[];
  /** Given back, since their slots are not offered. */
  readonly #withheld: number[] = [];
  #offeredSlots: number;
  /** The start weights count for nothing: the group runs without this engine. */
  #startUncounted = false;

  constructor(options: ExpertMemoryOptions, start: ExpertMapping) {
    this.#options = options;
    this.#firstSlot = start.slotOffsets[options.rank] ?? 0;
    this.#ownSlots = (start.slotOffsets[options.rank + 1] ?? 0) - this.#firstSlot;
    this.#offeredSlots = this.#ownSlots;
    const slotBuffers = start.numLayers * this.#ownSlots;
    this.#contents = new Int32Array(slotBuffers + options.spareBuffers).fill(noWeights);
    const buffers = new Int32Array(slotBuffers).fill(-1);
    this.#free = [];
    for (let buffer = this.#contents.length - 1; buffer >= 0; buffer -= 1) this.#free.push(buffer);
    for (let index = 0; index < slotBuffers; index += 1) {
      const expert = this.#expertAt(start, index);
      if (expert < 0) continue;
      const buffer = this.#free.pop() ?? -1;
      buffers[index] = buffer;
      this.#contents[buffer] = weightsOf(start, this.#layerOf(index), expert);
    }
    this.#versions.set(0, { mapping: start, buffers, served: true });
  }

  #layerOf(index: number): number {
    return Math.floor(index / this.#ownSlots);
  }

  #expertAt(mapping: ExpertMapping, index: number): number {
    const slot = this.#firstSlot + (index % this.#ownSlots);
    return mapping.getLogicalExpert(this.#layerOf(index), slot);
  }

  get freeBuffers(): number {
    return this.#free.length;
  }

  /**
   * Buffers of slots that are not offered are given back once no version names them.
   * @returns how many are
   */
  offer(slots: number): number {
    this.#offeredSlots = slots;
    return this.#fit();
  }

  #fit(): number {
    const tables = [...this.#versions.values()];
    const length = tables[0]?.buffers.length ?? 0;
    let closed = 0;
    for (let index = 0; index < length; index += 1) {
      if (index % this.#ownSlots < this.#offeredSlots) continue;
      if (tables.every(({ buffers }) => (buffers[index] ?? -1) < 0)) closed += 1;
    }
    while (this.#withheld.length < closed && this.#free.length > 0) {
      this.#withheld.push(this.#free.pop() ?? -1);
    }
    while (this.#withheld.length > closed) this.#free.push(this.#withheld.pop() ?? -1);
    return this.#withheld.length;
  }

  get numWithheld(): number {
    return this.#withheld.length;
  }

  get liveVersions(): Iterable<number> {
    return this.#versions.keys();
  }

  mappingOf(version: number): ExpertMapping | null {
    return this.#versions.get(version)?.mapping ?? null;
  }

  /** Weights that a token of a version meets in a slot; null where it is refused. */
  serve(version: number, layer: number, slot: number): number | null {
    const table = this.#versions.get(version);
    if (table === undefined || !table.served) return null;
    const buffer = table.buffers[layer * this.#ownSlots + slot - this.#firstSlot] ?? -1;
    return buffer < 0 ? null : (this.#contents[buffer] ?? null);
  }

  /** An expert's weights as a peer would fetch them, from whichever version names them. */
  weightsOfExpert(layer: number, expert: number): number | null {
    const buffer = this.#bufferHolding(layer, expert);
    return buffer < 0 ? null : (this.#contents[buffer] ?? null);
  }

  #bufferHolding(layer: number, expert: number): number {
    for (const { mapping, buffers, served } of this.#versions.values()) {
      if (!served) continue;
      for (let index = layer * this.#ownSlots; index < (layer + 1) * this.#ownSlots; index += 1) {
        const buffer = buffers[index] ?? -1;
        if (buffer >= 0 && this.#expertAt(mapping, index) === expert) return buffer;
      }
    }
    return -1;
  }

  /**
   * Takes buffers for what a version brings this rank.
   * @returns null where too few are spare
   */
  stage(version: number, mapping: ExpertMapping, mayUseReserve: boolean): IncomingExpert[] | null {
    const incoming = this.#tryToStage(version, mapping, mayUseReserve);
    if (incoming !== null || !this.#startUncounted || !this.#versions.has(0)) return incoming;
    this.discard(0);
    return this.#tryToStage(version, mapping, mayUseReserve);
  }

  #tryToStage(
    version: number,
    mapping: ExpertMapping,
    mayUseReserve: boolean,
  ): IncomingExpert[] | null {
    const buffers = new Int32Array(mapping.numLayers * this.#ownSlots).fill(-1);
    const missing: number[] = [];
    for (let index = 0; index < buffers.length; index += 1) {
      const expert = this.#expertAt(mapping, index);
      if (expert < 0) continue;
      const held = this.#bufferHolding(this.#layerOf(index), expert);
      if (held >= 0) buffers[index] = held;
      else missing.push(index);
    }
    const kept = mayUseReserve ? 0 : this.#options.reserveBuffers;
    if (missing.length > 0 && missing.length > this.#free.length - kept) return null;
    const incoming = missing.map((index) => {
      const buffer = this.#free.pop() ?? -1;
      buffers[index] = buffer;
      this.#contents[buffer] = noWeights;
      const slot = this.#firstSlot + (index % this.#ownSlots);
      return { layer: this.#layerOf(index), slot, expert: this.#expertAt(mapping, index), buffer };
    });
    this.#versions.set(version, { mapping, buffers, served: false });
    return incoming;
  }

  fill(buffer: number, weights: number): void {
    this.#contents[buffer] = weights;
  }

  /** Every incoming expert is there: tokens of this version are computed. */
  beginServing(version: number): void {
    const table = this.#versions.get(version);
    if (table !== undefined) table.served = true;
  }

  discard(version: number): void {
    const table = this.#versions.get(version);
    if (table === undefined) return;
    this.#versions.delete(version);
    this.#freeUnnamed(table);
    this.#fit();
  }

  /** Frees what only versions below `version` name. */
  retire(version: number): void {
    for (const number of [...this.#versions.keys()]) if (number < version) this.discard(number);
  }

  /**
   * A joining engine takes a mapping in which it holds nothing as its base. Its start weights
   * stay as what they are, uncounted, until their buffers are needed.
   */
  adopt(version: number, mapping: ExpertMapping, startUncounted: boolean): void {
    this.#startUncounted = startUncounted;
    for (const number of [...this.#versions.keys()]) if (number !== 0) this.discard(number);
    const buffers = new Int32Array(mapping.numLayers * this.#ownSlots).fill(-1);
    this.#versions.set(version, { mapping, buffers, served: false });
  }

  /** In-place: slots keep their addresses, so that no version but this one is left. */
  keepOnly(version: number): void {
    for (const number of [...this.#versions.keys()]) if (number !== version) this.discard(number);
  }

  #freeUnnamed(gone: VersionTable): void {
    for (const buffer of gone.buffers) {
      if (buffer < 0 || this.#isNamed(buffer) || this.#free.includes(buffer)) continue;
      this.#free.push(buffer);
      this.#contents[buffer] = noWeights;
    }
  }

  #isNamed(buffer: number): boolean {
    for (const { buffers } of this.#versions.values()) if (buffers.includes(buffer)) return true;
    return false;
  }

  /** A fault: the weights of one buffer are damaged where they lie. @returns false where none is */
  damage(index: number): boolean {
    const buffer = index % this.#contents.length;
    const weights = this.#contents[buffer] ?? noWeights;
    if (weights < 0) return false;
    this.#contents[buffer] = damaged(weights);
    return true;
  }
}
