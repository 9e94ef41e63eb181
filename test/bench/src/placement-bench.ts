import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readLoads, readTrace, type Trace } from '@isobar/trace';
import { dataFolder } from './data-folder.js';
import { markdownTable } from './markdown-table.js';
import {
  deadlineMs,
  generatedCase,
  type PlacementCase,
  planOf,
  policyNames,
  type Start,
  shuffleExperts,
} from './placement-case.js';
import { printPlacementGrowth } from './placement-growth.js';
import { type MeasuredPlan, measure, runsMin, slowMillis } from './placement-measure.js';
import { printTokens } from './placement-tokens.js';
import { mean, median } from './statistics.js';

const windowSteps = 8;
const starts: readonly Start[] = ['none', 'current'];
const columns = [
  'policy',
  'start',
  'balancedness',
  'bound',
  'moves',
  'plan time, ms',
  'processor time, ms',
];

/** Prints what every policy makes of captured loads, where they are, and of generated ones. */
export async function runPlacementBench(print: (text: string) => void): Promise<void> {
  print(
    `Start \`current\` is the default policy's placement for loads that were other by a lognormal
factor of σ 0.2 an expert. The bound is the balancedness that no placement exceeds, as far as the
policy's report proves it. Times are those of the whole of \`rebalanceExperts\` in this thread:
medians of ${runsMin} or more runs after a warm-up, or of a single run where that took over
${slowMillis / 1_000} s. Processor time, a mean, is what other work on the machine does not lengthen.
Of token traces sequence i comes from rank i mod 16, and replicas are chosen by the policy's dispatch
table, or alike where it has none. A search is ended after ${deadlineMs / 1_000} s, where the policy heeds a deadline.`,
  );
  if (dataFolder === null) print('No captured loads here: ISOBAR_DATA names no folder.');
  else await printCaptured(dataFolder, print);
  print('## Generated loads: lognormal, σ 0.7');
  for (const placement of generatedCases()) printCase(placement, print);
  printPlacementGrowth(print);
}

function generatedCases(): readonly PlacementCase[] {
  const shapes = [
    [58, 256, 288, 32, 4],
    [58, 256, 288, 144, 18],
    [58, 256, 320, 64, 8],
    [94, 128, 160, 32, 4],
    [61, 384, 448, 64, 8],
    [94, 512, 1_024, 256, 32],
  ] as const;
  return shapes.map(([layers, experts, slots, ranks, nodes]) =>
    generatedCase(layers, experts, slots, ranks, nodes),
  );
}

async function printCaptured(folder: string, print: (text: string) => void): Promise<void> {
  print('## Captured loads, experts of each layer in random order');
  for (const name of ['dsr1-gpqa', 'dsr1-gpqa-first128', 'dsr1-gpqa-request0']) {
    const { numLayers, numExperts, loads } = await readLoads(join(folder, `${name}.json.gz`));
    printCase(
      {
        name,
        numLayers,
        numLogicalExperts: numExperts,
        numPhysicalExperts: 288,
        numRanks: 32,
        numNodes: 4,
        loads: shuffleExperts(loads, numExperts, 1),
      },
      print,
    );
  }
  const path = join(folder, 'dsv2lite-loads.jsonl.gz');
  const trace = await readTrace(path);
  for (const [numPhysicalExperts, numRanks] of [
    [80, 16],
    [72, 8],
  ] as const) {
    printWindows(trace, numPhysicalExperts, numRanks, print);
    printNextWindow(path, numPhysicalExperts, numRanks, print);
  }
  for (const domain of ['intent', 'law']) {
    const tokens = await readTrace(join(folder, `dsv2lite-tokens-${domain}.jsonl.gz`));
    printTokens(`dsv2lite-tokens-${domain}`, tokens, policyNames(), print);
  }
}

function titleOf({ name, numPhysicalExperts, numRanks, numNodes }: PlacementCase): string {
  return `### ${name}: ${numPhysicalExperts} slots on ${numRanks} ranks, ${numNodes} nodes`;
}

