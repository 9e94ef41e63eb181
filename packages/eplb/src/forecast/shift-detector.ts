/** Jumps that a shift is told from. */
const JUMPS_MAX = 32;
/** Jumps to be seen before a shift can be told. */
const JUMPS_MIN = 3;
/** A shift's squared distance in usual ones: twice as far as windows usually are apart. */
const SHIFT_RATIO = 4;

/**
 * Tells a sudden shift of domain by the distance of two successive windows, against the median of
 * such distances. A distance is the mean over all layers: a shift hits all of them at once, while
 * the noise of layers averages out. Where windows differ by a domain most of the time, none is a
 * shift.
 */
export class ShiftDetector {
  #jumps: number[] = [];

  /** @returns whether this jump from one window to the next, a squared distance, is a shift */
  add(jump: number): boolean {
    const isShift = this.#jumps.length >= JUMPS_MIN && jump > SHIFT_RATIO * median(this.#jumps);
    this.#jumps = [...this.#jumps, jump].slice(-JUMPS_MAX);
    return isShift;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
