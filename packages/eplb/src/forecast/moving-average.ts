import type { ForecastMethod } from './forecast-method.js';
import type { LoadShape } from './load-shape.js';
import type { WindowHistory } from './window-history.js';

/** Average whose weights fade by 1 − `rate` a window: rate 1 is the last window, 0 the mean of all. */
export class MovingAverage implements ForecastMethod {
  readonly name: string;
  readonly #shape: LoadShape;
  readonly #retention: number;
  /** Not divided by its weights: only proportions matter. */
  readonly #sum: Float64Array;

  constructor(name: string, shape: LoadShape, rate: number) {
    this.name = name;
    this.#shape = shape;
    this.#retention = 1 - rate;
    this.#sum = new Float64Array(shape.numLayers * shape.numLogicalExperts);
  }

  add(history: WindowHistory, weightedShares: Float64Array): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    const weights = history.windows[0]?.weights;
    const sum = this.#sum;
    const retention = this.#retention;
    for (let layer = 0; layer < numLayers; layer += 1) {
      if (!((weights?.[layer] ?? 0) > 0)) continue;
      const start = layer * numLogicalExperts;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        sum[index] = (sum[index] ?? 0) * retention + (weightedShares[index] ?? 0);
      }
    }
  }

  forecast(_: WindowHistory, proportions: Float64Array): void {
    proportions.set(this.#sum);
  }
}
