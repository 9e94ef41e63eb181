import type { SwapResult } from './results-file.js';

interface Work {
  stagedExperts: number;
  stagedBytes: number;
  blockedMillis: number;
  longestBlockMillis: number;
  activatedStep: number;
}

/** Times every moment in which swap work holds the engine's thread, by version. */
export class SwapWork {
  readonly #open = new Map<number, Work>();
  readonly #results: SwapResult[] = [];

  /** Runs a piece of swap work on the engine's thread and times it. */
  measure<T>(version: number, act: () => T): T {
    const startedMs = performance.now();
    try {
      return act();
    } finally {
      const millis = performance.now() - startedMs;
      const work = this.#workOf(version);
      work.blockedMillis += millis;
      work.longestBlockMillis = Math.max(work.longestBlockMillis, millis);
    }
  }

  staged(version: number, bytes: number): void {
    const work = this.#workOf(version);
    work.stagedExperts += 1;
    work.stagedBytes += bytes;
  }

  #workOf(version: number): Work {
    let work = this.#open.get(version);
    if (work === undefined) {
      work = {
        stagedExperts: 0,
        stagedBytes: 0,
        blockedMillis: 0,
        longestBlockMillis: 0,
        activatedStep: -1,
      };
      this.#open.set(version, work);
    }
    return work;
  }

  /** @param step the first routed by the version */
  activated(version: number, step: number): void {
    this.#workOf(version).activatedStep = step;
  }

  ended(version: number, outcome: SwapResult['outcome']): void {
    const work = this.#workOf(version);
    this.#open.delete(version);
    this.#results.push({ version, outcome, ...work });
  }

  /** Of every version that was followed or given up, the one not yet retired included. */
  results(): SwapResult[] {
    const followed = [...this.#open].filter(([, work]) => work.activatedStep >= 0);
    return [
      ...this.#results,
      ...followed.map(([version, work]) => ({ version, outcome: 'committed' as const, ...work })),
    ];
  }
}
