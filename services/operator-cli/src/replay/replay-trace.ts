import {
  type AbstractEplbPolicy,
  balancedness,
  type ClusterShape,
  crossNodeTraffic,
  type DispatchTable,
  dispatchRankLoads,
  ExpertLoadBalancer,
  ExpertMapping,
  type LoadForecast,
  type RebalanceOptions,
  type RebalanceResult,
  type RouteSample,
  RouteWindow,
  sourceLoadsOfRoutes,
  uniformDispatch,
} from '@isobar/eplb';
import { IsobarError } from '@isobar/protocol';
import type { Trace } from '@isobar/trace';
import { routesOf } from '../token-routes.js';

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
  /** Who serves whom; null for a load trace, whose tokens come from nowhere in particular. */
  readonly dispatch: DispatchTable | null;
  /** Under this window's own loads, and its own sources where they are known. */
  readonly balancedness: number;
  /** Visits of this window's tokens to other nodes, per token and layer; null for a load trace. */
  readonly crossNodeTraffic: number | null;
  /** What the mapping was planned for, by layer; null in the first window. */
  readonly forecast: LoadForecast['layers'] | null;
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
  /** Mean of the same windows; null for a load trace. */
  readonly crossNodeTraffic: number | null;
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
  const seen = new RouteWindow(trace.header.numLayers);
  let planned: RebalanceResult | null = null;
  for (let window = 0; window < windows; window += 1) {
    const forecast = balancer.forecast()?.layers ?? null;
    if (window > 0) {
      planned = balancer.rebalance({ numNodes: nodes, topology, ...localityOf(seen, balancer) });
      balancer.applyMapping(planned.mapping);
    }
    const { mapping } = balancer;
    const first = window * windowSteps;
    const routes = routesOf(trace, first, windowSteps, mapping.numRanks);
    const loads = loadsOf(trace, first, windowSteps);
    yield {
      window,
      mapping,
      forecast,
      moves: planned?.report.moves ?? 0,
      planMillis: planned?.report.planMs ?? 0,
      ...judged(mapping, planned?.dispatch ?? null, loads, routes, topology),
    };
    balancer.recordLogicalLoad(loads);
    balancer.advanceWindow();
    if (routes !== null) seen.add(routes);
  }
}

/** What the tokens seen so far say of traffic. */
function localityOf({ routes }: RouteWindow, { mapping }: ExpertLoadBalancer): RebalanceOptions {
  if (routes === null) return {};
  const sourceLoads = sourceLoadsOfRoutes(routes, mapping);
  return { replicaChoice: 'weighted', routes, sourceLoads };
}

function judged(
  mapping: ExpertMapping,
  planned: DispatchTable | null,
  loads: Float64Array,
  routes: RouteSample | null,
  { fastDomains }: ClusterShape,
): Pick<ReplayWindow, 'dispatch' | 'balancedness' | 'crossNodeTraffic'> {
  if (routes === null) {
    return { dispatch: null, balancedness: mapping.balancedness(loads), crossNodeTraffic: null };
  }
  const dispatch = planned ?? uniformDispatch(mapping);
  const rankLoads = dispatchRankLoads(mapping, dispatch, sourceLoadsOfRoutes(routes, mapping));
  return {
    dispatch,
    balancedness: balancedness(rankLoads, mapping.numLayers, mapping.numRanks),
    crossNodeTraffic: crossNodeTraffic(mapping, dispatch, routes, fastDomains),
  };
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
  const traffic = planned.flatMap((window) => window.crossNodeTraffic ?? []);
  const times = planned.map(({ planMillis }) => planMillis).sort((a, b) => a - b);
  return {
    policy,
    windows: windows.length,
    balancedness: mean(planned.map(({ balancedness }) => balancedness)),
    movesPerRebalance: mean(planned.map(({ moves }) => moves)),
    crossNodeTraffic: traffic.length === 0 ? null : mean(traffic),
    planMillis: times[Math.floor(times.length / 2)] ?? 0,
  };
}
