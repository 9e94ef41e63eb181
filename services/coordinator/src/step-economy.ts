import {
  configuredStepTimes,
  type ExpertMapping,
  type Interference,
  InterferenceMeter,
  type LayerStepTime,
  type RebalanceEconomy,
  StepTimeModel,
} from '@isobar/eplb';
import type { EconomySummary } from '@isobar/protocol';
import type { LoadPass } from './load-window.js';
import type { CoordinatorSettings } from './settings.js';

export type StepEconomySettings = Pick<
  CoordinatorSettings,
  'perTokenSeconds' | 'interference' | 'horizonPasses' | 'bandwidthBytesPerSecond' | 'gainShareMin'
>;

/** Learns from passes what a token costs and what a transfer costs, by which moves pay or not. */
export class StepEconomy {
  #settings: StepEconomySettings;
  readonly #numLayers: number;
  readonly #numRanks: number;
  readonly #bytesPerExpert: Float64Array;
  readonly #model: StepTimeModel;
  readonly #meter: InterferenceMeter;
  #swappedBefore = false;

  constructor(
    settings: StepEconomySettings,
    { numLayers, numRanks }: Pick<ExpertMapping, 'numLayers' | 'numRanks'>,
    bytesPerExpert: number,
  ) {
    this.#settings = settings;
    this.#numLayers = numLayers;
    this.#numRanks = numRanks;
    this.#bytesPerExpert = new Float64Array(numLayers).fill(bytesPerExpert);
    this.#model = new StepTimeModel({ numLayers });
    this.#meter = new InterferenceMeter({ prior: settings.interference });
  }

  useSettings(settings: StepEconomySettings): void {
    this.#settings = settings;
  }

  /** The configured share until enough has been seen. */
  get #interference(): Interference {
    const seen = this.#meter.interference;
    return seen.basis === 'measured' ? seen : { ...seen, share: this.#settings.interference };
  }

  /** @param swapping a swap was open during some of the pass */
  addPass(pass: LoadPass, swapping: boolean): void {
    const settling = this.#swappedBefore && !swapping;
    this.#swappedBefore = swapping;
    // Samples come late: a swap's last steps may be told in the pass after it.
    if (settling) return;
    const tokens = this.#largestTokensPerStep(pass);
    // An idle step leaves out work that any token costs: it lies on no line with the others.
    if (tokens === 0) return;
    const seconds = pass.meanStepMillis / 1_000;
    const expected = this.#model.expectedStepSeconds(tokens);
    if (expected !== null && expected > 0 && seconds > 0) {
      this.#meter.add(seconds / expected, swapping);
    }
    // Times under interference would blur the line.
    if (swapping) return;
    this.#model.advance();
    this.#model.addStep(tokens, seconds);
    this.#addRanks(pass);
  }

  #addRanks(pass: LoadPass): void {
    for (const { rank, steps, layerMillis } of pass.ranks) {
      if (layerMillis === null || steps === 0) continue;
      for (let layer = 0; layer < this.#numLayers; layer += 1) {
        const tokens = (pass.rankLoads[layer * this.#numRanks + rank] ?? 0) / steps;
        if (tokens === 0) continue;
        this.#model.add(layer, tokens, (layerMillis[layer] ?? 0) / 1_000 / steps, rank);
      }
    }
  }

  /** The sum over layers of the largest rank's tokens of a step. */
  #largestTokensPerStep(pass: LoadPass): number {
    let tokens = 0;
    for (let layer = 0; layer < this.#numLayers; layer += 1) {
      let largest = 0;
      for (const { rank, steps } of pass.ranks) {
        const load = pass.rankLoads[layer * this.#numRanks + rank] ?? 0;
        if (steps > 0) largest = Math.max(largest, load / steps);
      }
      tokens += largest;
    }
    return tokens;
  }

  #stepTimes(): readonly LayerStepTime[] {
    const { perTokenSeconds } = this.#settings;
    return perTokenSeconds === null
      ? this.#model.fit()
      : configuredStepTimes(this.#numLayers, perTokenSeconds);
  }

  /** @param loads forecast, [layers × experts]; null before the first pass */
  current(loads: Float64Array | null): RebalanceEconomy {
    const { horizonPasses, bandwidthBytesPerSecond, gainShareMin } = this.#settings;
    const experts = (loads?.length ?? 0) / this.#numLayers;
    return {
      stepTimes: this.#stepTimes(),
      horizonPasses,
      bytesPerExpert: this.#bytesPerExpert,
      bandwidthBytesPerSecond,
      interference: this.#interference.share,
      leastMoveCosts: Float64Array.from({ length: this.#numLayers }, (_, layer) => {
        const row = loads?.subarray(layer * experts, (layer + 1) * experts);
        const tokens = row?.reduce((sum, load) => sum + load, 0) ?? 0;
        return (gainShareMin * tokens) / this.#numRanks;
      }),
    };
  }

  summary(): EconomySummary {
    const layersByBasis = { layer: 0, 'all-layers': 0, step: 0, configured: 0, held: 0 };
    let seconds = 0;
    let reason: string | null = null;
    for (const time of this.#stepTimes()) {
      layersByBasis[time.basis ?? 'held'] += 1;
      if (time.basis !== null) seconds += time.perTokenSeconds;
      reason ??= time.reason;
    }
    const told = this.#numLayers - layersByBasis.held;
    return {
      layersByBasis,
      perTokenSeconds: told === 0 ? null : seconds / told,
      interference: this.#interference,
      reason,
    };
  }
}
