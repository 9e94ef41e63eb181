import type { LoadShape } from './load-shape.js';

/** Windows after which residuals count 1/e as much. */
const MEMORY_WINDOWS = 20;
/** The first belief, worth a window: variance in multinomial variances, and relative deviation. */
const PRIOR_OVERDISPERSION = 2;
const PRIOR_RELATIVE_VARIANCE = 0.2 ** 2;
/** Windows of an expert's own residuals that weigh as much as its layer's curve. */
const EXPERT_WINDOWS = 8;
/** A window whose squared residuals are beyond this many times the expected ones counts in part. */
const SURPRISE_MAX = 2;
/** Tokens; an expert that was never chosen is not held to stay so for certain. */
const LOAD_MIN = 0.5;

/** Variance of a load around its forecast: overdispersion × load + relativeVariance × load². */
interface VarianceCurve {
  readonly overdispersion: number;
  readonly relativeVariance: number;
}

/** Weighted sums for the line y = overdispersion + relativeVariance × load. */
interface LineSums {
  weight: number;
  load: number;
  loadSquare: number;
  y: number;
  yLoad: number;
}

/**
 * How far loads fall from their forecast, given the layer's total. By layer a curve of variance
 * over load, fitted to squared residuals; by expert a factor to it, shrunk to 1.
 */
export class DeviationModel {
  readonly #shape: LoadShape;
  /** [layers] */
  readonly #sums: readonly LineSums[];
  /** Squared residuals in parts of their layer's mean, standardised; summed, [layers × experts]. */
  readonly #squares: Float64Array;
  /** Windows that they are sums of, [layers]. */
  readonly #windows: Float64Array;

  constructor(shape: LoadShape) {
    this.#shape = shape;
    const { numLayers, numLogicalExperts } = shape;
    this.#sums = Array.from({ length: numLayers }, () => ({
      weight: 0,
      load: 0,
      loadSquare: 0,
      y: 0,
      yLoad: 0,
    }));
    this.#squares = new Float64Array(numLayers * numLogicalExperts);
    this.#windows = new Float64Array(numLayers);
  }

  /**
   * Takes in how one layer's forecast came true.
   * @param shares that were forecast, [layers × experts]
   * @param loads that came, [layers × experts]
   * @param total of the layer's loads, above 0
   * @param residuals standardised by the deviations expected, are written here, [layers × experts]
   */
  add(
    layer: number,
    shares: Float64Array,
    loads: Float64Array,
    total: number,
    residuals: Float64Array,
  ): void {
    const { numLogicalExperts } = this.#shape;
    const start = layer * numLogicalExperts;
    const end = start + numLogicalExperts;
    const curve = this.#curve(layer, total / numLogicalExperts);
    const standardised = new Float64Array(numLogicalExperts);
    for (let index = start; index < end; index += 1) {
      const load = Math.max(LOAD_MIN, (shares[index] ?? 0) * total);
      const residual = ((loads[index] ?? 0) - load) / Math.sqrt(varianceOf(curve, load));
      standardised[index - start] = residual ** 2;
      residuals[index] = residual / Math.sqrt(this.#factor(layer, index));
    }
    const surprise = standardised.reduce((sum, square) => sum + square, 0) / numLogicalExperts;
    if (surprise === 0) return;
    const retention = Math.exp(-1 / MEMORY_WINDOWS);
    const sums = this.#sums[layer];
    if (sums === undefined) return;
    fade(sums, retention);
    this.#windows[layer] = (this.#windows[layer] ?? 0) * retention + 1;
    for (let index = start; index < end; index += 1) {
      const square = standardised[index - start] ?? 0;
      this.#squares[index] = (this.#squares[index] ?? 0) * retention + square / surprise;
      const load = Math.max(LOAD_MIN, (shares[index] ?? 0) * total);
      const weight = Math.min(1, SURPRISE_MAX / surprise);
      accumulate(sums, curve, load, square * varianceOf(curve, load), weight);
    }
  }

  /** Writes the standard deviations of `loads`, both [layers × experts]. */
  fill(deviations: Float64Array, loads: Float64Array): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    for (let layer = 0; layer < numLayers; layer += 1) {
      const start = layer * numLogicalExperts;
      const end = start + numLogicalExperts;
      let total = 0;
      for (let index = start; index < end; index += 1) total += loads[index] ?? 0;
      if (total === 0) continue;
      const curve = this.#curve(layer, total / numLogicalExperts);
      for (let index = start; index < end; index += 1) {
        const load = Math.max(LOAD_MIN, loads[index] ?? 0);
        deviations[index] = Math.sqrt(this.#factor(layer, index) * varianceOf(curve, load));
      }
    }
  }

  /** An expert's variance in that of its layer's curve. */
  #factor(layer: number, index: number): number {
    const windows = this.#windows[layer] ?? 0;
    return (EXPERT_WINDOWS + (this.#squares[index] ?? 0)) / (EXPERT_WINDOWS + windows);
  }

  /** Least squares, with the first belief as a window of two kinds of expert, cold and hot. */
  #curve(layer: number, meanLoad: number): VarianceCurve {
    const prior = {
      overdispersion: PRIOR_OVERDISPERSION,
      relativeVariance: PRIOR_RELATIVE_VARIANCE,
    };
    const sums: LineSums = { ...this.#sums[layer] };
    for (const load of [Math.max(LOAD_MIN, meanLoad / 2), Math.max(LOAD_MIN, meanLoad * 2)]) {
      const count = this.#shape.numLogicalExperts / 2;
      accumulate(sums, prior, load, varianceOf(prior, load), count);
    }
    return fitLine(sums);
  }
}

function varianceOf({ overdispersion, relativeVariance }: VarianceCurve, load: number): number {
  return load * (overdispersion + relativeVariance * load);
}

function fade(sums: LineSums, retention: number): void {
  sums.weight *= retention;
  sums.load *= retention;
  sums.loadSquare *= retention;
  sums.y *= retention;
  sums.yLoad *= retention;
}

/** A squared residual spreads as its expectation does, hence the weight by the curve. */
function accumulate(
  sums: LineSums,
  curve: VarianceCurve,
  load: number,
  square: number,
  count: number,
): void {
  const weight = count / (curve.overdispersion + curve.relativeVariance * load) ** 2;
  const y = square / load;
  sums.weight += weight;
  sums.load += weight * load;
  sums.loadSquare += weight * load * load;
  sums.y += weight * y;
  sums.yLoad += weight * y * load;
}

/** Of least squares, neither part negative. */
function fitLine({ weight, load, loadSquare, y, yLoad }: LineSums): VarianceCurve {
  const determinant = weight * loadSquare - load * load;
  const relativeVariance = (weight * yLoad - load * y) / determinant;
  const overdispersion = (loadSquare * y - load * yLoad) / determinant;
  if (relativeVariance >= 0 && overdispersion >= 0) return { overdispersion, relativeVariance };
  return relativeVariance >= 0
    ? { overdispersion: 0, relativeVariance: yLoad / loadSquare }
    : { overdispersion: y / weight, relativeVariance: 0 };
}
