import { Topology } from './topology.js';
import { TopologyError } from './topology-error.js';
import { TOPOLOGY_LIMITS } from './topology-spec.js';

export interface UniformTopologyOptions {
  readonly numRanks: number;
  readonly numNodes: number;
  /** @default 450e9: NVLink 4 of an HGX H100, 900 GB/s both ways */
  readonly nodeBandwidthBytesPerSecond?: number;
  /** @default 2e-6 */
  readonly nodeLatencySeconds?: number;
  /** @default 50e9: one 400 Gb/s InfiniBand (NDR) adapter a rank */
  readonly networkBandwidthBytesPerSecond?: number;
  /** @default 5e-6 */
  readonly networkLatencySeconds?: number;
}

/** NVLink 4 carries 900 GB/s both ways, and InfiniBand NDR 400 Gb/s each way; latencies assumed. */
export const UNIFORM_DEFAULTS = {
  nodeBandwidthBytesPerSecond: 450e9,
  nodeLatencySeconds: 2e-6,
  networkBandwidthBytesPerSecond: 50e9,
  networkLatencySeconds: 5e-6,
} as const;

/**
 * Ranks in order over alike nodes: of R ranks on N nodes the first R mod N nodes get one more. A
 * node is a fast domain and a failure domain; the cluster joins them.
 * @throws TopologyError ISOBAR_TOPOLOGY_INVALID naming what is wrong
 */
export function uniformTopology(options: UniformTopologyOptions): Topology {
  const { numRanks, numNodes, ...links } = options;
  assertCount('numRanks', numRanks, TOPOLOGY_LIMITS.ranks);
  assertCount('numNodes', numNodes, numRanks);
  const link = { ...UNIFORM_DEFAULTS, ...links };
  return Topology.create({
    levels: [
      {
        name: 'node',
        bandwidthBytesPerSecond: link.nodeBandwidthBytesPerSecond,
        latencySeconds: link.nodeLatencySeconds,
        fastDomain: true,
        failureDomain: true,
      },
      {
        name: 'cluster',
        bandwidthBytesPerSecond: link.networkBandwidthBytesPerSecond,
        latencySeconds: link.networkLatencySeconds,
        fastDomain: false,
        failureDomain: false,
      },
    ],
    domains: [nodesOfRanks(numRanks, numNodes), Array<string>(numRanks).fill('cluster')],
  });
}

function assertCount(field: string, count: number, most: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= most) return;
  throw new TopologyError(
    'ISOBAR_TOPOLOGY_INVALID',
    `topology: ${field} must be an integer from 1 to ${most}, not ${count}`,
    { field, [field]: count },
  );
}

function nodesOfRanks(numRanks: number, numNodes: number): string[] {
  const each = Math.floor(numRanks / numNodes);
  const more = numRanks % numNodes;
  return Array.from({ length: numNodes }, (_, node) =>
    Array<string>(each + (node < more ? 1 : 0)).fill(`node-${node}`),
  ).flat();
}
