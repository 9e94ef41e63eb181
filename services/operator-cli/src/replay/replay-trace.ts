import {
  type AbstractEplbPolicy,
  type ClusterShape,
  ExpertLoadBalancer,
  ExpertMapping,
} from '@isobar/eplb';
import { IsobarError } from '@isobar/protocol';
import type { Trace } from '@isobar/trace';

export interface ReplayOptions {
  readonly trace: Trace;
  readonly policy: AbstractEplbPolicy;
  readonly ranks: number;
  readonly nodes: number;
  readonly slots: number;
  /** Trace steps of a window. */
  readonly windowSteps: number;
  readonly topology: ClusterShape;
}

/** One window as a live cluster would have seen it. */
export interface ReplayWindow {
  readonly window: number;
  /** The mapping in force, planned from the windows before this one alone. */
  readonly mapping: ExpertMapping;
  /** Under this window's own loads. */
  readonly balancedness: number;
  /** Moves that led to this mapping, 0 in the first window. */
  readonly moves: number;
  readonly planMillis: number;
}

export interface ReplaySummary {
  readonly policy: string;
  readonly windows: number;
  /** Mean of the windows from 1 on; window 0 is served by the start mapping. */
  readonly balancedness: number;
  readonly movesPerRebalance: number;
  /** Median. */
  readonly planMillis: number;
}

/**
 * Plays a trace window by window: contiguous experts first, redundant slots in cyclic order, and
 * before each later window a mapping planned from what has been seen. What is left after the last
 * whole window is not played.
 * @throws IsobarError ISOBAR_CLI_REPLAY_TOO_SHORT below two windows; EplbError of the policy
 */
export function* replayTrace(options: ReplayOptions): Generator<ReplayWindow> {
  const { trace, windowSteps, policy, nodes, topology } = options;
  const windows = Math.floor(trace.numSteps / windowSteps);
  if (windows < 2) {
    const text = `the trace has ${trace.numSteps} steps, under two windows of ${windowSteps}`;
    const fields = { field: 'window', numSteps: trace.numSteps, windowSteps };
    throw new IsobarError('ISOBAR_CLI_REPLAY_TOO_SHORT', text, fields);
  }
  const balancer = new ExpertLoadBalancer({ policy, mapping: startMapping(options) });
  let report = { moves: 0, planMs: 0 };
  for (let window = 0; window < windows; window += 1) {
    if (window > 0) {
      const planned = balancer.rebalance({ numNodes: nodes, topology });
      balancer.applyMapping(planned.mapping);
      report = planned.report;
    }
    const { mapping } = balancer;
    const loads = loadsOf(trace, window * windowSteps, windowSteps);
    const { moves, planMs: planMillis } = report;
    yield { window, mapping, balancedness: mapping.balancedness(loads), moves, planMillis };
    balancer.recordLogicalLoad(loads);
    balancer.advanceWindow();
  }
}

function startMapping({ trace, ranks, slots }: ReplayOptions): ExpertMapping {
  const { numLayers, numExperts: numLogicalExperts } = trace.header;
  return ExpertMapping.contiguous({
    numLayers,
    numLogicalExperts,
    numRanks: ranks,
    numPhysicalExperts: slots,
  });
}

/** Tokens by expert of some steps together, [layers × experts]. */
function loadsOf(trace: Trace, firstStep: number, steps: number): Float64Array {
  const loads = trace.loads(firstStep);
  for (let step = firstStep + 1; step < firstStep + steps; step += 1) {
    trace.loads(step).forEach((tokens, index) => {
      loads[index] = (loads[index] ?? 0) + tokens;
    });
  }
  return loads;
}

/** @param windows of one replay, all of them */
export function summarize(policy: string, windows: readonly ReplayWindow[]): ReplaySummary {
  const planned = windows.slice(1);
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const times = planned.map(({ planMillis }) => planMillis).sort((a, b) => a - b);
  return {
    policy,
    windows: windows.length,
    balancedness: mean(planned.map(({ balancedness }) => balancedness)),
    movesPerRebalance: mean(planned.map(({ moves }) => moves)),
    planMillis: times[Math.floor(times.length / 2)] ?? 0,
  };
}
