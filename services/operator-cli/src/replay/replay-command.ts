import { createPolicy, type ExpertMapping, summarizeForecast } from '@isobar/eplb';
import { uniformTopology } from '@isobar/topology';
import { readTrace } from '@isobar/trace';
import { dispatchRows } from '../dispatch-rows.js';
import { writeFileAtomically } from '../write-file-atomically.js';
import { type ReplaySummary, type ReplayWindow, replayTrace, summarize } from './replay-trace.js';

export interface ReplayCommandOptions {
  readonly trace: string;
  readonly ranks: number;
  readonly nodes: number;
  readonly slots: number;
  readonly window: number;
  readonly policy: string;
  /** File for one JSON line a window. */
  readonly maps?: string;
}

/** @throws IsobarError, TraceError, EplbError, TopologyError; ISOBAR_CLI_OUTPUT among the first */
export async function replay(options: ReplayCommandOptions): Promise<ReplaySummary> {
  const { ranks, nodes, slots, window: windowSteps } = options;
  const trace = await readTrace(options.trace);
  const policy = createPolicy(options.policy);
  // A trace does not say what an expert weighs; a replay needs only which rank is nearer.
  const topology = uniformTopology({ numRanks: ranks, numNodes: nodes }).toClusterShape(1);
  const sizes = { ranks, nodes, slots, windowSteps };
  const windows = [...replayTrace({ trace, policy, ...sizes, topology })];
  if (options.maps !== undefined) {
    const lines = windows.map((window) => `${JSON.stringify(lineOf(window))}\n`);
    await writeFileAtomically(options.maps, lines.join(''));
  }
  return summarize(policy.name, windows);
}

function lineOf({ window, mapping, dispatch, forecast, ...judged }: ReplayWindow) {
  const { balancedness, moves, crossNodeTraffic } = judged;
  return {
    window,
    physical_to_logical_map: rowsOf(mapping),
    balancedness,
    moves,
    forecast: forecast === null ? null : summarizeForecast(forecast),
    ...(dispatch !== null && { crossNodeTraffic, dispatch: dispatchRows(dispatch) }),
  };
}

function rowsOf(mapping: ExpertMapping): number[][] {
  return Array.from({ length: mapping.numLayers }, (_, layer) => [...mapping.row(layer)]);
}

export function renderReplay(summary: ReplaySummary): string {
  const { policy, windows, balancedness, movesPerRebalance, crossNodeTraffic, planMillis } =
    summary;
  return [
    `policy             ${policy}`,
    `windows            ${windows}`,
    `balancedness       ${balancedness.toFixed(4)} (windows 1 to ${windows - 1})`,
    `moves a rebalance  ${movesPerRebalance.toFixed(1)}`,
    ...(crossNodeTraffic === null
      ? []
      : [
          `traffic            ${crossNodeTraffic.toFixed(3)} other nodes a token visits in a layer`,
        ]),
    `plan time          ${planMillis.toFixed(1)} ms (median)`,
  ].join('\n');
}
