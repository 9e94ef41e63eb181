import { balancedness, imbalance } from './balancedness.js';
import { EplbError } from './eplb-error.js';
import type { ExpertMapping } from './expert-mapping.js';

/**
 * Maps and loads of one deployment as the field's engines keep them: which expert each slot
 * holds and the reverse, replica counts, the load of the current pass, and a window of passes.
 */
export class EplbMetrics {
  #windowPassesMax = 0;
  #mapping: ExpertMapping;
  /** [layers × experts] */
  #currentPass: Float64Array;
  #window: Float64Array[] = [];

  /**
   * @param windowPassesMax passes that the window holds; the oldest falls out
   * @throws EplbError ISOBAR_EPLB_OPTIONS_INVALID where it holds none
   */
  constructor(mapping: ExpertMapping, windowPassesMax: number) {
    this.#mapping = mapping;
    this.windowPassesMax = windowPassesMax;
    this.#currentPass = new Float64Array(mapping.numLayers * mapping.numLogicalExperts);
  }

  get windowPassesMax(): number {
    return this.#windowPassesMax;
  }

  /**
   * Passes that the window holds; the oldest falls out.
   * @throws EplbError ISOBAR_EPLB_OPTIONS_INVALID where it holds none
   */
  set windowPassesMax(passes: number) {
    if (!Number.isSafeInteger(passes) || passes < 1) {
      throw new EplbError(
        'ISOBAR_EPLB_OPTIONS_INVALID',
        `windowPassesMax is ${passes}: it must be a positive integer`,
        { field: 'windowPassesMax' },
      );
    }
    this.#windowPassesMax = passes;
    this.#window = this.#window.slice(-passes);
  }

  get mapping(): ExpertMapping {
    return this.#mapping;
  }

  /**
   * Loads are kept by logical expert, so they outlive the mapping that they were counted under.
   * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE for other layers or experts
   */
  setMapping(mapping: ExpertMapping): void {
    const { numLayers, numLogicalExperts } = this;
    if (mapping.numLayers !== numLayers || mapping.numLogicalExperts !== numLogicalExperts) {
      throw new EplbError(
        'ISOBAR_EPLB_MAPPING_SHAPE',
        `a mapping of ${mapping.numLayers} × ${mapping.numLogicalExperts} experts can't follow one of ${numLayers} × ${numLogicalExperts}`,
        { field: 'mapping' },
      );
    }
    this.#mapping = mapping;
  }

  get numLayers(): number {
    return this.#mapping.numLayers;
  }

  get numPhysicalExperts(): number {
    return this.#mapping.numPhysicalExperts;
  }

  get numLogicalExperts(): number {
    return this.#mapping.numLogicalExperts;
  }

  /** [layers × slots], −1 for an empty slot */
  get physicalToLogical(): Int32Array {
    return this.#mapping.physicalToLogical;
  }

  /** [layers × experts] */
  get replicaCounts(): Int32Array {
    const { numLayers, numLogicalExperts } = this;
    return Int32Array.from({ length: numLayers * numLogicalExperts }, (_, index) =>
      this.#mapping.replicaCount(Math.floor(index / numLogicalExperts), index % numLogicalExperts),
    );
  }

  /** Slots of each expert, padded with −1: [layers × experts × largest replica count]. */
  get logicalToPhysical(): Int32Array {
    const counts = this.replicaCounts;
    const width = counts.reduce((largest, count) => Math.max(largest, count), 0);
    const slots = new Int32Array(counts.length * width).fill(-1);
    counts.forEach((_, index) => {
      const layer = Math.floor(index / this.numLogicalExperts);
      slots.set(
        this.#mapping.getPhysicalExperts(layer, index % this.numLogicalExperts),
        index * width,
      );
    });
    return slots;
  }

  /** Load of the current pass, [layers × experts]. */
  get currentPass(): Float64Array {
    return this.#currentPass;
  }

  /** Passes completed, oldest first, each [layers × experts]. */
  get window(): readonly Float64Array[] {
    return this.#window;
  }

  /** Adds tokens to the current pass, [layers × experts]. */
  add(logicalLoads: Float64Array): void {
    if (logicalLoads.length !== this.#currentPass.length) {
      throw new EplbError(
        'ISOBAR_EPLB_LOADS_SHAPE',
        `loads have ${logicalLoads.length} entries, not ${this.numLayers} × ${this.numLogicalExperts}`,
        { field: 'loads' },
      );
    }
    logicalLoads.forEach((load, index) => {
      this.#currentPass[index] = (this.#currentPass[index] ?? 0) + load;
    });
  }

  /** Ends the current pass. @returns its load */
  advance(): Float64Array {
    const pass = this.#currentPass;
    this.#window = [...this.#window, pass].slice(-this.windowPassesMax);
    this.#currentPass = new Float64Array(pass.length);
    return pass;
  }

  /** Sum over the window, [layers × experts]. */
  windowSum(): Float64Array {
    const sum = new Float64Array(this.#currentPass.length);
    for (const pass of this.#window) {
      pass.forEach((load, index) => {
        sum[index] = (sum[index] ?? 0) + load;
      });
    }
    return sum;
  }

  /**
   * Of the window under the mapping in force; 0 when idle.
   * @param unavailableRanks count only where they have load
   */
  balancedness(unavailableRanks: readonly number[] = []): number {
    const { numRanks } = this.#mapping;
    return balancedness(this.#rankLoads(), this.numLayers, numRanks, unavailableRanks);
  }

  /**
   * Largest ÷ mean rank load by layer, of the window under the mapping in force, [layers].
   * @param unavailableRanks count only where they have load
   */
  imbalance(unavailableRanks: readonly number[] = []): Float64Array {
    const { numRanks } = this.#mapping;
    return imbalance(this.#rankLoads(), this.numLayers, numRanks, unavailableRanks);
  }

  #rankLoads(): Float64Array {
    return this.#mapping.rankLoads(this.windowSum());
  }
}
