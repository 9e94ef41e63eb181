import { DecayedRegression } from './decayed-regression.js';

/** A straight line through observations, and whether its slope can be told from noise. */
export interface SlopeEstimate {
  readonly fixedSeconds: number;
  readonly perTokenSeconds: number;
  /**
   * Of `perTokenSeconds`: the larger of that of independent observations and that of ranks which
   * differ lastingly; Infinity where the observations don't determine it.
   */
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
/** Fewest ranks by whose differences a slope is judged: of fewer there is no telling. */
const ranksMin = 4;
/** 99th percentile of Student's t with `ranksMin` − 2 and more degrees of freedom. */
const rankDeviationsMin = [6.965, 4.541, 3.747, 3.365] as const;

/** Observations that share an intercept: of one layer, or of whole steps. */
export class SlopeGroup {
  readonly all = new DecayedRegression();
  readonly byRank = new Map<number, DecayedRegression>();

  add(tokens: number, seconds: number, rank?: number): void {
    this.all.add(tokens, seconds);
    if (rank === undefined) return;
    let own = this.byRank.get(rank);
    if (own === undefined) {
      own = new DecayedRegression();
      this.byRank.set(rank, own);
    }
    own.add(tokens, seconds);
  }

  decay(factor: number): void {
    this.all.decay(factor);
    for (const own of this.byRank.values()) own.decay(factor);
  }
}

/**
 * One slope common to all groups, each with an intercept of its own (analysis of covariance); of a
 * single group, plain least squares. `fixedSeconds` is the mean over groups. The slope must stand
 * out from the scatter of single observations, and from the differences between ranks: one that is
 * lastingly slower than others, in all layers, repeats the same chance in every pass.
 */
export function fitCommonSlope(groups: readonly SlopeGroup[]): SlopeEstimate {
  const observed = groups.filter(({ all }) => all.observations > 0);
  let tokensTokens = 0;
  let tokensSeconds = 0;
  let secondsSeconds = 0;
  let observations = 0;
  for (const { all } of observed) {
    const { sums, scale } = all;
    tokensTokens += sums.tokensTokens * scale;
    tokensSeconds += sums.tokensSeconds * scale;
    secondsSeconds += sums.secondsSeconds * scale;
    observations += all.observations;
  }
  const perTokenSeconds = tokensTokens > 0 ? tokensSeconds / tokensTokens : 0;
  const degrees = observations - observed.length - 1;
  const residuals = Math.max(0, secondsSeconds - perTokenSeconds * tokensSeconds);
  const scatterError =
    tokensTokens > 0 && degrees > 0
      ? Math.sqrt(residuals / degrees / tokensTokens)
      : Number.POSITIVE_INFINITY;
  const byRank = rankDifferences(observed, perTokenSeconds, tokensTokens);
  const fixed = observed.reduce((sum, { all }) => sum + all.secondsAt(0, perTokenSeconds), 0);
  return {
    fixedSeconds: fixed / Math.max(1, observed.length),
    perTokenSeconds,
    standardError: Math.max(scatterError, byRank.standardError),
    observations,
    significant:
      degrees >= degreesMin &&
      perTokenSeconds > 0 &&
      perTokenSeconds > slopeDeviationsMin * scatterError &&
      perTokenSeconds > byRank.deviationsMin * byRank.standardError,
  };
}

/**
 * Standard error of a slope whose errors may be alike within a rank (Liang & Zeger 1986, with the
 * factor ranks ÷ (ranks − 2) for few of them), and by how many it must be above 0: as if the means
 * of the ranks were all that had been observed.
 */
function rankDifferences(
  groups: readonly SlopeGroup[],
  perTokenSeconds: number,
  tokensTokens: number,
): { readonly standardError: number; readonly deviationsMin: number } {
  const pulls = new Map<number, number>();
  for (const { all, byRank } of groups) {
    for (const [rank, own] of byRank) {
      const sums = own.sumsAbout(all);
      const pull = (sums.tokensSeconds - perTokenSeconds * sums.tokensTokens) * all.scale;
      pulls.set(rank, (pulls.get(rank) ?? 0) + pull);
    }
  }
  const ranks = pulls.size;
  if (ranks < ranksMin || tokensTokens === 0) return { standardError: 0, deviationsMin: 0 };
  let squares = 0;
  for (const pull of pulls.values()) squares += pull * pull;
  return {
    standardError: Math.sqrt((squares * ranks) / (ranks - 2)) / tokensTokens,
    deviationsMin: rankDeviationsMin[ranks - ranksMin] ?? slopeDeviationsMin,
  };
}
