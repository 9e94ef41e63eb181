import {
  fitCommonSlope,
  type SlopeEstimate,
  SlopeGroup,
  slopeDeviationsMin,
} from './common-slope.js';
import { economyRefusal } from './economy-refusal.js';

/**
 * What a time per token rests on: the layer's own observations, those of all layers together, whole
 * steps, or a setting.
 */
export type StepTimeBasis = 'layer' | 'all-layers' | 'step' | 'configured';

/** A layer's time at one rank: fixed + per token × tokens. */
export interface LayerStepTime extends SlopeEstimate {
  /** Null where the slope can't be told from noise; the figures are then the layer's own. */
  readonly basis: StepTimeBasis | null;
  /** Why there is no basis; null where there is one. */
  readonly reason: string | null;
}

export interface StepTimeModelOptions {
  readonly numLayers: number;
  /** Factor by which older observations count for less with every pass, over 0 to 1. @default 0.99 */
  readonly decay?: number;
}

/**
 * Fits rank time = fixed + per token × tokens, layer by layer, by least squares over (rank, pass)
 * observations that decay. Of an engine that can't time its layers, whole steps give one slope for
 * all.
 */
export class StepTimeModel {
  readonly #decay: number;
  readonly #layers: readonly SlopeGroup[];
  readonly #steps = new SlopeGroup();

  /** @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID */
  constructor(options: StepTimeModelOptions) {
    const { numLayers, decay = 0.99 } = options;
    if (!Number.isInteger(numLayers) || numLayers < 1) {
      throw economyRefusal('numLayers', 'must be a positive integer');
    }
    if (!(decay > 0 && decay <= 1)) throw economyRefusal('decay', 'must be over 0, and 1 at most');
    this.#decay = decay;
    this.#layers = Array.from({ length: numLayers }, () => new SlopeGroup());
  }

  /**
   * A rank's pass through a layer: tokens that its slots served in a step and the time this took,
   * both as means over the pass.
   * @param rank by which a slope can be told from ranks that are lastingly slower than others
   * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID
   */
  add(layer: number, tokens: number, seconds: number, rank?: number): void {
    const group = this.#layers[layer];
    if (group === undefined) throw economyRefusal('layer', `is ${layer} of ${this.#layers.length}`);
    assertObservation(tokens, seconds);
    group.add(tokens, seconds, rank);
  }

  /**
   * A whole step: the sum over layers of the largest rank's tokens, and the step's time.
   * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID
   */
  addStep(tokens: number, seconds: number): void {
    assertObservation(tokens, seconds);
    this.#steps.add(tokens, seconds);
  }

  /** Ends a pass: from now on what has been seen counts for less. */
  advance(): void {
    for (const layer of this.#layers) layer.decay(this.#decay);
    this.#steps.decay(this.#decay);
  }

  /**
   * Time that a step with so many tokens (as for `addStep`) is expected to take: the mean step's,
   * and the difference in tokens at the slope of steps or, where that can't be told from noise, the
   * mean slope of the layers. Null before the first step.
   */
  expectedStepSeconds(tokens: number): number | null {
    if (this.#steps.all.observations === 0) return null;
    const whole = fitCommonSlope([this.#steps]);
    const slope = whole.significant ? whole.perTokenSeconds : meanSlope(this.fit());
    return Math.max(0, this.#steps.all.secondsAt(tokens, slope));
  }

  /** By layer, [layers]. */
  fit(): LayerStepTime[] {
    const timed = this.#layers.some(({ all }) => all.observations > 0);
    if (!timed) return this.#fitSteps();
    const pooled = fitCommonSlope(this.#layers);
    return this.#layers.map((layer) => layerStepTime(layer, pooled));
  }

  #fitSteps(): LayerStepTime[] {
    const whole = fitCommonSlope([this.#steps]);
    const step: LayerStepTime = {
      ...whole,
      fixedSeconds: whole.fixedSeconds / this.#layers.length,
      basis: whole.significant ? 'step' : null,
      reason: whole.significant ? null : `of whole steps: ${doubt(whole)}`,
    };
    return this.#layers.map(() => step);
  }
}

/** Over the layers that have one; 0 where none has. */
function meanSlope(times: readonly LayerStepTime[]): number {
  const told = times.filter(({ basis }) => basis !== null);
  return told.reduce((sum, time) => sum + time.perTokenSeconds, 0) / Math.max(1, told.length);
}

function layerStepTime(layer: SlopeGroup, pooled: SlopeEstimate): LayerStepTime {
  const own = fitCommonSlope([layer]);
  if (own.significant) return { ...own, basis: 'layer', reason: null };
  if (!pooled.significant) {
    return { ...own, basis: null, reason: `${doubt(own)}; of all layers: ${doubt(pooled)}` };
  }
  const most = own.perTokenSeconds + slopeDeviationsMin * own.standardError;
  if (pooled.perTokenSeconds > most) {
    const reason = `${doubt(own)}, and contradicts ${slope(pooled.perTokenSeconds)} of all layers`;
    return { ...own, basis: null, reason };
  }
  const fixedSeconds = layer.all.secondsAt(0, pooled.perTokenSeconds);
  return { ...pooled, fixedSeconds, basis: 'all-layers', reason: null };
}

function doubt(estimate: SlopeEstimate): string {
  const { perTokenSeconds, standardError, observations } = estimate;
  const count = `${observations.toFixed(0)} observations`;
  if (!Number.isFinite(standardError)) return `${count} of tokens that differ too little`;
  return `${slope(perTokenSeconds)} ± ${standardError.toExponential(1)} in ${count}`;
}

function slope(perTokenSeconds: number): string {
  return `${perTokenSeconds.toExponential(1)} s per token`;
}

/**
 * Step times that are known without observations.
 * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID
 */
export function configuredStepTimes(numLayers: number, perTokenSeconds: number): LayerStepTime[] {
  if (!(perTokenSeconds > 0 && perTokenSeconds < Number.POSITIVE_INFINITY)) {
    throw economyRefusal('perTokenSeconds', 'must be positive');
  }
  const configured: LayerStepTime = {
    fixedSeconds: 0,
    perTokenSeconds,
    standardError: 0,
    observations: 0,
    significant: true,
    basis: 'configured',
    reason: null,
  };
  return Array.from({ length: numLayers }, () => configured);
}

function assertObservation(tokens: number, seconds: number): void {
  for (const [field, value] of [
    ['tokens', tokens],
    ['seconds', seconds],
  ] as const) {
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
      throw economyRefusal(field, `is ${value}: it must be finite, not negative`);
    }
  }
}
