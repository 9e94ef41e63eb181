/** Whole numbers that look random: the same seed gives the same ones. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /**
   * A whole number of 0 … limit − 1. Source: the finalizer of MurmurHash3 over a Weyl sequence,
   * known as splitmix32.
   */
  below(limit: number): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let bits = this.#state ^ (this.#state >>> 16);
    bits = Math.imul(bits, 0x21f0aaad);
    bits ^= bits >>> 15;
    bits = Math.imul(bits, 0x735a2d97);
    bits ^= bits >>> 15;
    return Math.floor(((bits >>> 0) / 2 ** 32) * limit);
  }
}
