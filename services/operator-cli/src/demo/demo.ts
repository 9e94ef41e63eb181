import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { decode, IsobarError, type StatusAnswer, subjectsOf } from '@isobar/protocol';
import {
  compareWithOracle,
  readResults,
  stepsMissing,
  writeCheckpoint,
} from '@isobar/reference-engine';
import { Cluster, type ClusterOptions, type ServiceScripts } from '@isobar/testing';
import { formatTopology, uniformTopology } from '@isobar/topology';
import { generateTrace, readTrace, type Trace } from '@isobar/trace';
import { z } from 'zod';
import { CoordinatorClient } from '../coordinator-client.js';
import { counted } from '../table.js';
import type { DemoOptions } from './demo-options.js';
import { type AppliedRebalance, type DemoReport, reportOf } from './demo-report.js';
import { LiveView } from './live-view.js';

const deployment = 'demo';
const askTimeoutMs = 5_000;
const statusIntervalMs = 500;
const leaderDeadlineMs = 60_000;
/** For the swap that is under way when the run ends. */
const settleDeadlineMs = 60_000;

/** Scripts of the services beside this one. */
const serviceScripts: ServiceScripts = {
  engine: [fileURLToPath(import.meta.resolve('@isobar/reference-engine/main'))],
  agent: [fileURLToPath(import.meta.resolve('@isobar/rank-agent/main'))],
  coordinator: [fileURLToPath(import.meta.resolve('@isobar/coordinator/main'))],
};

/** Settings of a cluster on one small machine: experts of 64 KiB, steps of a fifth of a second. */
export function demoCluster(options: DemoOptions, trace: Trace): ClusterOptions {
  const { numLayers, numExperts } = trace.header;
  return {
    scripts: serviceScripts,
    deployment,
    numRanks: options.ranks,
    numPhysicalExperts: options.slots,
    topology: formatTopology(uniformTopology({ numRanks: options.ranks, numNodes: options.nodes })),
    trace: options.trace ?? trace,
    writeCheckpoint: (directory) => writeCheckpoint(directory, { numLayers, numExperts }),
    activation: options.activation,
    engine: {
      spareBuffers: 20,
      reserveBuffers: 4,
      meanLayerMillis: 6,
      loadIntervalMs: 250,
      stagingBytesPerSecond: 64 * 1024 * 1024,
      faults: {},
    },
    coordinator: {
      mode: 'automatic',
      passMs: 1_000,
      // Whatever the machine's speed, a window of 8 steps lies before the first plan.
      passStepsMin: 4,
      passesMin: 3,
      planIntervalMs: 5_000,
      backOffMs: 3_000,
      tickMs: 250,
    },
  };
}

/** The trace to serve. @throws TraceError; IsobarError ISOBAR_CLI_DEMO_SIZES */
export async function demoTrace(options: DemoOptions): Promise<Trace> {
  const trace =
    options.trace === undefined
      ? generateTrace({ seed: options.seed })
      : await readTrace(options.trace);
  const { numExperts } = trace.header;
  if (options.slots < numExperts)
    throw sizes('slots', `must be at least the ${numExperts} experts`);
  if (options.nodes > options.ranks)
    throw sizes('nodes', `must be at most the ${options.ranks} ranks`);
  if (options.ranks > options.slots)
    throw sizes('ranks', `must be at most the ${options.slots} slots`);
  return trace;
}

function sizes(field: string, why: string): IsobarError {
  return new IsobarError('ISOBAR_CLI_DEMO_SIZES', `--${field} ${why}`, { field });
}

/**
 * Starts a cluster of processes, lets it balance itself, and compares every token that it served
 * with a single-process oracle.
 * @param signal ends the run early; the cluster is stopped all the same
 */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<DemoReport> {
  const view = new LiveView(process.stderr);
  const trace = await demoTrace(options);
  const cluster = await Cluster.start({
    ...demoCluster(options, trace),
    onProgress: (text) => view.say(text),
  });
  try {
    const watched = await watch(cluster, options, view, signal);
    view.close();
    view.say('stopping the engines, and comparing every result with the single-process oracle');
    return await concludeRun(cluster, options, watched);
  } finally {
    await cluster.close();
  }
}

/** What was seen of a run from outside. */
export interface WatchedRun {
  readonly status: StatusAnswer;
  readonly rebalances: readonly AppliedRebalance[];
}

