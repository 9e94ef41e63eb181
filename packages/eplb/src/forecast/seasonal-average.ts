import type { LoadShape } from './load-shape.js';
import { WeightedWindows } from './weighted-windows.js';
import type { WindowHistory } from './window-history.js';

/** How fast distances at a lag are forgotten, a window. */
const DISTANCE_RETENTION = 0.95;
/** How much less each earlier period counts. */
const PERIOD_RETENTION = 0.8;
/** A period's windows must be nearer than neighbours in time are by this factor. */
const NEARER = 0.95;

/**
 * Average of the windows that are whole periods before the next one. The period is the lag at which
 * windows have been nearest to one another, if they are nearer than successive windows are.
 */
export class SeasonalAverage extends WeightedWindows {
  override readonly name = 'seasonal';
  /** By lag, 0 unused. */
  readonly #distances: Float64Array;
  readonly #weights: Float64Array;
  #period: number | null = null;

  /** @param periodMax windows */
  constructor(shape: LoadShape, periodMax: number) {
    super(shape);
    this.#distances = new Float64Array(periodMax + 1);
    this.#weights = new Float64Array(periodMax + 1);
  }

  /** Windows; null while none is seen. */
  get period(): number | null {
    return this.#period;
  }

  override add(history: WindowHistory): void {
    for (let lag = 1; lag < this.#distances.length && lag < history.size; lag += 1) {
      const distance = history.distance(0, lag);
      this.#distances[lag] = (this.#distances[lag] ?? 0) * DISTANCE_RETENTION + distance;
      this.#weights[lag] = (this.#weights[lag] ?? 0) * DISTANCE_RETENTION + 1;
    }
    this.#period = this.#nearestLag(history.size);
  }

  #nearestLag(size: number): number | null {
    const meanOf = (lag: number) => (this.#distances[lag] ?? 0) / (this.#weights[lag] ?? 1);
    let nearest: number | null = null;
    let least = meanOf(1) * NEARER;
    // A lag is believed once two periods have passed.
    for (let lag = 2; lag * 2 <= size && lag < this.#distances.length; lag += 1) {
      if (!(meanOf(lag) < least)) continue;
      nearest = lag;
      // A multiple of the period is as near: it would have to be nearer still.
      least = meanOf(lag) * NEARER;
    }
    return nearest;
  }

  protected override weights(history: WindowHistory): Float64Array {
    const period = this.#period;
    if (period === null) return new Float64Array(history.size).fill(1);
    const weights = new Float64Array(history.size);
    for (let age = period - 1; age < history.size; age += period) {
      weights[age] = PERIOD_RETENTION ** ((age + 1) / period - 1);
    }
    return weights;
  }
}
