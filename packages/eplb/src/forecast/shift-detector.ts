/** Errors that a shift is told from. */
const ERRORS_MAX = 32;
/** Errors to be seen before a shift can be told. */
const ERRORS_MIN = 3;
/** Standard deviations above the usual error at which a window is of another kind. */
const DEVIATIONS = 4;
/** The least factor above the usual error. */
const FACTOR_MIN = 1.5;
/** Standard deviations of a normal variable by its median absolute deviation. */
const DEVIATION_PER_MAD = 1.4826;

/**
 * Tells a window that is far from what was forecast, against the median and the median absolute
 * deviation of the logarithms of errors before it. One error is the mean over all layers: a shift
 * of domain hits all of them at once, while noise averages out.
 */
export class ShiftDetector {
  #errors: number[] = [];

  /** @returns whether this error, one window ahead and above 0, is a shift's */
  add(error: number): boolean {
    const logarithm = Math.log(Math.max(error, Number.MIN_VALUE));
    const isShift = this.#errors.length >= ERRORS_MIN && logarithm > this.#limit();
    this.#errors = [...this.#errors, logarithm].slice(-ERRORS_MAX);
    return isShift;
  }

  #limit(): number {
    const usual = median(this.#errors);
    const spread = DEVIATION_PER_MAD * median(this.#errors.map((error) => Math.abs(error - usual)));
    return usual + Math.max(DEVIATIONS * spread, Math.log(FACTOR_MIN));
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
