import type { LoadSample } from '@isobar/protocol';

interface Counts {
  firstStep: number;
  lastStep: number;
  readonly destination: Float64Array;
  readonly stepMillis: { count: number; sum: number; max: number };
  readonly layerMillis: Float64Array;
  told: boolean;
}

/** Versions whose counts are kept: one open swap never has more alive. */
const versionsMax = 4;

/** Tokens that this rank's slots served, cumulative by the mapping version they carried. */
export class LoadCounter {
  readonly #rank: number;
  readonly #incarnation: string;
  readonly #numLayers: number;
  readonly #firstSlot: number;
  readonly #ownSlots: number;
  readonly #versions = new Map<number, Counts>();

  constructor(
    rank: number,
    incarnation: string,
    shape: { readonly numLayers: number; readonly slotOffsets: Int32Array },
  ) {
    this.#rank = rank;
    this.#incarnation = incarnation;
    this.#numLayers = shape.numLayers;
    this.#firstSlot = shape.slotOffsets[rank] ?? 0;
    this.#ownSlots = (shape.slotOffsets[rank + 1] ?? 0) - this.#firstSlot;
  }

  /** Counts `tokens` that a slot served in `step`. */
  served(version: number, step: number, layer: number, slot: number, tokens: number): void {
    const counts = this.#countsOf(version, step);
    const at = layer * this.#ownSlots + slot - this.#firstSlot;
    counts.destination[at] = (counts.destination[at] ?? 0) + tokens;
    counts.lastStep = step;
    counts.told = false;
  }

  /** Serving its own experts of a layer took this rank `millis` in a step routed by `version`. */
  layerServed(version: number, step: number, layer: number, millis: number): void {
    const { layerMillis } = this.#countsOf(version, step);
    layerMillis[layer] = (layerMillis[layer] ?? 0) + millis;
  }

  /** A step that this rank routed by `version` has ended. */
  stepEnded(version: number, step: number, millis: number): void {
    const counts = this.#countsOf(version, step);
    counts.lastStep = step;
    counts.told = false;
    counts.stepMillis.count += 1;
    counts.stepMillis.sum += millis;
    counts.stepMillis.max = Math.max(counts.stepMillis.max, millis);
  }

  #countsOf(version: number, step: number): Counts {
    const known = this.#versions.get(version);
    if (known !== undefined) return known;
    const counts: Counts = {
      firstStep: step,
      lastStep: step,
      destination: new Float64Array(this.#numLayers * this.#ownSlots),
      stepMillis: { count: 0, sum: 0, max: 0 },
      layerMillis: new Float64Array(this.#numLayers),
      told: false,
    };
    this.#versions.set(version, counts);
    const oldest = [...this.#versions.keys()].sort((a, b) => a - b)[0];
    if (this.#versions.size > versionsMax && oldest !== undefined) this.#versions.delete(oldest);
    return counts;
  }

  /** Samples of every version whose counts have changed since they were last taken. */
  takeSamples(): LoadSample[] {
    const samples: LoadSample[] = [];
    for (const [mappingVersion, counts] of this.#versions) {
      if (counts.told) continue;
      counts.told = true;
      samples.push({
        schema: 1,
        rank: this.#rank,
        incarnation: this.#incarnation,
        mappingVersion,
        firstStep: counts.firstStep,
        lastStep: counts.lastStep,
        destination: counts.destination.slice(),
        stepMillis: { ...counts.stepMillis },
        layerMillis: counts.layerMillis.slice(),
      });
    }
    return samples;
  }
}
