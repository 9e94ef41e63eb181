import type { LoadShape } from './load-shape.js';

/** One window as forecasting sees it. */
export interface HistoryWindow {
  /** Square roots of each expert's share of its layer, [layers × experts]; 0 in an idle layer. */
  readonly rootShares: Float32Array;
  /** How much each layer's shares are to be trusted in an average, [layers]; 0 in an idle layer. */
  readonly weights: Float64Array;
}

/**
 * The newest windows, and how far apart each two of them are. The distance is Hellinger's, squared,
 * the mean over layers: between square roots of shares, sampling noise is the same for hot experts
 * and cold ones, so a distance is comparable over experts, layers and time.
 */
export class WindowHistory {
  readonly #shape: LoadShape;
  readonly #windowsMax: number;
  /** Newest first. */
  #windows: HistoryWindow[] = [];
  /** Distances of each window to the ones before it, nearest in time first; newest window first. */
  #distances: Float64Array[] = [];

  constructor(shape: LoadShape, windowsMax: number) {
    this.#shape = shape;
    this.#windowsMax = windowsMax;
  }

  get size(): number {
    return this.#windows.length;
  }

  /** Newest first. */
  get windows(): readonly HistoryWindow[] {
    return this.#windows;
  }

  add(window: HistoryWindow): void {
    const distances = Float64Array.from(this.#windows, (other) => this.#distance(window, other));
    this.#windows = [window, ...this.#windows].slice(0, this.#windowsMax);
    this.#distances = [distances, ...this.#distances].slice(0, this.#windowsMax);
  }

  /** Between the windows of two ages, 0 the newest; ages below `size`. */
  distance(age: number, otherAge: number): number {
    if (age === otherAge) return 0;
    const newer = Math.min(age, otherAge);
    return this.#distances[newer]?.[Math.max(age, otherAge) - newer - 1] ?? 0;
  }

  #distance(a: HistoryWindow, b: HistoryWindow): number {
    let layers = 0;
    for (let layer = 0; layer < this.#shape.numLayers; layer += 1) {
      if ((a.weights[layer] ?? 0) > 0 && (b.weights[layer] ?? 0) > 0) layers += 1;
    }
    if (layers === 0) return DISTANCE_MAX;
    return Math.max(0, DISTANCE_MAX * (1 - dot(a.rootShares, b.rootShares) / layers));
  }
}

/** Of two windows that have no expert in common. */
const DISTANCE_MAX = 2;

/** Four sums side by side, which a processor adds at the same time. */
function dot(a: Float32Array, b: Float32Array): number {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  const whole = a.length - (a.length % 4);
  for (let index = 0; index < whole; index += 4) {
    first += (a[index] ?? 0) * (b[index] ?? 0);
    second += (a[index + 1] ?? 0) * (b[index + 1] ?? 0);
    third += (a[index + 2] ?? 0) * (b[index + 2] ?? 0);
    fourth += (a[index + 3] ?? 0) * (b[index + 3] ?? 0);
  }
  for (let index = whole; index < a.length; index += 1) first += (a[index] ?? 0) * (b[index] ?? 0);
  return first + second + third + fourth;
}
