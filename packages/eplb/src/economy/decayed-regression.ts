export interface RegressionSums {
  readonly tokensTokens: number;
  readonly tokensSeconds: number;
  readonly secondsSeconds: number;
}

/**
 * Sufficient statistics of a least-squares line, in bounded memory. Means and centred sums are
 * updated, never raw squares (Welford 1962; West 1979 for weights): with 10⁵ tokens and 10⁻⁴ s the
 * difference of raw sums would be mostly rounding.
 */
export class DecayedRegression {
  #weight = 0;
  #weightSquares = 0;
  #meanTokens = 0;
  #meanSeconds = 0;
  #tokensTokens = 0;
  #tokensSeconds = 0;
  #secondsSeconds = 0;

  add(tokens: number, seconds: number): void {
    this.#weight += 1;
    this.#weightSquares += 1;
    const tokensOff = tokens - this.#meanTokens;
    const secondsOff = seconds - this.#meanSeconds;
    this.#meanTokens += tokensOff / this.#weight;
    this.#meanSeconds += secondsOff / this.#weight;
    const tokensOffNow = tokens - this.#meanTokens;
    this.#tokensTokens += tokensOff * tokensOffNow;
    this.#tokensSeconds += secondsOff * tokensOffNow;
    this.#secondsSeconds += secondsOff * (seconds - this.#meanSeconds);
  }

  /** What has been seen counts for less by `factor`. */
  decay(factor: number): void {
    this.#weight *= factor;
    this.#weightSquares *= factor * factor;
    this.#tokensTokens *= factor;
    this.#tokensSeconds *= factor;
    this.#secondsSeconds *= factor;
  }

  /** Effective number of observations. */
  get observations(): number {
    return this.#weightSquares > 0 ? (this.#weight * this.#weight) / this.#weightSquares : 0;
  }

  /** Time for so many tokens on a line of this slope through the means. */
  secondsAt(tokens: number, perTokenSeconds: number): number {
    return this.#meanSeconds + perTokenSeconds * (tokens - this.#meanTokens);
  }

  /** Effective observations for each unit of weight. */
  get scale(): number {
    return this.#weightSquares > 0 ? this.#weight / this.#weightSquares : 0;
  }

  /** Weighted sums of squares and products about the means. */
  get sums(): RegressionSums {
    return {
      tokensTokens: this.#tokensTokens,
      tokensSeconds: this.#tokensSeconds,
      secondsSeconds: this.#secondsSeconds,
    };
  }

  /** The same about the means of another regression. */
  sumsAbout(centre: DecayedRegression): RegressionSums {
    const tokens = this.#meanTokens - centre.#meanTokens;
    const seconds = this.#meanSeconds - centre.#meanSeconds;
    return {
      tokensTokens: this.#tokensTokens + this.#weight * tokens * tokens,
      tokensSeconds: this.#tokensSeconds + this.#weight * tokens * seconds,
      secondsSeconds: this.#secondsSeconds + this.#weight * seconds * seconds,
    };
  }
}
