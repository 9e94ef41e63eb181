import { economyRefusal } from './economy-refusal.js';

export interface InterferenceMeterOptions {
  /** Share that holds until enough has been observed. */
  readonly prior: number;
  /** Factor by which older observations count for less with every new one of their kind. @default 0.9 */
  readonly decay?: number;
  /** Observations of each kind from which the measured share holds. @default 4 */
  readonly observationsMin?: number;
}

export interface Interference {
  /** Share by which steps are slower while weights travel, 0 or more. */
  readonly share: number;
  readonly basis: 'configured' | 'measured';
  /** Observations so far while weights travelled, and while none did. */
  readonly transferring: number;
  readonly quiet: number;
}

/** Measures by how much steps are slower while weights travel. */
export class InterferenceMeter {
  readonly #options: Required<InterferenceMeterOptions>;
  readonly #transferring: DecayedMean;
  readonly #quiet: DecayedMean;

  /** @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID */
  constructor(options: InterferenceMeterOptions) {
    const { prior, decay = 0.9, observationsMin = 4 } = options;
    if (!(prior >= 0 && prior < Number.POSITIVE_INFINITY)) {
      throw economyRefusal('prior', 'must be finite, not negative');
    }
    if (!(decay > 0 && decay <= 1)) throw economyRefusal('decay', 'must be over 0, and 1 at most');
    if (!(observationsMin >= 1)) throw economyRefusal('observationsMin', 'must be 1 or more');
    this.#options = { prior, decay, observationsMin };
    this.#transferring = new DecayedMean(decay);
    this.#quiet = new DecayedMean(decay);
  }

  /**
   * @param slowness a step's time ÷ the time that its load alone explains, so that a change of load
   *   between the two kinds is not taken for interference
   * @throws EplbError ISOBAR_EPLB_ECONOMY_INVALID
   */
  add(slowness: number, transferring: boolean): void {
    if (!(slowness > 0 && slowness < Number.POSITIVE_INFINITY)) {
      throw economyRefusal('slowness', `is ${slowness}: it must be positive`);
    }
    (transferring ? this.#transferring : this.#quiet).add(slowness);
  }

  get interference(): Interference {
    const { prior, observationsMin } = this.#options;
    const transferring = this.#transferring.observations;
    const quiet = this.#quiet.observations;
    if (Math.min(transferring, quiet) < observationsMin) {
      return { share: prior, basis: 'configured', transferring, quiet };
    }
    const share = Math.max(0, this.#transferring.mean / this.#quiet.mean - 1);
    return { share, basis: 'measured', transferring, quiet };
  }
}

class DecayedMean {
  readonly #decay: number;
  #weight = 0;
  mean = 0;
  observations = 0;

  constructor(decay: number) {
    this.#decay = decay;
  }

  add(value: number): void {
    this.#weight = this.#weight * this.#decay + 1;
    this.mean += (value - this.mean) / this.#weight;
    this.observations += 1;
  }
}
