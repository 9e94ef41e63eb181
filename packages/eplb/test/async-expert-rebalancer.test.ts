import { readFileSync } from 'node:fs';
import {
  AsyncExpertRebalancer,
  configuredStepTimes,
  DefaultEplbPolicy,
  ExpertLoadBalancer,
  ExpertMapping,
  LocalityAwarePolicy,
  moveEconomy,
  type RebalanceRequest,
  type RouteSample,
  RouteWindow,
  StepTimeModel,
  sourceLoadsOfRoutes,
} from '@isobar/eplb';
import { afterEach, describe, expect, it } from 'vitest';
import { clusterOf } from './routes.js';

const economy = {
  stepTimes: configuredStepTimes(2, 1e-5),
  horizonPasses: 100,
  bytesPerExpert: Float64Array.of(65_536, 65_536),
  bandwidthBytesPerSecond: 1e9,
  interference: 0.1,
};

function balancerOf(policy: LocalityAwarePolicy | DefaultEplbPolicy, slots = 12) {
  const mapping = ExpertMapping.contiguous({
    numLayers: 2,
    numLogicalExperts: 8,
    numRanks: 4,
    numPhysicalExperts: slots,
  });
  return new ExpertLoadBalancer({ policy, mapping });
}

function skewed(): Float64Array {
  return Float64Array.from({ length: 16 }, (_, index) => (index % 8 < 2 ? 500 : 20));
}

/** 64 tokens of two experts in each of two layers, from the given ranks in turn. */
function routesFrom(ranks: readonly number[]): RouteSample {
  return {
    numRoutes: 64,
    topK: 2,
    experts: Int16Array.from({ length: 64 * 2 * 2 }, (_, at) =>
      at % 2 === 0 ? (at >> 2) % 2 : 2 + ((at >> 2) % 6),
    ),
    sourceRanks: Int32Array.from({ length: 64 }, (_, token) => ranks[token % ranks.length] ?? -1),
  };
}

/** The balancer's request, which `structuredClone` can copy so. */
function withoutMapping(balancer: ExpertLoadBalancer): Omit<RebalanceRequest, 'currentMapping'> {
  const { currentMapping: _, ...request } = balancer.request();
  return request;
}

let rebalancer: AsyncExpertRebalancer | null = null;
afterEach(async () => {
  await rebalancer?.stop();
});

function startedOn(balancer: ExpertLoadBalancer, planDeadlineMs?: number): AsyncExpertRebalancer {
  const limits = planDeadlineMs === undefined ? {} : { planDeadlineMs };
  rebalancer = new AsyncExpertRebalancer({ balancer, economy, intervalMs: 1_000, ...limits });
  rebalancer.start();
  return rebalancer;
}

