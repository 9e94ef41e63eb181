import type { ExpertMapping } from '@isobar/eplb';
import type { LoadSample } from '@isobar/protocol';

/** Times that one rank told of a pass. */
export interface RankPass {
  readonly rank: number;
  readonly steps: number;
  /** Serving its own experts, the sum over the steps, [layers]; null where it doesn't say. */
  readonly layerMillis: Float64Array | null;
}

/** What all ranks together served in one pass. */
export interface LoadPass {
  /** Tokens by logical expert, [layers × experts]. */
  readonly logicalLoads: Float64Array;
  /** Tokens that each rank really served, [layers × ranks]. */
  readonly rankLoads: Float64Array;
  /** Steps that the slowest rank reported, and their mean wall time. */
  readonly steps: number;
  readonly meanStepMillis: number;
  readonly ranks: readonly RankPass[];
}

export type SampleFate = 'counted' | 'baseline' | 'stale' | 'unknown-version' | 'wrong-shape';

interface Told {
  readonly lastStep: number;
  readonly destination: Float64Array;
  readonly stepCount: number;
  readonly stepMillisSum: number;
  readonly layerMillis: Float64Array | undefined;
}

interface Heard {
  steps: number;
  millis: number;
  layerMillis: Float64Array | null;
}

/** Cumulative counts remembered: some versions of every rank. */
const versionsKept = 4;

/**
 * Turns cumulative counts into passes. Every sample is read through the mapping of the version
 * that its tokens carried, so that nothing is ever counted for the wrong expert; a pass is
 * complete only when every live rank has been heard in it.
 */
export class LoadWindow {
  readonly #mappings = new Map<number, ExpertMapping>();
  readonly #told = new Map<string, Told>();
  #ranks: ReadonlySet<number>;
  /** Steps that each rank must have told of in a pass. */
  stepsMin: number;
  #logicalLoads: Float64Array;
  #rankLoads: Float64Array;
  #heard = new Map<number, Heard>();

  /**
   * @param ranks ranks without which a pass is partial
   * @param stepsMin steps that each of them must have told of in a pass
   */
  constructor(version: number, mapping: ExpertMapping, ranks: Iterable<number>, stepsMin: number) {
    this.stepsMin = stepsMin;
    this.#mappings.set(version, mapping);
    this.#ranks = new Set(ranks);
    this.#logicalLoads = new Float64Array(mapping.numLayers * mapping.numLogicalExperts);
    this.#rankLoads = new Float64Array(mapping.numLayers * mapping.numRanks);
  }

  /** Tokens of this version may be counted from now on. */
  learnMapping(version: number, mapping: ExpertMapping): void {
    this.#mappings.set(version, mapping);
    for (const old of this.#mappings.keys()) {
      if (this.#mappings.size <= versionsKept) return;
      this.#mappings.delete(old);
    }
  }

  /** From now on a pass needs these ranks and no others; what others told so far still counts. */
  expectRanks(ranks: Iterable<number>): void {
    this.#ranks = new Set(ranks);
  }

  add(sample: LoadSample): SampleFate {
    const mapping = this.#mappings.get(sample.mappingVersion);
    if (mapping === undefined || !this.#ranks.has(sample.rank)) return 'unknown-version';
    const firstSlot = mapping.slotOffsets[sample.rank] ?? 0;
    const ownSlots = (mapping.slotOffsets[sample.rank + 1] ?? 0) - firstSlot;
    if (sample.destination.length !== mapping.numLayers * ownSlots) return 'wrong-shape';
    if ((sample.layerMillis?.length ?? mapping.numLayers) !== mapping.numLayers) {
      return 'wrong-shape';
    }
    const engine = `${sample.rank}.${sample.incarnation}`;
    const key = `${engine}.${sample.mappingVersion}`;
    const before = this.#told.get(key);
    if (before !== undefined && sample.lastStep <= before.lastStep) return 'stale';
    // Counts from before this coordinator listened belong to no pass of its window.
    const baseline = before === undefined && !this.#knowsEngine(engine);
    this.#remember(key, engine, sample);
    if (baseline) return 'baseline';
    this.#count(sample, mapping, before);
    return 'counted';
  }

  #knowsEngine(engine: string): boolean {
    return [...this.#told.keys()].some((key) => key.startsWith(`${engine}.`));
  }

  #remember(key: string, engine: string, sample: LoadSample): void {
    this.#told.delete(key);
    this.#told.set(key, {
      lastStep: sample.lastStep,
      destination: sample.destination,
      stepCount: sample.stepMillis.count,
      stepMillisSum: sample.stepMillis.sum,
      layerMillis: sample.layerMillis,
    });
    const ofRank = [...this.#told.keys()].filter((known) => known.startsWith(`${sample.rank}.`));
    const surplus = ofRank.length - versionsKept;
    for (const old of ofRank.slice(0, Math.max(0, surplus))) this.#told.delete(old);
    // The newest sample's engine is the live one: an older process's counts are done.
    for (const old of ofRank) if (!old.startsWith(`${engine}.`)) this.#told.delete(old);
  }

