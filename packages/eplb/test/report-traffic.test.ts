import {
  type AbstractEplbPolicy,
  DefaultEplbPolicy,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
} from '@isobar/eplb';
import { describe, expect, it } from 'vitest';
import { clusterOf } from './routes.js';

const numRanks = 2;
const topology = clusterOf(numRanks, 2);
const routes = {
  numRoutes: 4,
  topK: 1,
  experts: Int16Array.of(0, 0, 0, 1),
  sourceRanks: Int32Array.of(0, 0, 1, 1),
};
/** Expert 0 has 30 tokens, expert 1 has 10; there is one replica of each, on a rank of its own. */
const sound: RebalanceRequest = {
  numLayers: 1,
  numLogicalExperts: 2,
  slotOffsets: Int32Array.of(0, 1, 2),
  loads: Float64Array.of(30, 10),
};
/** By rank: 3 of 4 tokens of expert 0 come from rank 0; all of expert 1 from rank 1. */
const sourceLoads = Float64Array.of(3, 0, 1, 5);

function planOf(
  changes: Partial<RebalanceRequest>,
  policy: AbstractEplbPolicy = new LocalityAwarePolicy(),
) {
  const { mapping, report } = policy.rebalanceExperts({ ...sound, ...changes });
  return { report, rankOf0: mapping.getPhysicalExperts(0, 0)[0] };
}

function reportOf(
  changes: Partial<RebalanceRequest>,
  policy: AbstractEplbPolicy = new LocalityAwarePolicy(),
) {
  return planOf(changes, policy).report;
}

describe('traffic in the report', () => {
  it('is unknown without a topology', () => {
    const { crossNodeFraction, crossNodeTraffic } = reportOf({
      replicaChoice: 'weighted',
      routes,
      sourceLoads,
    });
    expect([crossNodeFraction, crossNodeTraffic]).toEqual([null, null]);
  });

  it('of visits is unknown without routes, and where replicas are chosen alike', () => {
    expect(reportOf({ topology, replicaChoice: 'weighted', sourceLoads }).crossNodeTraffic).toBe(
      null,
    );
    expect(reportOf({ topology, routes, sourceLoads }).crossNodeTraffic).toBe(null);
    const byDefault = reportOf(
      { topology, routes, replicaChoice: 'weighted' },
      new DefaultEplbPolicy(),
    );
    expect(byDefault.crossNodeTraffic).toBe(null);
    expect(byDefault.crossNodeFraction).toBe(0.5);
  });

  it('is half of all sends where every rank sends alike', () => {
    expect(reportOf({ topology }).crossNodeFraction).toBe(0.5);
  });

  it('scales where tokens come from to the loads', () => {
    const { report, rankOf0 } = planOf({ topology, sourceLoads });
    // Of expert 0's 30 tokens 22.5 come from rank 0, and expert 1's 10 from rank 1.
    expect(report.crossNodeFraction).toBeCloseTo(rankOf0 === 0 ? 7.5 / 40 : 32.5 / 40, 12);
  });

  it('of visits counts the sampled tokens that go to another domain', () => {
    const { report, rankOf0 } = planOf({
      topology,
      routes,
      sourceLoads,
      replicaChoice: 'weighted',
    });
    // Experts 0, 0, 0 and 1 are asked for from ranks 0, 0, 1 and 1.
    expect(report.crossNodeTraffic).toBeCloseTo(1 / 4, 6);
    expect(rankOf0).toBe(0);
  });

  it.each([
    ['domain', 1],
    ['rank', 2],
    ['expert', 4],
  ] as const)(
    'by %s counts %i for a token whose four experts lie on two ranks of another domain',
    (trafficUnit, visits) => {
      const report = new LocalityAwarePolicy().rebalanceExperts({
        numLayers: 1,
        numLogicalExperts: 8,
        slotOffsets: Int32Array.of(0, 2, 4, 6, 8),
        loads: new Float64Array(8).fill(10),
        currentMapping: ExpertMapping.contiguous({
          numLayers: 1,
          numLogicalExperts: 8,
          numRanks: 4,
          numPhysicalExperts: 8,
        }),
        maxMoves: 0,
        topology: clusterOf(4, 2),
        trafficUnit,
        replicaChoice: 'weighted',
        routes: {
          numRoutes: 1,
          topK: 4,
          experts: Int16Array.of(4, 5, 6, 7),
          sourceRanks: Int32Array.of(0),
        },
      }).report;
      expect(report.crossNodeTraffic).toBeCloseTo(visits, 5);
    },
  );
});
