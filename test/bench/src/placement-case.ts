import * as eplb from '@isobar/eplb';
import {
  type AbstractEplbPolicy,
  type ClusterShape,
  createPolicy,
  type ExpertMapping,
  uniformSlotOffsets,
} from '@isobar/eplb';
import { uniformTopology } from '@isobar/topology';
import { createRandom } from '@isobar/trace';

/** Loads to place on a cluster. */
export interface PlacementCase {
  readonly name: string;
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  readonly numRanks: number;
  readonly numNodes: number;
  readonly numPhysicalExperts: number;
  /** [layers × experts] */
  readonly loads: Float64Array;
}

/** What a placement starts from: nothing, or a placement made for other loads. */
export type Start = 'none' | 'current';

/** Keeps a slow search from holding up the bench. */
export const deadlineMs = 10_000;
const driftSigma = 0.2;
const popularitySigma = 0.7;

/** Every policy of the package, by name. */
export function policyNames(): readonly string[] {
  return Object.values(eplb).flatMap((value) => {
    const isPolicy =
      typeof value === 'function' && value.prototype instanceof eplb.AbstractEplbPolicy;
    return isPolicy ? [new (value as new () => AbstractEplbPolicy)().name] : [];
  });
}

/** Loads as of a real model: lognormal, as packages/trace's figures have them; [layers × experts] */
function lognormalLoads(numLayers: number, numExperts: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length: numLayers * numExperts }, () =>
    Math.exp(popularitySigma * random.normal()),
  );
}

/** A case of generated loads, the same for the same sizes. */
export function generatedCase(
  numLayers: number,
  numLogicalExperts: number,
  numPhysicalExperts: number,
  numRanks: number,
  numNodes: number,
): PlacementCase {
  return {
    name: `${numLayers} layers × ${numLogicalExperts} experts`,
    numLayers,
    numLogicalExperts,
    numPhysicalExperts,
    numRanks,
    numNodes,
    loads: lognormalLoads(numLayers, numLogicalExperts, 1),
  };
}

/** Renames the experts of each layer at random: a capture may have them in order of their load. */
export function shuffleExperts(
  loads: Float64Array,
  numExperts: number,
  seed: number,
): Float64Array {
  const random = createRandom(seed);
  const shuffled = loads.slice();
  for (let start = 0; start < loads.length; start += numExperts) {
    const row = shuffled.subarray(start, start + numExperts);
    for (let last = numExperts - 1; last > 0; last -= 1) {
      const other = random.integer(last + 1);
      const load = row[last] ?? 0;
      row[last] = row[other] ?? 0;
      row[other] = load;
    }
  }
  return shuffled;
}

/** A policy's placement of a case, again and again the same. */
export type Plan = () => ReturnType<AbstractEplbPolicy['rebalanceExperts']>;

export function planOf(policy: string, start: Start, of: PlacementCase): Plan {
  const planner = createPolicy(policy);
  const request = requestOf(of);
  if (start === 'none') return () => planner.rebalanceExperts(request);
  const currentMapping = mappingForDriftedLoads(of);
  return () => planner.rebalanceExperts({ ...request, currentMapping });
}

function requestOf(of: PlacementCase) {
  const { numLayers, numLogicalExperts, numRanks, numNodes, numPhysicalExperts, loads } = of;
  return {
    numLayers,
    numLogicalExperts,
    loads,
    numNodes,
    slotOffsets: uniformSlotOffsets(numPhysicalExperts, numRanks),
    topology: clusterOf(numRanks, numNodes),
    deadlineMs,
  };
}

function clusterOf(numRanks: number, numNodes: number): ClusterShape {
  return uniformTopology({ numRanks, numNodes }).toClusterShape(1);
}

/** The default policy's placement for loads that were other by some 20 % an expert. */
function mappingForDriftedLoads(of: PlacementCase): ExpertMapping {
  const random = createRandom(17);
  const loads = of.loads.map((load) => load * Math.exp(driftSigma * random.normal()));
  return createPolicy('default').rebalanceExperts({ ...requestOf(of), loads }).mapping;
}
