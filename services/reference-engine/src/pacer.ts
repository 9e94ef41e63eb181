import { setTimeout as delay } from 'node:timers/promises';

/** Time lent to later layers at most, so that one late timer does not hide a whole layer. */
const creditMillisMax = 2;

/**
 * Makes a layer last at least a stated time per token that the rank serves: a machine with fewer
 * cores than ranks would otherwise not show that the busiest rank sets the pace. Timers resolve
 * 1 ms and fire late; what one overslept is taken off the next.
 */
export class Pacer {
  readonly #millisPerToken: number;
  #creditMillis = 0;

  constructor(millisPerToken: number) {
    this.#millisPerToken = millisPerToken;
  }

  /** @param sinceMillis when the layer's work began, on `performance`'s clock */
  async hold(tokens: number, sinceMillis: number): Promise<void> {
    const until = sinceMillis + tokens * this.#millisPerToken - this.#creditMillis;
    const waitMillis = Math.round(until - performance.now());
    if (waitMillis >= 1) await delay(waitMillis);
    const late = performance.now() - until;
    this.#creditMillis = Math.min(creditMillisMax, Math.max(0, late));
  }
}
