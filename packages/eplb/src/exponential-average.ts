/**
 * Forecasts the next window as the exponential average of the windows so far: each window's
 * weight is `weight`, and what came before fades by 1 − weight.
 */
export class ExponentialAverage {
  readonly #weight: number;
  #average: Float64Array | null = null;

  constructor(weight: number) {
    this.#weight = weight;
  }

  add(window: Float64Array): void {
    const average = this.#average;
    if (average === null) {
      this.#average = window.slice();
      return;
    }
    window.forEach((load, index) => {
      average[index] = (average[index] ?? 0) * (1 - this.#weight) + load * this.#weight;
    });
  }

  /** The forecast; null before the first window. */
  get forecast(): Float64Array | null {
    return this.#average;
  }
}
