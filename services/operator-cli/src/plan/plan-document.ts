import type { ExpertMapping, RebalanceResult } from '@isobar/eplb';
import type { LoadMatrix } from '@isobar/trace';
import { dispatchRows } from '../dispatch-rows.js';

/** What loads a plan was made for: those of the file, or the sum of its steps. */
export type PlanForecast =
  | { readonly method: 'given' }
  | { readonly method: 'sum'; readonly steps: number };

export interface PlanReport {
  readonly policy: string;
  /** Median of `planRuns` runs in one process. */
  readonly planMillis: number;
  readonly planRuns: number;
  readonly balancedness: number;
  /** Of the mapping to start from; null without one. */
  readonly balancednessBefore: number | null;
  /** No placement has more: Σ over layers of the mean rank load ÷ Σ of `lowerBound`. */
  readonly balancednessBound: number;
  /** In the loads' own unit, [layers]. */
  readonly largestRankLoad: readonly number[];
  /** No placement has a smaller largest rank load, [layers]. */
  readonly lowerBound: readonly number[];
  /** Slots whose weights must travel: all of them without a mapping to start from. */
  readonly moves: number;
  /**
   * Part of all sends of a token to an expert that leave the source's fast domain: by `dispatch`
   * from the sequences' ranks where there is one; else tokens come evenly from all ranks and each
   * goes to any replica alike.
   */
  readonly crossNodeFraction: number;
  /** Visits to other fast domains per token and layer; null where no tokens are known. */
  readonly crossNodeTraffic: number | null;
  readonly forecast: PlanForecast;
  /** Whether the deadline ended the search. */
  readonly deadlineCut: boolean;
}

/** A plan as it is written, with SGLang's names for what SGLang reads. */
export interface PlanDocument {
  /** Expert of each slot, −1 for none, [layers][slots]. */
  readonly physical_to_logical_map: readonly (readonly number[])[];
  /** [layers][experts] */
  readonly replica_count: readonly (readonly number[])[];
  /** First slot of each rank, and the number of slots, [ranks + 1]. */
  readonly slot_offsets: readonly number[];
  /** Share of each slot by source rank, [layers][source ranks][slots]; of token traces only. */
  readonly dispatch?: readonly (readonly (readonly number[])[])[];
  readonly report: PlanReport;
}

/** @param planMillis of every run of the same request */
export function planDocument(
  matrix: LoadMatrix,
  result: RebalanceResult,
  planMillis: readonly number[],
): PlanDocument {
  const { mapping, dispatch, report } = result;
  const { loads, numSteps } = matrix;
  return {
    physical_to_logical_map: rowsOf(mapping, (layer) => mapping.row(layer)),
    replica_count: rowsOf(mapping, (layer) => replicaCounts(mapping, layer)),
    slot_offsets: [...mapping.slotOffsets],
    ...(dispatch !== null && { dispatch: dispatchRows(dispatch) }),
    report: {
      policy: report.policy,
      planMillis: median(planMillis),
      planRuns: planMillis.length,
      balancedness: report.balancedness,
      balancednessBefore: report.balancednessBefore,
      balancednessBound: balancednessBound(mapping.rankLoads(loads), report.lowerBound),
      largestRankLoad: [...report.largestRankLoads],
      lowerBound: [...report.lowerBound],
      moves: report.moves,
      crossNodeFraction: report.crossNodeFraction ?? 0,
      crossNodeTraffic: report.crossNodeTraffic,
      forecast: numSteps === null ? { method: 'given' } : { method: 'sum', steps: numSteps },
      deadlineCut: report.deadlineCut,
    },
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function rowsOf(mapping: ExpertMapping, row: (layer: number) => Iterable<number>): number[][] {
  return Array.from({ length: mapping.numLayers }, (_, layer) => [...row(layer)]);
}

function replicaCounts(mapping: ExpertMapping, layer: number): number[] {
  return Array.from({ length: mapping.numLogicalExperts }, (_, expert) =>
    mapping.replicaCount(layer, expert),
  );
}

/**
 * The balancedness that no placement exceeds; 0 when idle.
 * @param rankLoads of any placement, for they sum to the same, [layers × ranks]
 * @param lowerBound of the largest rank load, [layers]
 */
export function balancednessBound(rankLoads: Float64Array, lowerBound: Float64Array): number {
  const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
  const numRanks = rankLoads.length / lowerBound.length;
  const bounds = sum(lowerBound);
  return bounds === 0 ? 0 : Math.min(1, sum(rankLoads) / numRanks / bounds);
}

/** A plan for a person. */
export function renderPlanDocument({ report, ...document }: PlanDocument): string {
  const { forecast, balancednessBefore, balancedness, balancednessBound } = report;
  const layers = document.physical_to_logical_map.length;
  const experts = document.replica_count[0]?.length ?? 0;
  const slots = document.slot_offsets.at(-1) ?? 0;
  const before = balancednessBefore === null ? '' : `${balancednessBefore.toFixed(4)} → `;
  const loads = forecast.method === 'given' ? 'as given' : `the sum of ${forecast.steps} steps`;
  const cut = report.deadlineCut ? ', cut by the deadline' : '';
  const traffic =
    report.crossNodeTraffic === null
      ? ', replicas chosen alike'
      : `, ${report.crossNodeTraffic.toFixed(3)} other nodes a token visits in a layer`;
  return [
    `policy        ${report.policy}, ${report.planMillis.toFixed(1)} ms (median of ${report.planRuns})${cut}`,
    `sizes         ${layers} layers, ${experts} experts in ${slots} slots on ${document.slot_offsets.length - 1} ranks`,
    `loads         ${loads}`,
    `balancedness  ${before}${balancedness.toFixed(4)}, no placement above ${balancednessBound.toFixed(4)}`,
    `moves         ${report.moves} of ${layers * slots} slots`,
    `cross-node    ${(100 * report.crossNodeFraction).toFixed(1)} % of sends${traffic}`,
  ].join('\n');
}
