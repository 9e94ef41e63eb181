import { balancedness } from '@isobar/eplb';
import type { Comparison, RankResults } from '@isobar/reference-engine';
import type { DemoOptions } from './demo-options.js';

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** One rebalance that was applied: how many waves, and the version of its last. */
export interface AppliedRebalance {
  readonly version: number;
  readonly waves: number;
}

/** `isobar demo --json`. */
export interface DemoReport {
  readonly ranks: number;
  readonly nodes: number;
  readonly slots: number;
  readonly activation: string;
  readonly trace: string;
  readonly seed: number;
  /** Engine steps; each serves one step of the trace. */
  readonly steps: number;
  /** Positions. */
  readonly tokens: number;
  /** Results, each one token × expert × layer. */
  readonly tokensLost: number;
  readonly tokensMisrouted: number;
  readonly tokensChanged: number;
  readonly rebalances: number;
  readonly wavesByRebalance: readonly number[];
  readonly swapsCommitted: number;
  readonly swapsVoided: number;
  /** Over sums of 8 steps, from tokens really served; null where there was no such window. */
  readonly balancednessBefore: number | null;
  readonly balancednessAfter: number | null;
  readonly movedExperts: number;
  readonly movedBytes: number;
  /** Paced: a layer takes at least a stated time per token of its busiest rank. */
  readonly stepMillis: Quantiles;
  readonly stepMillisDuringSwap: Quantiles | null;
  /** An engine's thread held up by swap work, per swap and rank. */
  readonly blockedMillis: { readonly p50: number; readonly max: number } | null;
  /** The longest single moment of it. */
  readonly longestBlockMillis: number | null;
  readonly mappingVersion: number;
  readonly mappingVersionByRank: readonly number[];
}

export interface DemoFacts {
  readonly options: DemoOptions;
  readonly results: readonly RankResults[];
  readonly comparison: Comparison;
  readonly rebalances: readonly AppliedRebalance[];
  readonly swapsCommitted: number;
  readonly swapsVoided: number;
}

/** Trace steps of one window of balancedness. */
const windowSteps = 8;
/** Version of the engines' start mapping, once it is written down: no placement has changed. */
const firstVersion = 1;

/** What a run has shown, from what the ranks wrote down. */
export function reportOf(facts: DemoFacts): DemoReport {
  const { options, results, comparison, rebalances } = facts;
  const steps = Math.min(...results.map((rank) => rank.steps.length));
  const swaps = results.flatMap((rank) => rank.swaps).filter((swap) => swap.version > firstVersion);
  const committed = swaps.filter((swap) => swap.outcome === 'committed');
  const stepMillis = Array.from({ length: steps }, (_, step) => slowest(results, step));
  const duringSwap = stepMillis.filter((_, step) =>
    results.some((rank) => rank.steps[step]?.swapOpen && rank.steps[step].step > 0),
  );
  const blocked = swaps.map((swap) => swap.blockedMillis);
  const byRank = results.map((rank) => rank.steps.at(-1)?.mappingVersion ?? -1);
  const [first] = rebalances;
  return {
    ranks: options.ranks,
    nodes: options.nodes,
    slots: options.slots,
    activation: options.activation,
    trace: options.trace ?? 'generated',
    seed: options.seed,
    steps,
    ...comparison,
    rebalances: rebalances.length,
    wavesByRebalance: rebalances.map(({ waves }) => waves),
    swapsCommitted: facts.swapsCommitted,
    swapsVoided: facts.swapsVoided,
    balancednessBefore: meanOfWindows(results, 0, firstStepOf(results, firstVersion + 1, 'some')),
    balancednessAfter:
      first === undefined
        ? null
        : meanOfWindows(results, firstStepOf(results, first.version, 'every'), steps),
    movedExperts: committed.reduce((sum, swap) => sum + swap.stagedExperts, 0),
    movedBytes: committed.reduce((sum, swap) => sum + swap.stagedBytes, 0),
    stepMillis: quantiles(stepMillis),
    stepMillisDuringSwap: duringSwap.length === 0 ? null : quantiles(duringSwap),
    blockedMillis:
      blocked.length === 0 ? null : { p50: quantile(blocked, 0.5), max: Math.max(...blocked) },
    longestBlockMillis:
      swaps.length === 0 ? null : Math.max(...swaps.map((swap) => swap.longestBlockMillis)),
    mappingVersion: Math.max(...byRank),
    mappingVersionByRank: byRank,
  };
}

/** Only then does a demo count as passed. */
export function isClean(report: DemoReport): boolean {
  const { tokensLost, tokensMisrouted, tokensChanged, mappingVersionByRank } = report;
  const oneVersion = new Set(mappingVersionByRank).size === 1;
  return tokensLost === 0 && tokensMisrouted === 0 && tokensChanged === 0 && oneVersion;
}

function slowest(results: readonly RankResults[], step: number): number {
  return Math.max(...results.map((rank) => rank.steps[step]?.stepMillis ?? 0));
}

/** First step in which some, or every, rank routed by `version` or a later one. */
function firstStepOf(
  results: readonly RankResults[],
  version: number,
  which: 'some' | 'every',
): number {
  const firsts = results.map((rank) => {
    const at = rank.steps.findIndex((step) => step.mappingVersion >= version);
    return at < 0 ? rank.steps.length : at;
  });
  return which === 'some' ? Math.min(...firsts) : Math.max(...firsts);
}

/** Mean balancedness of the whole windows from `first` to before `end`. */
function meanOfWindows(results: readonly RankResults[], first: number, end: number): number | null {
  const numRanks = results.length;
  const numLayers = results[0]?.numLayers ?? 0;
  const windows: number[] = [];
  for (let start = first; start + windowSteps <= end; start += windowSteps) {
    const rankLoads = new Float64Array(numLayers * numRanks);
    for (const { rank, steps } of results) {
      for (const { served } of steps.slice(start, start + windowSteps)) {
        served.forEach((tokens, layer) => {
          const at = layer * numRanks + rank;
          rankLoads[at] = (rankLoads[at] ?? 0) + tokens;
        });
      }
    }
    windows.push(balancedness(rankLoads, numLayers, numRanks));
  }
  if (windows.length === 0) return null;
  return windows.reduce((sum, value) => sum + value, 0) / windows.length;
}

function quantiles(values: readonly number[]): Quantiles {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
}

/** Nearest rank. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
