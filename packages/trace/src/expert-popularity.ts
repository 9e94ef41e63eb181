import { FITTED } from './generator-figures.js';
import type { Random } from './random.js';

/** How sought each expert of each layer is: by domain, drifting by step, and by sequence. */
export class ExpertPopularity {
  readonly #random: Random;
  readonly #numExperts: number;
  /** Standard deviation of log popularity, [layers]. */
  readonly #sigmas: Float64Array;
  /** Standard normal, each [layers × experts]. */
  readonly #domain: Float64Array;
  readonly #drift: Float64Array;
  readonly #sequence: Float64Array;

  constructor(random: Random, numLayers: number, numExperts: number) {
    this.#random = random;
    this.#numExperts = numExperts;
    this.#sigmas = Float64Array.from({ length: numLayers }, () =>
      Math.max(0, FITTED.popularitySigma + FITTED.popularitySigmaSpread * random.normal()),
    );
    const normals = () =>
      Float64Array.from({ length: numLayers * numExperts }, () => random.normal());
    this.#domain = normals();
    this.#drift = normals();
    this.#sequence = normals();
  }

  changeDomain(): void {
    this.#mix(this.#domain, FITTED.domainCorrelation);
  }

  drift(): void {
    this.#mix(this.#drift, FITTED.driftRetention);
  }

  changeSequence(): void {
    this.#mix(this.#sequence, 0);
  }

  /** Keeps the values standard normal: so much of the old, the rest new. */
  #mix(values: Float64Array, retention: number): void {
    const fresh = Math.sqrt(1 - retention ** 2);
    for (let index = 0; index < values.length; index += 1) {
      values[index] = (values[index] ?? 0) * retention + this.#random.normal() * fresh;
    }
  }

  /** Relative chance of each expert of a layer, [experts]. */
  weights(layer: number): Float64Array {
    const sigma = this.#sigmas[layer] ?? 0;
    const start = layer * this.#numExperts;
    return this.#domain.slice(start, start + this.#numExperts).map((value, expert) => {
      const drift = FITTED.driftSigma * (this.#drift[start + expert] ?? 0);
      const sequence = FITTED.sequenceSigma * (this.#sequence[start + expert] ?? 0);
      return Math.exp(sigma * value + drift + sequence);
    });
  }
}