  #count(sample: LoadSample, mapping: ExpertMapping, before: Told | undefined): void {
    const { numLayers, numLogicalExperts, numRanks } = mapping;
    const firstSlot = mapping.slotOffsets[sample.rank] ?? 0;
    const ownSlots = (mapping.slotOffsets[sample.rank + 1] ?? 0) - firstSlot;
    for (let layer = 0; layer < numLayers; layer += 1) {
      for (let slot = 0; slot < ownSlots; slot += 1) {
        const at = layer * ownSlots + slot;
        const tokens = (sample.destination[at] ?? 0) - (before?.destination[at] ?? 0);
        const expert = mapping.getLogicalExpert(layer, firstSlot + slot);
        if (tokens <= 0 || expert < 0) continue;
        const logical = layer * numLogicalExperts + expert;
        const rank = layer * numRanks + sample.rank;
        this.#logicalLoads[logical] = (this.#logicalLoads[logical] ?? 0) + tokens;
        this.#rankLoads[rank] = (this.#rankLoads[rank] ?? 0) + tokens;
      }
    }
    this.#hear(sample, numLayers, before);
  }

  #hear(sample: LoadSample, numLayers: number, before: Told | undefined): void {
    const heard: Heard = this.#heard.get(sample.rank) ?? {
      steps: 0,
      millis: 0,
      layerMillis: new Float64Array(numLayers),
    };
    heard.steps += sample.stepMillis.count - (before?.stepCount ?? 0);
    heard.millis += sample.stepMillis.sum - (before?.stepMillisSum ?? 0);
    // A part of a pass without times makes the times of the whole worthless.
    if (sample.layerMillis === undefined) heard.layerMillis = null;
    heard.layerMillis?.forEach((sum, layer, sums) => {
      const millis = (sample.layerMillis?.[layer] ?? 0) - (before?.layerMillis?.[layer] ?? 0);
      sums[layer] = sum + Math.max(0, millis);
    });
    this.#heard.set(sample.rank, heard);
  }

  /** Live ranks that have not told of enough steps in this pass. */
  get missingRanks(): number[] {
    return [...this.#ranks].filter((rank) => (this.#heard.get(rank)?.steps ?? 0) < this.stepsMin);
  }

  /** Ends the pass; null, and the pass goes on, while a live rank is missing. */
  takePass(): LoadPass | null {
    if (this.#ranks.size === 0 || this.missingRanks.length > 0) return null;
    const heard = [...this.#heard.values()];
    const steps = Math.min(...heard.map((rank) => rank.steps));
    const millis = heard.reduce((sum, rank) => sum + rank.millis, 0);
    const pass: LoadPass = {
      logicalLoads: this.#logicalLoads,
      rankLoads: this.#rankLoads,
      steps,
      meanStepMillis: millis / heard.reduce((sum, rank) => sum + rank.steps, 0),
      ranks: [...this.#heard].map(([rank, of]) => ({
        rank,
        steps: of.steps,
        layerMillis: of.layerMillis,
      })),
    };
    this.#logicalLoads = new Float64Array(this.#logicalLoads.length);
    this.#rankLoads = new Float64Array(this.#rankLoads.length);
    this.#heard = new Map();
    return pass;
  }
}
