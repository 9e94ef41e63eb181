import { ExpertMapping, moveCostDefault } from '@isobar/eplb';
import {
  type EngineDescription,
  IsobarError,
  planSummarySchema,
  type Wave,
} from '@isobar/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import type { LoadPass } from '../src/load-window.js';
import { Rebalancing, type RebalancingContext } from '../src/rebalancing.js';
import { settingsOf } from '../src/settings.js';
import { configurationWith } from './test-configuration.js';

const mapping = ExpertMapping.contiguous({
  numLayers: 2,
  numLogicalExperts: 8,
  numRanks: 4,
  numPhysicalExperts: 12,
});
const settings = settingsOf(configurationWith({ perTokenSeconds: 1e-5 }).configuration);
const engines = [0, 1, 2, 3].map(
  (rank) =>
    ({
      rank,
      bytesPerExpert: 65_536,
      pinnedSlots: [],
      spareBuffers: 4,
      reserveBuffers: 1,
    }) as unknown as EngineDescription,
);

const newest = { version: 3, digest: 'digest' };

function rebalancingWith(given: Partial<RebalancingContext>): Rebalancing {
  const context: RebalancingContext = {
    settings: () => settings,
    engines: () => engines,
    topology: {
      numRanks: 4,
      fastDomains: Int32Array.of(0, 0, 1, 1),
      failureDomains: Int32Array.of(0, 0, 1, 1),
      cost: new Float64Array(16).fill(1),
    },
    numNodes: 2,
    mode: () => 'observe',
    heldBack: () => null,
    idle: () => true,
    unavailableRanks: () => [],
    usableSlots: () => new Int32Array(4).fill(99),
    roomForWaves: () => ({ bytesMax: 1_048_576, layerBytes: 64, moveBytes: 20 }),
    request: () => expect.unreachable(),
    tell: () => undefined,
    now: () => 0,
    ...given,
  };
  return new Rebalancing(context, mapping, newest);
}

/** Nothing is planned but what is asked for. */
function paused(): Rebalancing {
  return rebalancingWith({ heldBack: () => 'paused' });
}

function pass(number: number): LoadPass {
  const logicalLoads = Float64Array.from({ length: 16 }, (_, at) =>
    at % 8 < 2 ? 500 + 10 * number : 20,
  );
  return {
    logicalLoads,
    rankLoads: mapping.rankLoads(logicalLoads),
    steps: 10,
    meanStepMillis: 5,
    ranks: [],
  };
}

let rebalancing: Rebalancing | null = null;
afterEach(() => rebalancing?.stop());