describe('AsyncExpertRebalancer', () => {
  it('plans in a worker what the policy plans here, and says that it pays', async () => {
    const balancer = balancerOf(new LocalityAwarePolicy());
    for (let pass = 0; pass < 2; pass += 1) {
      balancer.recordLogicalLoad(skewed());
      balancer.advanceWindow();
    }
    const planner = startedOn(balancer);
    expect(planner.shouldRebalance(0)).toMatchObject({ rebalance: true, reason: 'imbalanced' });
    const result = await planner.rebalanceAsync(0);
    const { moveCosts } = moveEconomy(economy);
    expect(result.mapping.equals(balancer.rebalance({ moveCosts }).mapping)).toBe(true);
    expect(planner.pendingMapping).toBe(result);
    expect(planner.netBenefit(result.report)).toMatchObject({ pays: true });
    const stepTimes = new StepTimeModel({ numLayers: 2 }).fit();
    expect(planner.netBenefit(result.report, { stepTimes })).toMatchObject({
      pays: false,
      reason: expect.stringContaining('nothing is moved'),
    });
    expect(planner.shouldRebalance(500)).toMatchObject({ rebalance: false, reason: 'interval' });
  });

  it.each([
    ['steady', [0, 1, 2, 3], [0, 1, 2, 3]],
    ['changing', [0, 1], [2, 3]],
  ])(
    'plans the same dispatch there as here for %s sources, and again',
    async (_, ...windows: number[][]) => {
      const balancer = balancerOf(new LocalityAwarePolicy());
      const seen = new RouteWindow(2);
      for (const ranks of windows) {
        balancer.recordLogicalLoad(skewed());
        balancer.advanceWindow();
        seen.add(routesFrom(ranks));
      }
      const { routes } = seen;
      if (routes === null) throw new Error('there are no routes');
      const sourceLoads = sourceLoadsOfRoutes(routes, balancer.mapping);
      const options = {
        replicaChoice: 'weighted',
        topology: clusterOf(4, 2),
        routes,
        sourceLoads,
        trafficUnit: 'expert',
        trafficMoveCost: 0.001,
        balanceLossMax: 0.03,
        moveCosts: Float64Array.of(1, 1),
        rankCapacities: Float64Array.of(1, 1, 1, 2),
      } as const;
      const told = structuredClone(options);
      const asked = structuredClone(withoutMapping(balancer));
      const here = balancer.rebalance(options);
      const planner = startedOn(balancer);
      for (let plan = 0; plan < 2; plan += 1) {
        const there = await planner.rebalanceAsync(plan, options);
        expect(there.mapping.equals(here.mapping)).toBe(true);
        expect(there.dispatch).toEqual(here.dispatch);
        const { planMs: _here, ...report } = { ...here.report };
        expect(there.report).toMatchObject(report);
      }
      expect(here.dispatch?.shares.some((share) => share > 0 && share < 1)).toBe(true);
      expect(here.report.crossNodeTraffic).toBeGreaterThan(0);
      // What the transfer takes are copies: nothing of the caller's or the balancer's is gone.
      expect(options).toEqual(told);
      expect(withoutMapping(balancer)).toEqual(asked);
    },
  );

  it('surfaces a refusal of the policy, and plans again afterwards', async () => {
    const balancer = balancerOf(new DefaultEplbPolicy(), 13);
    balancer.recordLogicalLoad(skewed());
    balancer.advanceWindow();
    const planner = startedOn(balancer);
    await expect(planner.rebalanceAsync(0)).rejects.toMatchObject({ code: 'ISOBAR_EPLB_SIZES' });
    await expect(planner.rebalanceAsync(0)).rejects.toMatchObject({ code: 'ISOBAR_EPLB_SIZES' });
  });

  it('surfaces a worker that dies', async () => {
    const balancer = balancerOf(new LocalityAwarePolicy());
    balancer.recordLogicalLoad(skewed());
    balancer.advanceWindow();
    const planner = startedOn(balancer);
    // An entry that can't be decoded in the worker: its own exception, not a refusal.
    const poisoned = { unavailableRanks: { length: 1 } as unknown as number[] };
    await expect(planner.rebalanceAsync(0, poisoned)).rejects.toMatchObject({
      code: 'ISOBAR_EPLB_WORKER_FAILED',
    });
    await expect(planner.rebalanceAsync(0)).resolves.toBeDefined();
  });

  it('makes one plan at a time, and none before the first pass', async () => {
    const planner = startedOn(balancerOf(new LocalityAwarePolicy()));
    await expect(planner.rebalanceAsync(0)).rejects.toMatchObject({ code: 'ISOBAR_EPLB_NO_LOADS' });
    const balancer = balancerOf(new LocalityAwarePolicy());
    balancer.recordLogicalLoad(skewed());
    balancer.advanceWindow();
    const busy = startedOn(balancer);
    const first = busy.rebalanceAsync(0);
    await expect(busy.rebalanceAsync(0)).rejects.toMatchObject({
      code: 'ISOBAR_EPLB_PLAN_UNDERWAY',
    });
    await first;
  });

  it('gives a plan after one that missed its deadline more time, up to four times', async () => {
    const numLogicalExperts = 256;
    const mapping = ExpertMapping.contiguous({
      numLayers: 58,
      numLogicalExperts,
      numRanks: 32,
      numPhysicalExperts: 288,
    });
    const balancer = new ExpertLoadBalancer({ policy: new LocalityAwarePolicy(), mapping });
    balancer.recordLogicalLoad(
      Float64Array.from({ length: 58 * numLogicalExperts }, (_, index) => (index * 7_919) % 1_009),
    );
    balancer.advanceWindow();
    const planner = startedOn(balancer, 1);
    const options = { moveCosts: new Float64Array(58) };
    for (const planDeadlineMs of [1, 2, 4, 4]) {
      await expect(planner.rebalanceAsync(0, options)).rejects.toMatchObject({
        code: 'ISOBAR_EPLB_PLAN_DEADLINE',
        fields: { planDeadlineMs },
      });
    }
    const conditions = { intervalMs: 1_000, passesMin: 2, balancednessMax: 1 };
    planner.useConditions({ ...conditions, planDeadlineMs: 60_000 });
    await expect(planner.rebalanceAsync(0, options)).resolves.toBeDefined();
  });

  it('rejects the plan under way when it is stopped', async () => {
    const balancer = balancerOf(new LocalityAwarePolicy());
    balancer.recordLogicalLoad(skewed());
    balancer.advanceWindow();
    const planner = startedOn(balancer);
    const plan = planner.rebalanceAsync(0);
    await Promise.all([
      expect(plan).rejects.toMatchObject({ code: 'ISOBAR_EPLB_WORKER_FAILED' }),
      planner.stop(),
    ]);
  });

  const { vllm_ascend_stair } = JSON.parse(
    readFileSync(new URL('./fixtures/other-balancers.json', import.meta.url), 'utf8'),
  ) as {
    readonly vllm_ascend_stair: {
      readonly cases: readonly {
        readonly name: string;
        readonly current: number;
        readonly exact_update: boolean;
      }[];
    };
  };
  it.each(vllm_ascend_stair.cases.filter(({ name }) => name === 'hysteresis'))(
    'decides at a balancedness of $current as STAIR does: $exact_update',
    ({ current, exact_update }) => {
      const mapping = ExpertMapping.contiguous({
        numLayers: 2,
        numLogicalExperts: 2,
        numRanks: 2,
        numPhysicalExperts: 2,
      });
      const balancer = new ExpertLoadBalancer({ policy: new LocalityAwarePolicy(), mapping });
      for (let pass = 0; pass < 2; pass += 1) {
        balancer.recordLogicalLoad(Float64Array.of(1, 2 * current - 1, 1, 2 * current - 1));
        balancer.advanceWindow();
      }
      const decision = startedOn(balancer).shouldRebalance(0);
      expect(decision.balancedness).toBeCloseTo(current, 12);
      expect(decision.rebalance).toBe(exact_update);
    },
  );
});
