/**
 * What real models' routers were seen to do. The generator's knobs are set so that its traces
 * show these figures; its tests measure them.
 */
export const MEASURED = {
  /** DeepSeek-V3/R1 on GPQA, 58 layers × 256 experts, top 8: spread of log load over a layer. */
  popularitySigma: 0.7,
  /** The same: hottest expert ÷ mean, over layers. */
  hottestOverMean: { p10: 3.9, median: 6.1, p90: 11 },
  /** DeepSeek-V2-Lite, 26 layers × 64 experts, top 6: correlation of loads between domains. */
  domainCorrelation: { least: 0.04, most: 0.23 },
  /** The same: correlation of a layer's loads from one step of 64 tokens to the next. */
  stepCorrelation64: { least: 0.46, most: 0.84 },
  /** The same, steps of 1,024 tokens. */
  stepCorrelation1024: { least: 0.89, most: 0.99 },
  /** The same: variance of an expert's load over steps of 64 tokens, in multinomial variances. */
  varianceRatio: { least: 1, most: 5.6 },
  /** The same: part of a token's experts that the token before it has too. */
  adjacentSharing: { least: 0.26, most: 0.43 },
  /** What adjacent sharing would be if tokens chose independently. */
  adjacentSharingByChance: { least: 0.09, most: 0.13 },
  /**
   * DeepSeek-V3/R1, whose router chooses among 8 groups of 32 experts: how often two of a
   * token's experts are of the same group and of different groups, against chance. With fewer
   * groups the same affinity shows less, as chance puts more pairs into one group.
   */
  groupSize: 32,
  withinGroupLift: 1.6,
  acrossGroupLift: 0.92,
} as const;

/** The knobs, fitted to the figures above. */
export const FITTED = {
  /** Standard deviation of a layer's log popularity, and its own spread over layers. */
  popularitySigma: 0.72,
  popularitySigmaSpread: 0.12,
  /** Correlation of log popularity from one domain to the next. */
  domainCorrelation: 0.12,
  /** Log popularity within a domain wanders by this much, and forgets at this rate a step. */
  driftSigma: 0.15,
  driftRetention: 0.98,
  /** A sequence's own taste: standard deviation of log popularity. */
  sequenceSigma: 0.3,
  /** A sequence has half to one and a half times this many tokens. */
  sequenceTokens: 128,
  /** Chance that a choice is one of the token before. */
  repeatChance: 0.2,
  /** Chance that a new choice is made within the token's home group. */
  homeGroupChance: 0.39,
} as const;