describe('a plan that is asked for', () => {
  it('says how its loads were forecast, by its own schema', async () => {
    rebalancing = paused();
    for (let number = 0; number < 3; number += 1) await rebalancing.addPass(pass(number));
    const plan = await rebalancing.explainPlan();
    expect(planSummarySchema.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
    expect(plan).toMatchObject({ baseVersion: 3, pays: true, forecast: { layers: 2 } });
    const { methods, relativeError } = plan.forecast;
    expect(Object.values(methods).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
    expect(relativeError).toBeGreaterThan(0);
  });

  it('is shared by all who ask while it is being made, and made anew for who asks later', async () => {
    rebalancing = paused();
    await rebalancing.addPass(pass(0));
    const [first, second] = await Promise.all([
      rebalancing.explainPlan(),
      rebalancing.explainPlan(),
    ]);
    expect(second).toEqual(first);
    expect((await rebalancing.explainPlan()).id).not.toBe(first.id);
  });

  it('is refused before the first pass, and made once there is one', async () => {
    rebalancing = paused();
    await expect(rebalancing.explainPlan()).rejects.toMatchObject({ code: 'ISOBAR_EPLB_NO_LOADS' });
    await rebalancing.addPass(pass(0));
    await expect(rebalancing.explainPlan()).resolves.toMatchObject({ baseVersion: 3 });
  });
});

describe('settings that change', () => {
  it('hold for the next pass and the next plan', async () => {
    let current = { ...settings, planIntervalMs: 600_000 };
    let nowMs = 0;
    const own = rebalancingWith({ settings: () => current, now: () => nowMs });
    rebalancing = own;
    for (let number = 0; number < 3; number += 1) {
      nowMs += 1_000;
      await own.addPass(pass(number));
    }
    const planned = own.history.length;
    expect(planned).toBe(1);
    expect(own.history[0]?.plan).toMatchObject({ policy: 'locality-aware', pays: true });
    current = { ...current, planIntervalMs: 500, windowPasses: 2, policy: 'default' };
    current = { ...current, perTokenSeconds: 1e-12, interference: 1 };
    own.useSettings();
    expect(own.passes).toBe(2);
    nowMs += 1_000;
    await own.addPass(pass(3));
    expect(own.history).toHaveLength(planned + 1);
    expect(own.history.at(-1)?.plan).toMatchObject({ policy: 'default', pays: false });
    expect(own.economy.interference).toMatchObject({ share: 1, basis: 'configured' });
    current = { ...current, balancednessMax: 0.01 };
    own.useSettings();
    nowMs += 1_000;
    await own.addPass(pass(4));
    expect(own.history).toHaveLength(planned + 1);
  });
});

describe('balancing by itself', () => {
  interface Asked {
    readonly waves: readonly Wave[];
  }

  /** Time goes on with every look at the clock, so that a plan is always due. */
  function automatic(given: Partial<RebalancingContext> = {}) {
    const asked: Asked[] = [];
    let nowMs = 0;
    const own = rebalancingWith({
      mode: () => 'automatic',
      now: () => {
        nowMs += settings.planIntervalMs;
        return nowMs;
      },
      request: (waves, base) => {
        expect(base).toEqual(newest);
        asked.push({ waves });
        return { token: asked.length, accepted: Promise.resolve(true) };
      },
      ...given,
    });
    rebalancing = own;
    return { own, asked };
  }

  async function addPasses(own: Rebalancing): Promise<void> {
    for (let number = 0; number < settings.passesMin; number += 1) await own.addPass(pass(number));
  }

  it('asks for its plan, and is told what became of it', async () => {
    const { own, asked } = automatic();
    await addPasses(own);
    expect(asked).toHaveLength(1);
    expect(own.history.at(-1)).toMatchObject({ outcome: 'running', askedBy: 'automatic' });
    own.onWaveCommitted();
    own.onRequestEnded(99, 'void');
    own.onRequestEnded(1, 'superseded');
    expect(own.history.at(-1)).toMatchObject({ outcome: 'superseded', wavesCommitted: 1 });
  });

  it('is not begun while it is held back', async () => {
    const { own, asked } = automatic({ heldBack: () => 'held: rolled back to version 1' });
    await addPasses(own);
    expect([asked, own.history]).toEqual([[], []]);
  });

  it('is not begun either where it was held back only after the plan was made', async () => {
    let looks = 0;
    const { own, asked } = automatic({
      heldBack: () => {
        looks += 1;
        return looks > settings.passesMin ? 'paused' : null;
      },
    });
    await addPasses(own);
    expect(looks).toBe(settings.passesMin + 1);
    expect(asked).toEqual([]);
  });

  it('places nothing on ranks that are no members or drained', async () => {
    const { own, asked } = automatic({ unavailableRanks: () => [3] });
    await addPasses(own);
    const last = asked[0]?.waves.at(-1)?.mapping.physicalToLogical ?? [];
    const slots = mapping.numPhysicalExperts;
    const placed = [...last].filter(
      (expert, index) => expert >= 0 && mapping.rankOfSlot(index % slots) === 3,
    );
    expect(last.length).toBeGreaterThan(0);
    expect(placed).toEqual([]);
  });

  it('makes no plan where all that is uneven is a rank that may hold nothing', async () => {
    const row = [0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1, -1];
    const onThree = ExpertMapping.create({
      numLayers: 2,
      numLogicalExperts: 8,
      slotOffsets: mapping.slotOffsets,
      physicalToLogical: Int32Array.from([...row, ...row]),
    });
    const loads = [20, 20, 20, 20, 20, 20, 30, 30];
    const logicalLoads = Float64Array.from([...loads, ...loads]);
    const rankLoads = onThree.rankLoads(logicalLoads);
    const numPlans = async (unavailableRanks: number[]) => {
      const { own } = automatic({
        mode: () => 'observe',
        unavailableRanks: () => unavailableRanks,
      });
      own.applyMapping(onThree, newest);
      for (let number = 0; number < settings.passesMin; number += 1) {
        await own.addPass({ ...pass(number), logicalLoads, rankLoads });
      }
      await own.stop();
      return own.history.length;
    };
    expect(await numPlans([3])).toBe(0);
    expect(await numPlans([])).toBe(1);
  });

  it('takes a refusal for one, and tries again later', async () => {
    const refusal = new IsobarError('ISOBAR_COORDINATOR_SWAP_OPEN', 'an evacuation comes first');
    const told: string[] = [];
    const { own } = automatic({
      request: () => ({ token: 1, accepted: Promise.reject(refusal) }),
      tell: (kind) => told.push(kind),
    });
    await addPasses(own);
    expect(own.history.at(-1)?.outcome).toBe('refused');
    expect(told).toContain('plan-failed');
    own.onRequestEnded(1, 'committed');
    expect(own.history.at(-1)?.outcome).toBe('refused');
  });
});

describe('a plan that waits for approval', () => {
  const refusal = new IsobarError('ISOBAR_COORDINATOR_SWAP_OPEN', 'an evacuation comes first');
  const refused = () => ({ token: 1, accepted: Promise.reject(refusal) });

  async function waiting() {
    const clock = { nowMs: 0 };
    const own = rebalancingWith({
      mode: () => 'approve',
      now: () => {
        clock.nowMs += settings.planIntervalMs;
        return clock.nowMs;
      },
    });
    rebalancing = own;
    for (let number = 0; number < settings.passesMin; number += 1) await own.addPass(pass(number));
    return { own, plan: own.waitingPlan(undefined) };
  }

  it('waits on where the leader refused to begin it', async () => {
    const { own, plan } = await waiting();
    const following = own.follow(plan, 'operator', refused());
    expect(own.pendingPlan).toBeNull();
    await expect(following).rejects.toBe(refusal);
    expect(own.waitingPlan(plan.id)).toBe(plan);
  });

  it('does not where another version has come into force meanwhile', async () => {
    const { own, plan } = await waiting();
    const following = own.follow(plan, 'operator', refused());
    own.applyMapping(mapping, { ...newest, version: newest.version + 1 });
    await expect(following).rejects.toBe(refusal);
    expect(own.pendingPlan).toBeNull();
  });

  it('is not proposed where one was refused while it was being made', async () => {
    const { own, plan } = await waiting();
    const making = own.addPass(pass(settings.passesMin));
    own.decline(plan);
    await making;
    expect(own.pendingPlan).toBeNull();
    expect(own.history.map(({ outcome }) => outcome)).toEqual(['waiting', 'declined']);
  });

  it('is none where it never waited', async () => {
    const { own } = await waiting();
    own.applyMapping(mapping, newest);
    const now = await own.planNow();
    await expect(own.follow(now, 'operator', refused())).rejects.toBe(refusal);
    expect(own.pendingPlan).toBeNull();
  });
});

it('asks no more of a move than the policy by itself, unless it is told', () => {
  expect(settings.gainShareMin).toBe(moveCostDefault);
});
