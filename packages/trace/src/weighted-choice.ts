import type { Random } from './random.js';

const MAX_REJECTIONS = 16;

/** Draws of a layer's experts by weight, over all or within one group. */
export class WeightedChoice {
  readonly #numExperts: number;
  readonly #groupSize: number;
  /** Sum of the weights before each expert, and after the last of all, [experts + 1]. */
  readonly #sums: Float64Array;

  constructor(numExperts: number, groupSize: number) {
    this.#numExperts = numExperts;
    this.#groupSize = groupSize;
    this.#sums = new Float64Array(numExperts + 1);
  }

  /** @param weights [experts], above 0 */
  setWeights(weights: Float64Array): void {
    weights.forEach((weight, expert) => {
      this.#sums[expert + 1] = (this.#sums[expert] ?? 0) + weight;
    });
  }

  groupOf(expert: number): number {
    return Math.floor(expert / this.#groupSize);
  }

  draw(random: Random): number {
    return this.#drawBetween(random, 0, this.#numExperts);
  }

  drawInGroup(random: Random, group: number): number {
    const first = group * this.#groupSize;
    return this.#drawBetween(random, first, Math.min(first + this.#groupSize, this.#numExperts));
  }

  /** One that `isTaken` doesn't have; at least one such there must be. */
  drawFree(random: Random, isTaken: (expert: number) => boolean): number {
    for (let attempt = 0; attempt < MAX_REJECTIONS; attempt += 1) {
      const expert = this.draw(random);
      if (!isTaken(expert)) return expert;
    }
    return this.#drawAmongFree(random, isTaken);
  }

  #drawBetween(random: Random, first: number, end: number): number {
    const from = this.#sums[first] ?? 0;
    const at = from + random.next() * ((this.#sums[end] ?? 0) - from);
    let low = first;
    let high = end - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sums[middle + 1] ?? 0) > at) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #drawAmongFree(random: Random, isTaken: (expert: number) => boolean): number {
    const weight = (expert: number) => (this.#sums[expert + 1] ?? 0) - (this.#sums[expert] ?? 0);
    let total = 0;
    for (let expert = 0; expert < this.#numExperts; expert += 1) {
      if (!isTaken(expert)) total += weight(expert);
    }
    let left = random.next() * total;
    let last = -1;
    for (let expert = 0; expert < this.#numExperts; expert += 1) {
      if (isTaken(expert)) continue;
      last = expert;
      left -= weight(expert);
      if (left < 0) return expert;
    }
    return last;
  }
}
