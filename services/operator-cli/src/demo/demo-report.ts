import { balancedness } from '@isobar/eplb';
import type { Comparison, RankResults, StepResult } from '@isobar/reference-engine';
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
  /** Of these, in steps in which every rank was connected. */
  readonly tokensLostUnmasked: number;
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
  /** Of the ranks that served to the end. */
  readonly mappingVersionByRank: readonly number[];
}

export interface DemoFacts {
  readonly options: DemoOptions;
  /** Of every incarnation of every rank. */
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
  const run = stepsOf(results);
  const ends = results.flatMap(({ end }) => end ?? []);
  const swaps = ends.flatMap((end) => end.swaps).filter((swap) => swap.version > firstVersion);
  const committed = swaps.filter((swap) => swap.outcome === 'committed');
  const stepMillis = [...run.values()].map(slowest);
  const duringSwap = [...run]
    .filter(([number, ranks]) => number > 0 && ranks.some(({ step }) => step.swapOpen))
    .map(([, ranks]) => slowest(ranks));
  const blocked = swaps.map((swap) => swap.blockedMillis);
  const byRank = results.flatMap(({ end, steps }) =>
    end?.standing === 'serving' ? [steps.at(-1)?.mappingVersion ?? -1] : [],
  );
  const [first] = rebalances;
  return {
    ranks: options.ranks,
    nodes: options.nodes,
    slots: options.slots,
    activation: options.activation,
    trace: options.trace ?? 'generated',
    seed: options.seed,
    steps: run.size,
    ...comparison,
    rebalances: rebalances.length,
    wavesByRebalance: rebalances.map(({ waves }) => waves),
    swapsCommitted: facts.swapsCommitted,
    swapsVoided: facts.swapsVoided,
    balancednessBefore: meanOfWindows(run, 0, firstStepOf(run, firstVersion + 1, 'some')),
    balancednessAfter:
      first === undefined
        ? null
        : meanOfWindows(run, firstStepOf(run, first.version, 'every'), endOf(run)),
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

/** What each rank did in a step. */
interface RankStep {
  readonly shape: Omit<RankResults, 'steps'>;
  readonly step: StepResult;
}

/** By the number of the step, ascending. */
type Run = ReadonlyMap<number, readonly RankStep[]>;

function stepsOf(results: readonly RankResults[]): Run {
  const run = new Map<number, RankStep[]>();
  for (const { steps, ...shape } of results) {
    for (const step of steps) {
      const ranks = run.get(step.step) ?? [];
      ranks.push({ shape, step });
      run.set(step.step, ranks);
    }
  }
  return new Map([...run].sort(([left], [right]) => left - right));
}

function endOf(run: Run): number {
  return Math.max(-1, ...run.keys()) + 1;
}

function slowest(ranks: readonly RankStep[]): number {
  return Math.max(...ranks.map(({ step }) => step.stepMillis));
}

/** First step in which some, or every, rank routed by `version` or a later one. */
function firstStepOf(run: Run, version: number, which: 'some' | 'every'): number {
  const follows = ({ step }: RankStep) => step.mappingVersion >= version;
  const found = [...run].find(([, ranks]) =>
    which === 'some' ? ranks.some(follows) : ranks.every(follows),
  );
  return found?.[0] ?? endOf(run);
}

/** Mean balancedness of the whole windows from `first` to before `end`. */
function meanOfWindows(run: Run, first: number, end: number): number | null {
  const windows: number[] = [];
  for (let start = first; start + windowSteps <= end; start += windowSteps) {
    const ranks = Array.from({ length: windowSteps }, (_, at) => run.get(start + at) ?? []).flat();
    const [served] = ranks;
    if (served === undefined) continue;
    const { numLayers, numRanks } = served.shape;
    const rankLoads = new Float64Array(numLayers * numRanks);
    for (const {
      shape: { rank },
      step,
    } of ranks) {
      step.served.forEach((tokens, layer) => {
        const at = layer * numRanks + rank;
        rankLoads[at] = (rankLoads[at] ?? 0) + tokens;
      });
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