async function watch(
  cluster: Cluster,
  options: DemoOptions,
  view: LiveView,
  signal: AbortSignal,
): Promise<WatchedRun> {
  const server = cluster.natsUrl;
  const client = await CoordinatorClient.connect({
    servers: [server],
    context: null,
    deployment,
    timeoutMs: askTimeoutMs,
  });
  try {
    const rebalances: AppliedRebalance[] = [];
    client.bus.subscribe(subjectsOf(deployment).event('>'), ({ payload }) => {
      const event = decode('event', payload, eventSchema);
      const text = tellOf(event);
      if (text !== null) view.say(text);
      const { kind, outcome, version = 0, wavesCommitted: waves = 0 } = event;
      if (kind === 'rebalance-finished' && outcome === 'applied')
        rebalances.push({ version, waves });
    });
    await client.awaitLeader(leaderDeadlineMs, signal);
    view.say(`serving on ${server}; balancing for ${options.durationMs / 1_000} s`);
    const endMs = performance.now() + options.durationMs;
    while (performance.now() < endMs) {
      const left = endMs - performance.now();
      await delay(Math.min(statusIntervalMs, left), undefined, { signal });
      view.draw(await client.ask('status', {}), left / 1_000);
    }
    return { status: await pauseAndSettle(client, signal), rebalances };
  } finally {
    await client.close();
  }
}

/**
 * Begins no further wave, and waits until the swap that is under way, if one is, has ended.
 * @throws IsobarError ISOBAR_CLI_NOT_SETTLED naming the ranks that are missing
 */
export async function pauseAndSettle(
  client: CoordinatorClient,
  signal: AbortSignal,
): Promise<StatusAnswer> {
  await client.ask('pause', {});
  const deadlineMs = performance.now() + settleDeadlineMs;
  for (;;) {
    const status = await client.ask('status', {});
    if (status.swap === null) return status;
    if (performance.now() > deadlineMs) {
      const { version, phase, missingRanks } = status.swap;
      const text = `the swap to version ${version} is still ${phase} after ${settleDeadlineMs} ms`;
      throw new IsobarError('ISOBAR_CLI_NOT_SETTLED', text, { version, phase, missingRanks });
    }
    await delay(100, undefined, { signal });
  }
}

/**
 * Stops the engines and compares all that they served with the oracle.
 * @param checkpoint weights that the oracle computes with; the cluster's own by default
 * @throws IsobarError ISOBAR_CLI_STEPS_MISSING where the ranks did not end the same steps
 */
export async function concludeRun(
  cluster: Cluster,
  options: DemoOptions,
  watched: WatchedRun,
  checkpoint: string = cluster.checkpointDirectory,
): Promise<DemoReport> {
  await cluster.stopEngines();
  const ranks = Array.from({ length: options.ranks }, (_, rank) => rank);
  const byRank = await Promise.all(
    ranks.map((rank) => readResults(cluster.resultsDirectory, rank)),
  );
  const results = byRank.flat();
  const comparison = await compareWithOracle(checkpoint, cluster.tracePath, results);
  const missing = stepsMissing(results);
  if (missing > 0) {
    const text = `ranks differ in how many steps they ended: ${missing} are missing`;
    throw new IsobarError('ISOBAR_CLI_STEPS_MISSING', text, { missing });
  }
  return reportOf({
    options,
    results,
    comparison,
    rebalances: watched.rebalances,
    swapsCommitted: watched.status.swaps.committed,
    swapsVoided: watched.status.swaps.void,
  });
}

const eventSchema = z.object({
  kind: z.string(),
  version: z.number().optional(),
  outcome: z.string().optional(),
  reason: z.string().optional(),
  wavesCommitted: z.number().optional(),
  predicted: z.object({ before: z.number(), after: z.number() }).optional(),
  measured: z.object({ before: z.number(), after: z.number() }).nullish(),
});

/** A line for the events that a person wants to see, null for the others. */
function tellOf(event: z.infer<typeof eventSchema>): string | null {
  const { kind, version, outcome, reason = '', wavesCommitted, predicted, measured } = event;
  switch (kind) {
    case 'decided':
      return `version ${version} ${outcome}: ${reason}`;
    case 'rebalance-finished':
      return `rebalance ${outcome} after ${counted(wavesCommitted ?? 0, 'wave')}`;
    case 'rebalance-measured':
      if (measured == null || predicted === undefined) return null;
      return `balancedness ${measured.before.toFixed(3)} → ${measured.after.toFixed(3)} came true (${predicted.after.toFixed(3)} predicted)`;
    case 'plan-failed':
    case 'alarm':
      return `${kind}: ${JSON.stringify(event)}`;
    default:
      return null;
  }
}
