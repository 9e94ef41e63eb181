import type { WindowHistory } from './window-history.js';

/** One way to forecast the next window. Memory is bounded; idle layers add nothing. */
export interface ForecastMethod {
  readonly name: string;
  /**
   * Takes in the window that has become the newest of the history.
   * @param weightedShares its shares times the layers' weights, [layers × experts]
   */
  add(history: WindowHistory, weightedShares: Float64Array): void;
  /** Writes what the next window is expected to be proportional to, layer by layer, [layers × experts]. */
  forecast(history: WindowHistory, proportions: Float64Array): void;
}
