import { WeightedWindows } from './weighted-windows.js';
import type { WindowHistory } from './window-history.js';

/** Distance beyond the noise at which a window's weight is 1/e, in parts of the noise. */
const WIDTH = 0.5;
/** How fast the estimate of the noise forgets, a window. */
const RETENTION = 0.9;

/**
 * Average of the windows in the state of the newest one. Noise alone puts two windows of one state
 * some distance apart, which is learnt from each window's nearest neighbour; beyond it, weights
 * fall off exponentially (kernel regression of Nadaraya and Watson). Under pure noise that is the
 * average of all windows; after a shift of domain, the average since, together with every earlier
 * stay in that domain.
 */
export class SimilarWindows extends WeightedWindows {
  override readonly name = 'similar-windows';
  #inverseDistances = 0;
  #weight = 0;

  override add(history: WindowHistory): void {
    if (history.size < 2) return;
    let nearest = Number.POSITIVE_INFINITY;
    for (let age = 1; age < history.size; age += 1) {
      nearest = Math.min(nearest, history.distance(0, age));
    }
    // The harmonic mean: the first window of a new domain has no neighbour, and must count little.
    this.#inverseDistances = this.#inverseDistances * RETENTION + 1 / (nearest + Number.EPSILON);
    this.#weight = this.#weight * RETENTION + 1;
  }

  protected override weights(history: WindowHistory): Float64Array {
    const noise = this.#weight / this.#inverseDistances;
    return Float64Array.from({ length: history.size }, (_, age) => {
      if (age === 0) return 1;
      return Math.exp(-Math.max(0, history.distance(0, age) / noise - 1) / WIDTH);
    });
  }
}
