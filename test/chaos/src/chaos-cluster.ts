import { type DemoOptions, demoCluster } from '@isobar/operator-cli';
import type { Faults } from '@isobar/reference-engine';
import type { ClusterOptions, Placement, ServiceScripts } from '@isobar/testing';
import { generateTrace } from '@isobar/trace';
import type { ChaosCase } from './chaos-case.js';

export const numRanks = 8;
export const numNatsServers = 3;
export const numCoordinators = 2;
export const spareBuffers = 6;

interface LeaseTimings {
  readonly leaseMs: number;
  readonly renewDeadlineMs: number;
  readonly renewMs: number;
  readonly retryMs: number;
}

interface ConnectionTimings {
  readonly pingIntervalMs: number;
  readonly connectTimeoutMs: number;
}

export type LeaseName = 'short' | 'default';

/** Settings of the lease, by the names that `--lease` takes. */
export const leases: Readonly<Record<LeaseName, LeaseTimings>> = {
  short: { leaseMs: 3_000, renewDeadlineMs: 2_000, renewMs: 1_000, retryMs: 400 },
  default: { leaseMs: 15_000, renewDeadlineMs: 10_000, renewMs: 5_000, retryMs: 2_000 },
};

/**
 * Settings of the connections of agents and coordinators: a new leader needs the answer of every
 * agent, also of those whose server was cut off with the old leader.
 */
const connections: Readonly<Record<LeaseName, ConnectionTimings>> = {
  short: { pingIntervalMs: 500, connectTimeoutMs: 1_000 },
  default: { pingIntervalMs: 2_000, connectTimeoutMs: 2_000 },
};

/** Leadership must be back this long after its loss, stalls of the store not counted. */
export const leadershipBackMs: Readonly<Record<LeaseName, number>> = {
  short: 6_000,
  default: 30_000,
};

export interface ChaosClusterOptions {
  readonly scripts: ServiceScripts;
  readonly activation: ChaosCase['activation'];
  readonly lease: LeaseName;
  /** Of every engine. */
  readonly engineFaults: Faults;
  readonly placementOf?: (name: string) => Placement;
  readonly storeDirectoryOf?: (name: string) => string;
}

/**
 * Eight ranks with a small model, whose traffic changes its subject every 4 steps, and experts
 * that travel slowly: swaps never cease, and each phase lasts long enough to be met.
 */
export function chaosClusterOptions(options: ChaosClusterOptions): ClusterOptions {
  const { scripts, activation, lease, engineFaults, placementOf, storeDirectoryOf } = options;
  const trace = generateTrace({
    seed: 11,
    numLayers: 2,
    numExperts: 16,
    topK: 2,
    tokensPerStep: 64,
    numSteps: 24,
    numDomains: 6,
  });
  const demo: DemoOptions = {
    ranks: numRanks,
    nodes: 4,
    slots: 32,
    durationMs: 0,
    seed: 11,
    activation,
    json: true,
  };
  const cluster = demoCluster(demo, trace);
  return {
    ...cluster,
    scripts,
    numNatsServers,
    numCoordinators,
    engine: {
      ...cluster.engine,
      spareBuffers,
      reserveBuffers: 2,
      // Ranks exchange frames by layer: two slow ones cost half of what four fast ones do.
      meanLayerMillis: 100,
      loadIntervalMs: 200,
      stagingBytesPerSecond: 256 * 1_024,
      faults: engineFaults,
    },
    coordinator: {
      ...cluster.coordinator,
      passMs: 300,
      // A new leader has a window as soon as each rank has told it of a step.
      passStepsMin: 1,
      passesMin: 1,
      planIntervalMs: 500,
      // A new leader's planner may take long to start where other work takes the processors.
      planDeadlineMs: 60_000,
      balancednessMax: 1,
      // Moves shall pay however little they gain: swaps are what is tested.
      gainShareMin: 0,
      interference: 0,
      backOffMs: 500,
      tickMs: 100,
      ...leases[lease],
    },
    nats: { ...connections[lease] },
    ...(placementOf === undefined ? {} : { placementOf }),
    ...(storeDirectoryOf === undefined ? {} : { storeDirectoryOf }),
  };
}
