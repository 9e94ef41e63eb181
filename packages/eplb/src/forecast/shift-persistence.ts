/** The part of a shift that lasts to the next window, as believed before any was seen. */
const PRIOR_PERSISTENCE = 2 / 3;
/** Shifts that the belief is worth. */
const PRIOR_SHIFTS = 0.5;

/**
 * Learns how much of a sudden shift is still there a window later: all of it where domains change,
 * nothing where the odd window was a burst. It is the slope of a regression through the origin.
 */
export class ShiftPersistence {
  #lasting = 0;
  #shifted = 0;

  /**
   * Takes in what came after a shift, as shares of the same length.
   * @param usual what was expected, had there been no shift
   * @param state the state that the shift led to
   * @param shares that came
   */
  add(usual: Float64Array, state: Float64Array, shares: Float64Array): void {
    let lasting = 0;
    let shifted = 0;
    for (let index = 0; index < shares.length; index += 1) {
      const shift = (state[index] ?? 0) - (usual[index] ?? 0);
      lasting += shift * ((shares[index] ?? 0) - (usual[index] ?? 0));
      shifted += shift * shift;
    }
    this.#lasting += lasting;
    this.#shifted += shifted;
  }

  /** Part of the way from the usual forecast to the new state, 0 to 1. */
  persistence(usual: Float64Array, state: Float64Array): number {
    let prior = 0;
    for (let index = 0; index < usual.length; index += 1) {
      prior += ((state[index] ?? 0) - (usual[index] ?? 0)) ** 2;
    }
    prior *= PRIOR_SHIFTS;
    if (prior === 0) return PRIOR_PERSISTENCE;
    const part = (this.#lasting + PRIOR_PERSISTENCE * prior) / (this.#shifted + prior);
    return Math.min(1, Math.max(0, part));
  }
}
