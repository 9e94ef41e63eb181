import type { ForecastMethod } from './forecast-method.js';
import type { LoadShape } from './load-shape.js';
import type { HistoryWindow, WindowHistory } from './window-history.js';

/** Windows that are averaged at most, those of largest weight: more would cost time for little. */
const WINDOWS_MAX = 12;
/** Windows of less than this part of the largest weight are left out. */
const NEGLIGIBLE_PART = 0.02;

/** Average of windows of the history, weighted the same in all layers. */
export abstract class WeightedWindows implements ForecastMethod {
  abstract readonly name: string;
  readonly #shape: LoadShape;

  constructor(shape: LoadShape) {
    this.#shape = shape;
  }

  add(_history: WindowHistory, _weightedShares: Float64Array): void {}

  /** Weight of the window of each age, 0 the newest, up to `history.size`; 0 where it ends early. */
  protected abstract weights(history: WindowHistory): Float64Array;

  forecast(history: WindowHistory, proportions: Float64Array): void {
    proportions.fill(0);
    const weights = this.weights(history);
    const ordered = weights.toSorted((a, b) => b - a);
    const least = Math.max(ordered[WINDOWS_MAX - 1] ?? 0, (ordered[0] ?? 0) * NEGLIGIBLE_PART);
    let left = WINDOWS_MAX;
    history.windows.forEach((window, age) => {
      const weight = weights[age] ?? 0;
      if (weight < least || weight === 0 || left === 0) return;
      left -= 1;
      this.#add(proportions, window, weight);
    });
  }

  #add(proportions: Float64Array, window: HistoryWindow, weight: number): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    const { rootShares } = window;
    let index = 0;
    for (let layer = 0; layer < numLayers; layer += 1) {
      const factor = weight * (window.weights[layer] ?? 0);
      for (const end = index + numLogicalExperts; index < end; index += 1) {
        const root = rootShares[index] ?? 0;
        proportions[index] = (proportions[index] ?? 0) + factor * root * root;
      }
    }
  }
}
