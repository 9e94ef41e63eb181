/** Between two probes of one prober. */
export const probeIntervalMs = 150;

/**
 * Pauses between two acknowledged writes up to this long are the probers' own pace, and that of a
 * busy machine.
 */
const paceMs = 500;

/** When writes to the records' stream were acknowledged, on `performance`'s clock. */
export class Acknowledgements {
  readonly #atMs: number[] = [];

  add(atMs: number): void {
    this.#atMs.push(atMs);
  }

  /** Time between `fromMs` and `toMs` in which no write to the stream was acknowledged. */
  stalledMs(fromMs: number, toMs: number): number {
    let stalled = 0;
    let last = Number.NEGATIVE_INFINITY;
    for (const atMs of [...this.#atMs, toMs]) {
      if (atMs - last > paceMs) {
        stalled += Math.max(0, Math.min(atMs, toMs) - Math.max(last, fromMs));
      }
      last = Math.max(last, atMs);
    }
    return stalled;
  }
}
