import {
  balancedness,
  createPolicy,
  crossNodeTraffic,
  dispatchRankLoads,
  type RouteSample,
  sourceLoadsOfRoutes,
  uniformDispatch,
  uniformSlotOffsets,
} from '@isobar/eplb';
import { uniformTopology } from '@isobar/topology';
import type { Trace } from '@isobar/trace';
import { markdownTable } from './markdown-table.js';

const numRanks = 16;
const numPhysicalExperts = 80;
const numNodes = 4;
const topology = uniformTopology({ numRanks, numNodes }).toClusterShape(1);

/**
 * Prints what every policy makes of a token trace, sequence i coming from rank i mod 16: planned and
 * judged on all tokens, and planned on the even sequences and judged on the odd ones.
 */
export function printTokens(
  name: string,
  trace: Trace,
  policies: readonly string[],
  print: (text: string) => void,
): void {
  const all = routesOf(trace, () => true);
  const even = routesOf(trace, (sequence) => sequence % 2 === 0);
  const odd = routesOf(trace, (sequence) => sequence % 2 === 1);
  const rows = [
    ['all, on all', all, all],
    ['even, on odd', even, odd],
  ].flatMap(([tokens, planned, judged]) =>
    policies.map((policy) => [
      policy,
      tokens as string,
      ...judge(trace, policy, planned as RouteSample, judged as RouteSample),
    ]),
  );
  print(`### ${name}: ${numPhysicalExperts} slots on ${numRanks} ranks, ${numNodes} nodes, tokens`);
  const columns = ['policy', 'tokens', 'other nodes a token', 'balancedness', 'plan time, ms'];
  print(markdownTable(columns, rows, 2));
}

function judge(trace: Trace, policy: string, planned: RouteSample, judged: RouteSample): string[] {
  const { numLayers, numExperts: numLogicalExperts } = trace.header;
  const shape = { numLayers, numRanks, numLogicalExperts };
  const sourceLoads = sourceLoadsOfRoutes(planned, shape);
  const { mapping, dispatch, report } = createPolicy(policy).rebalanceExperts({
    numLayers,
    numLogicalExperts,
    slotOffsets: uniformSlotOffsets(numPhysicalExperts, numRanks),
    loads: sumOverRanks(sourceLoads, shape),
    numNodes,
    topology,
    replicaChoice: 'weighted',
    routes: planned,
    sourceLoads,
  });
  const table = dispatch ?? uniformDispatch(mapping);
  const rankLoads = dispatchRankLoads(mapping, table, sourceLoadsOfRoutes(judged, shape));
  return [
    crossNodeTraffic(mapping, table, judged, topology.fastDomains).toFixed(3),
    balancedness(rankLoads, numLayers, numRanks).toFixed(4),
    report.planMs.toFixed(0),
  ];
}

function sumOverRanks(
  sourceLoads: Float64Array,
  { numLayers, numLogicalExperts }: { numLayers: number; numLogicalExperts: number },
): Float64Array {
  const loads = new Float64Array(numLayers * numLogicalExperts);
  sourceLoads.forEach((load, index) => {
    const layer = Math.floor(index / (numRanks * numLogicalExperts));
    const at = layer * numLogicalExperts + (index % numLogicalExperts);
    loads[at] = (loads[at] ?? 0) + load;
  });
  return loads;
}

function routesOf(trace: Trace, isWanted: (sequence: number) => boolean): RouteSample {
  const { numLayers, topK } = trace.header;
  const perRoute = numLayers * topK;
  const experts: number[] = [];
  const sourceRanks: number[] = [];
  for (let step = 0; step < trace.numSteps; step += 1) {
    const tokens = trace.tokens(step);
    trace.sequences(step).forEach((sequence, token) => {
      if (!isWanted(sequence)) return;
      sourceRanks.push(sequence % numRanks);
      for (const expert of tokens.subarray(token * perRoute, (token + 1) * perRoute)) {
        experts.push(expert);
      }
    });
  }
  return {
    numRoutes: sourceRanks.length,
    topK,
    experts: Int16Array.from(experts),
    sourceRanks: Int32Array.from(sourceRanks),
  };
}
