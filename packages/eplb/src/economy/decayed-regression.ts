/** A straight line through observations, and whether its slope can be told from noise. */
export interface SlopeEstimate {
  readonly fixedSeconds: number;
  readonly perTokenSeconds: number;
  /** Of `perTokenSeconds`; Infinity where the observations don't determine it. */
  readonly standardError: number;
  /** Effective number: what decayed counts for less (Kish's (Σ weights)² ÷ Σ weights²). */
  readonly observations: number;
  /** The slope is above 0 by a one-sided t-test at the 1 % level. */
  readonly significant: boolean;
}

/** Fewest degrees of freedom from which a slope is judged. */
const degreesMin = 6;
/**
 * 99th percentile of Student's t with `degreesMin` degrees of freedom: the level of the test is 1 %
 * at the fewest observations, and stricter, down to 0.1 %, with more.
 */
export const slopeDeviationsMin = 3.143;

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

  /** Centred sums on the scale of the effective number of observations. */
  get centredSums(): { tokensTokens: number; tokensSeconds: number; secondsSeconds: number } {
    const scale = this.#weightSquares > 0 ? this.#weight / this.#weightSquares : 0;
    return {
      tokensTokens: this.#tokensTokens * scale,
      tokensSeconds: this.#tokensSeconds * scale,
      secondsSeconds: this.#secondsSeconds * scale,
    };
  }
}

/**
 * One slope common to all groups, each with an intercept of its own (analysis of covariance); of a
 * single group, plain least squares. `fixedSeconds` is the mean over groups.
 */
export function fitCommonSlope(groups: readonly DecayedRegression[]): SlopeEstimate {
  let tokensTokens = 0;
  let tokensSeconds = 0;
  let secondsSeconds = 0;
  let observations = 0;
  const observed = groups.filter((group) => group.observations > 0);
  for (const group of observed) {
    const sums = group.centredSums;
    tokensTokens += sums.tokensTokens;
    tokensSeconds += sums.tokensSeconds;
    secondsSeconds += sums.secondsSeconds;
    observations += group.observations;
  }
  const perTokenSeconds = tokensTokens > 0 ? tokensSeconds / tokensTokens : 0;
  const degrees = observations - observed.length - 1;
  const residuals = Math.max(0, secondsSeconds - perTokenSeconds * tokensSeconds);
  const standardError =
    tokensTokens > 0 && degrees > 0
      ? Math.sqrt(residuals / degrees / tokensTokens)
      : Number.POSITIVE_INFINITY;
  const fixed = observed.reduce((sum, group) => sum + group.secondsAt(0, perTokenSeconds), 0);
  return {
    fixedSeconds: observed.length === 0 ? 0 : fixed / observed.length,
    perTokenSeconds,
    standardError,
    observations,
    significant:
      degrees >= degreesMin &&
      perTokenSeconds > 0 &&
      perTokenSeconds > slopeDeviationsMin * standardError,
  };
}
