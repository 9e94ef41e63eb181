import type { ForecastMethod } from './forecast-method.js';
import type { LoadShape } from './load-shape.js';
import type { WindowHistory } from './window-history.js';

/** Average whose weights fade by 1 − `rate` a window: rate 1 is the last window, 0 the mean of all. */
export class MovingAverage implements ForecastMethod {
  readonly name: string;
  readonly #retention: number;
  /** Never divided by its weights: only proportions matter, and an idle layer's stay as they are. */
  readonly #sum: Float64Array;

  constructor(name: string, shape: LoadShape, rate: number) {
    this.name = name;
    this.#retention = 1 - rate;
    this.#sum = new Float64Array(shape.numLayers * shape.numLogicalExperts);
  }

  add(_: WindowHistory, weightedShares: Float64Array): void {
    const sum = this.#sum;
    const retention = this.#retention;
    for (let index = 0; index < sum.length; index += 1) {
      sum[index] = (sum[index] ?? 0) * retention + (weightedShares[index] ?? 0);
    }
  }

  forecast(_: WindowHistory, proportions: Float64Array): void {
    proportions.set(this.#sum);
  }
}