function printCase(placement: PlacementCase, print: (text: string) => void): void {
  print(titleOf(placement));
  const rows = policyNames().flatMap((policy) =>
    starts.map((start) =>
      rowOf(policy, start, [measure(planOf(policy, start, placement), placement)]),
    ),
  );
  print(markdownTable(columns, rows, 2));
}

/** One row for all that was measured: means, and the median of the times. */
function rowOf(policy: string, start: Start, measured: readonly MeasuredPlan[]): string[] {
  const meanOf = (key: 'balancedness' | 'bound' | 'moves' | 'cpuMillis') =>
    mean(measured.map((each) => each[key]));
  return [
    policy,
    start,
    meanOf('balancedness').toFixed(4),
    meanOf('bound').toFixed(4),
    start === 'none' ? 'all' : meanOf('moves').toFixed(0),
    median(measured.flatMap(({ planMillis }) => planMillis)).toFixed(2),
    meanOf('cpuMillis').toFixed(2),
  ];
}

/** In sample: each window of a trace placed by its own loads. */
function printWindows(
  trace: Trace,
  numPhysicalExperts: number,
  numRanks: number,
  print: (text: string) => void,
): void {
  const { numLayers, numExperts: numLogicalExperts } = trace.header;
  const shape = { numLayers, numLogicalExperts, numPhysicalExperts, numRanks, numNodes: 4 };
  const windows = windowLoads(trace).map((loads) => ({ name: 'dsv2lite', ...shape, loads }));
  const [first] = windows;
  if (first === undefined) return;
  print(`${titleOf(first)}, each of ${windows.length} windows placed by its own loads`);
  const rows = policyNames().flatMap((policy) =>
    starts.map((start) => {
      planOf(policy, start, first)();
      const measured = windows.map((window) =>
        measure(planOf(policy, start, window), window, true),
      );
      return rowOf(policy, start, measured);
    }),
  );
  print(markdownTable(columns, rows, 2));
}

/** Loads of each whole window, [layers × experts]. */
function windowLoads(trace: Trace): readonly Float64Array[] {
  return Array.from({ length: Math.floor(trace.numSteps / windowSteps) }, (_, window) => {
    const loads = trace.loads(window * windowSteps);
    for (let step = 1; step < windowSteps; step += 1) {
      trace.loads(window * windowSteps + step).forEach((load, index) => {
        loads[index] = (loads[index] ?? 0) + load;
      });
    }
    return loads;
  });
}

/** What `isobar replay` prints for each policy: windows placed by those before them. */
function printNextWindow(
  path: string,
  numPhysicalExperts: number,
  numRanks: number,
  print: (text: string) => void,
): void {
  print(
    `### dsv2lite: ${numPhysicalExperts} slots on ${numRanks} ranks, 4 nodes, the next window (isobar replay)`,
  );
  const rows = policyNames().map((policy) => {
    const summary = replay(path, policy, numPhysicalExperts, numRanks);
    const { balancedness, movesPerRebalance, planMillis } = summary;
    return [policy, balancedness.toFixed(4), movesPerRebalance.toFixed(1), planMillis.toFixed(2)];
  });
  const head = ['policy', 'balancedness', 'moves a rebalance', 'plan time, ms'];
  print(markdownTable(head, rows, 1));
}

interface ReplaySummary {
  readonly balancedness: number;
  readonly movesPerRebalance: number;
  readonly planMillis: number;
}

function replay(path: string, policy: string, slots: number, ranks: number): ReplaySummary {
  const isobar = fileURLToPath(
    new URL('../../../services/operator-cli/bin/isobar.js', import.meta.url),
  );
  const sizes = ['--slots', `${slots}`, '--ranks', `${ranks}`, '--nodes', '4'];
  const args = [isobar, 'replay', '--trace', path, ...sizes, '--policy', policy, '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`isobar replay ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as ReplaySummary;
}
