import { readFileSync } from 'node:fs';
import {
  AsyncExpertRebalancer,
  configuredStepTimes,
  DefaultEplbPolicy,
  ExpertLoadBalancer,
  ExpertMapping,
  LocalityAwarePolicy,
  moveEconomy,
  StepTimeModel,
} from '@isobar/eplb';
import { afterEach, describe, expect, it } from 'vitest';

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
