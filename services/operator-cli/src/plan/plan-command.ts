import {
  type ClusterShape,
  createPolicy,
  type RebalanceRequest,
  sourceLoadsOfRoutes,
  uniformSlotOffsets,
} from '@isobar/eplb';
import { readTopology, type Topology, uniformTopology } from '@isobar/topology';
import { type LoadMatrix, readLoads, readTrace } from '@isobar/trace';
import { routesOf } from '../token-routes.js';
import { type PlanDocument, planDocument } from './plan-document.js';
import { readCurrentMapping } from './read-current-mapping.js';

export interface PlanCommandOptions {
  /** File of loads: see packages/trace. */
  readonly loads: string;
  readonly ranks: number;
  /** @default the topology's fast domains; 1 without a topology */
  readonly nodes?: number;
  readonly slots: number;
  readonly groups: number;
  readonly policy: string;
  /** File of the mapping to start from. */
  readonly current?: string;
  /** File that describes the cluster. */
  readonly topology?: string;
  readonly seed?: number;
  /** Most candidate changes that the search weighs. */
  readonly budget?: number;
  readonly deadlineMs?: number;
}

/**
 * A planner lives long and its code is compiled by the time that matters: the same plan is made
 * again while it takes little time, so that a median can be told.
 */
const timedRunsMax = 51;
const timedMsMax = 1_000;

/**
 * Plans a placement from files alone.
 * @throws TraceError, TopologyError, EplbError; IsobarError ISOBAR_CLI_CURRENT_MAPPING
 */
export async function plan(options: PlanCommandOptions): Promise<PlanDocument> {
  const policy = createPolicy(options.policy);
  const matrix = await readLoads(options.loads);
  const cluster = await readCluster(options);
  const { numLayers, numExperts: numLogicalExperts, loads } = matrix;
  const sizes = { numLayers, numLogicalExperts };
  const currentMapping =
    options.current === undefined
      ? undefined
      : await readCurrentMapping(options.current, {
          ...sizes,
          numRanks: options.ranks,
          numPhysicalExperts: options.slots,
        });
  const { seed, budget: workBudget, deadlineMs } = options;
  const request: RebalanceRequest = {
    ...sizes,
    slotOffsets: currentMapping?.slotOffsets ?? uniformSlotOffsets(options.slots, options.ranks),
    loads,
    numNodes: options.nodes ?? cluster.numFastDomains,
    numGroups: options.groups,
    topology: cluster.shape,
    ...(await localityOf(matrix, options)),
    ...(currentMapping !== undefined && { currentMapping }),
    ...(seed !== undefined && { seed }),
    ...(workBudget !== undefined && { workBudget }),
    ...(deadlineMs !== undefined && { deadlineMs }),
  };
  const result = policy.rebalanceExperts(request);
  const planMillis = [result.report.planMs];
  const startedMs = performance.now();
  // A deadline may cut each run elsewhere: then the first is the only one.
  const runsMax = deadlineMs === undefined ? timedRunsMax : 1;
  while (planMillis.length < runsMax && performance.now() - startedMs < timedMsMax) {
    planMillis.push(policy.rebalanceExperts(request).report.planMs);
  }
  return planDocument(matrix, result, planMillis);
}

/** What the tokens of a token trace say of traffic: sequence i comes from rank i mod R. */
async function localityOf(
  { source, numLayers, numExperts }: LoadMatrix,
  { loads: path, ranks: numRanks }: PlanCommandOptions,
): Promise<Pick<RebalanceRequest, 'replicaChoice' | 'routes' | 'sourceLoads'>> {
  if (source !== 'trace') return {};
  const trace = await readTrace(path);
  const routes = routesOf(trace, 0, trace.numSteps, numRanks);
  if (routes === null) return {};
  const shape = { numLayers, numRanks, numLogicalExperts: numExperts };
  return { replicaChoice: 'weighted', routes, sourceLoads: sourceLoadsOfRoutes(routes, shape) };
}

interface Cluster {
  readonly numFastDomains: number;
  readonly shape: ClusterShape;
}

async function readCluster({ ranks, nodes, topology: path }: PlanCommandOptions): Promise<Cluster> {
  let topology: Topology;
  if (path === undefined) {
    topology = uniformTopology({ numRanks: ranks, numNodes: nodes ?? 1 });
  } else {
    topology = await readTopology(path);
    topology.assertFits(ranks);
  }
  const { numFastDomains } = topology;
  // Loads do not say what an expert weighs; a plan needs only which rank is nearer.
  return { numFastDomains, shape: topology.toClusterShape(1) };
}
