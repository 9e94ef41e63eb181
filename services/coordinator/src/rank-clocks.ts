/** Reports of a rank that its clock is judged by. */
const reportsKept = 16;

/**
 * How far the clocks of ranks are from this machine's. A report's time on its way makes a clock look
 * behind: of the newest reports the least delayed counts.
 */
export class RankClocks {
  readonly #skewsMs = new Map<number, readonly number[]>();

  /**
   * @param atMs when it was sent, by the rank's clock; undefined of agents that tell none
   * @param heardAtMs by this machine's clock, of the same kind
   */
  hear(rank: number, atMs: number | undefined, heardAtMs: number): void {
    if (atMs === undefined) return;
    const before = this.#skewsMs.get(rank) ?? [];
    this.#skewsMs.set(rank, [...before, atMs - heardAtMs].slice(-reportsKept));
  }

  /** Rank's minus own, milliseconds; null where it tells none. */
  skewMs(rank: number): number | null {
    const skewsMs = this.#skewsMs.get(rank);
    return skewsMs === undefined ? null : Math.max(...skewsMs);
  }
}
