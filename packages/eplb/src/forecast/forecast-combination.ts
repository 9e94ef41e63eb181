import type { LoadShape } from './load-shape.js';
import { leastVarianceWeights } from './simplex-weights.js';

/** Windows after which errors count 1/e as much. */
const MEMORY_WINDOWS = 30;
/** Windows of a layer's own errors that weigh as much as the errors of all layers. */
const POOLING_WINDOWS = 16;
/** Windows that the belief is worth that all methods err alike and independently. */
const PRIOR_WINDOWS = 0.3;

/**
 * Weighs forecasting methods, layer by layer, by the second moments of the errors that they made
 * one window ahead, shrunk to the mean over layers (Bates and Granger, 1969). Errors are of shares
 * and squared, since a rank's load errs by the sum of its experts' errors. Each window counts the
 * same, however large its errors are: one shift of domain must not decide for a hundred windows.
 */
export class ForecastCombination {
  readonly #shape: LoadShape;
  readonly #methods: number;
  /** [layers × methods × methods] */
  readonly #moments: Float64Array;
  /** Windows in the moments, each counted by what is remembered of it, [layers]. */
  readonly #windows: Float64Array;
  /** [methods × experts] */
  readonly #errors: Float64Array;

  constructor(shape: LoadShape, methods: number) {
    this.#shape = shape;
    this.#methods = methods;
    this.#moments = new Float64Array(shape.numLayers * methods * methods);
    this.#windows = new Float64Array(shape.numLayers);
    this.#errors = new Float64Array(methods * shape.numLogicalExperts);
  }

  /**
   * Takes in how one layer's forecasts came true.
   * @param forecasts shares by each method, each [layers × experts]
   * @param shares of a layer that is not idle, [layers × experts]
   */
  add(layer: number, forecasts: readonly Float64Array[], shares: Float64Array): void {
    const { numLogicalExperts } = this.#shape;
    const start = layer * numLogicalExperts;
    forecasts.forEach((forecast, method) => {
      const offset = method * numLogicalExperts - start;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        this.#errors[offset + index] = (forecast[index] ?? 0) - (shares[index] ?? 0);
      }
    });
    this.#take(layer, this.#momentsOfErrors());
  }

  #momentsOfErrors(): Float64Array {
    const { numLogicalExperts } = this.#shape;
    const count = this.#methods;
    const errors = this.#errors;
    const moments = new Float64Array(count * count);
    for (let row = 0; row < count; row += 1) {
      for (let column = row; column < count; column += 1) {
        const offset = (column - row) * numLogicalExperts;
        let sum = 0;
        for (let at = row * numLogicalExperts; at < (row + 1) * numLogicalExperts; at += 1) {
          sum += (errors[at] ?? 0) * (errors[at + offset] ?? 0);
        }
        moments[row * count + column] = sum;
        moments[column * count + row] = sum;
      }
    }
    return moments;
  }

  #take(layer: number, moments: Float64Array): void {
    const scale = meanOfDiagonal(moments, this.#methods);
    if (scale === 0) return;
    const retention = Math.exp(-1 / MEMORY_WINDOWS);
    const start = layer * moments.length;
    for (let index = 0; index < moments.length; index += 1) {
      const before = this.#moments[start + index] ?? 0;
      this.#moments[start + index] = before * retention + (moments[index] ?? 0) / scale;
    }
    this.#windows[layer] = (this.#windows[layer] ?? 0) * retention + 1;
  }

  /** Weight of each method by layer, [layers × methods]; each layer's sum to 1. */
  weights(): Float64Array {
    const methods = this.#methods;
    const pooled = this.#pooledMoments();
    const moments = new Float64Array(pooled.length);
    const weights = new Float64Array(this.#shape.numLayers * methods);
    for (let layer = 0; layer < this.#shape.numLayers; layer += 1) {
      const start = layer * moments.length;
      for (let index = 0; index < moments.length; index += 1) {
        const own = this.#moments[start + index] ?? 0;
        moments[index] = own + POOLING_WINDOWS * (pooled[index] ?? 0);
      }
      weights.set(leastVarianceWeights(moments, methods), layer * methods);
    }
    return weights;
  }

  /** Mean over layers and windows, and the prior, [methods × methods]. */
  #pooledMoments(): Float64Array {
    const methods = this.#methods;
    const pooled = new Float64Array(methods * methods);
    const windows = this.#windows.reduce((sum, count) => sum + count, 0);
    for (let index = 0; index < this.#moments.length && windows > 0; index += 1) {
      const at = index % pooled.length;
      pooled[at] = (pooled[at] ?? 0) + (this.#moments[index] ?? 0) / windows;
    }
    const windowsOfLayer = windows / this.#shape.numLayers;
    for (let method = 0; method < methods; method += 1) {
      const at = method * (methods + 1);
      pooled[at] = (pooled[at] ?? 0) + PRIOR_WINDOWS / (windowsOfLayer + PRIOR_WINDOWS);
    }
    return pooled;
  }
}

function meanOfDiagonal(matrix: Float64Array, count: number): number {
  let sum = 0;
  for (let index = 0; index < count; index += 1) sum += matrix[index * (count + 1)] ?? 0;
  return sum / count;
}
