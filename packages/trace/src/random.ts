import { TraceError } from './trace-error.js';

/** A deterministic source of random numbers. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1), a multiple of 2^−32. */
  next(): number;
  /** Uniform in 0 … n − 1, n up to 2^32. */
  integer(n: number): number;
  /** Mean 0, variance 1. */
  normal(): number;
  /** Gamma of this shape (above 0) and scale 1: its mean and its variance are the shape. */
  gamma(shape: number): number;
}

/**
 * Random numbers (sfc32) that are the same for a seed on every machine.
 * @param seed a safe integer
 * @throws TraceError ISOBAR_TRACE_INVALID
 */
export function createRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed)) {
    throw new TraceError('ISOBAR_TRACE_INVALID', `seed: must be a safe integer, not ${seed}`, {
      field: 'seed',
    });
  }
  return new Sfc32(seed);
}

/** Chris Doty-Humphrey's small fast counting generator, 128 bits of state. */
class Sfc32 implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  #spareNormal: number | undefined;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = 0;
    // PractRand's own warm-up: seeds that differ in one bit are unrelated after 12 rounds.
    for (let round = 0; round < 12; round += 1) this.#bits();
  }

  #bits(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  next(): number {
    return this.#bits() / 2 ** 32;
  }

  integer(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** Marsaglia's polar method. */
  normal(): number {
    const spare = this.#spareNormal;
    if (spare !== undefined) {
      this.#spareNormal = undefined;
      return spare;
    }
    for (;;) {
      const x = 2 * this.next() - 1;
      const y = 2 * this.next() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(square)) / square);
      this.#spareNormal = y * scale;
      return x * scale;
    }
  }

  /** Marsaglia and Tsang's method; a shape below 1 is a larger one's, raised to a power. */
  gamma(shape: number): number {
    if (!(shape > 0 && shape < Number.POSITIVE_INFINITY)) {
      throw new TraceError('ISOBAR_TRACE_INVALID', `shape: must be above 0, not ${shape}`, {
        field: 'shape',
      });
    }
    if (shape < 1) return this.gamma(shape + 1) * (1 - this.next()) ** (1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v <= 0) continue;
      if (Math.log(1 - this.next()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
    }
  }
}
