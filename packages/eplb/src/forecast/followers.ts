import { WeightedWindows } from './weighted-windows.js';
import type { WindowHistory } from './window-history.js';

/** Windows that are compared, the nth newest counting 1/n. */
const DEPTH = 3;
/** Distance beyond the least at which a weight is 1/e, in parts of the least. */
const WIDTH = 0.2;

/**
 * Average of the windows that followed ones like the newest three (the method of analogs; Lorenz,
 * 1969): change that recurs, in periods or not.
 */
export class Followers extends WeightedWindows {
  override readonly name = 'followers';

  protected override weights(history: WindowHistory): Float64Array {
    if (history.size < 2) return Float64Array.of(1);
    const distances = Float64Array.from({ length: history.size - 1 }, (_, age) =>
      contextDistance(history, age + 1),
    );
    const least = distances.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const width = WIDTH * least + Number.EPSILON;
    return distances.map((distance) => Math.exp((least - distance) / width));
  }
}

/** Mean distance of the newest windows to those up to the one of that age. */
function contextDistance(history: WindowHistory, age: number): number {
  let sum = 0;
  let weights = 0;
  for (let back = 0; back < DEPTH && age + back < history.size; back += 1) {
    sum += history.distance(back, age + back) / (back + 1);
    weights += 1 / (back + 1);
  }
  return sum / weights;
}
