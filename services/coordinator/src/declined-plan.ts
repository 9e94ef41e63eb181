/** Share of all loads that must be elsewhere before another plan is proposed, at least. */
const changedShareMin = 0.1;

/** A plan that an operator has refused, by what it was made for. */
export class DeclinedPlan {
  readonly #loads: Float64Array;
  readonly #changedShare: number;
  readonly #untilMs: number;

  /**
   * @param loads of the window when it was refused, [layers × experts]
   * @param relativeError of the plan's forecast: by so much loads differ although nothing has changed
   */
  constructor(loads: Float64Array, relativeError: number, untilMs: number) {
    this.#loads = loads.slice();
    this.#changedShare = Math.max(changedShareMin, relativeError);
    this.#untilMs = untilMs;
  }

  /** Whether it still stands: loads are much as they were, and the time is not over. */
  holds(loads: Float64Array, nowMs: number): boolean {
    return nowMs < this.#untilMs && differenceOf(this.#loads, loads) < this.#changedShare;
  }
}

/** Σ |difference| of the shares of both, halved: 0 is the same, 1 has nothing in common. */
function differenceOf(before: Float64Array, after: Float64Array): number {
  if (before.length !== after.length) return 1;
  const sum = (loads: Float64Array) => loads.reduce((total, load) => total + load, 0);
  const [all, allAfter] = [sum(before), sum(after)];
  if (all === 0 || allAfter === 0) return all === allAfter ? 0 : 1;
  let difference = 0;
  for (const [index, load] of before.entries()) {
    difference += Math.abs(load / all - (after[index] ?? 0) / allAfter);
  }
  return difference / 2;
}
