import { ExpertMapping, moveCostDefault } from '@isobar/eplb';
import type { EngineDescription } from '@isobar/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import type { LoadPass } from '../src/load-window.js';
import { planSummarySchema } from '../src/operator-messages.js';
import { Rebalancing } from '../src/rebalancing.js';
import { coordinatorSettingsSchema } from '../src/settings.js';

const mapping = ExpertMapping.contiguous({
  numLayers: 2,
  numLogicalExperts: 8,
  numRanks: 4,
  numPhysicalExperts: 12,
});
const settings = coordinatorSettingsSchema.parse({
  deployment: 'test',
  servers: ['nats://127.0.0.1:4222'],
  topology: 'topology.yaml',
  perTokenSeconds: 1e-5,
});
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

/** Nothing is planned but what is asked for. */
function paused(): Rebalancing {
  const context = {
    settings,
    engines,
    topology: {
      numRanks: 4,
      fastDomains: Int32Array.of(0, 0, 1, 1),
      failureDomains: Int32Array.of(0, 0, 1, 1),
      cost: new Float64Array(16).fill(1),
    },
    numNodes: 2,
    mode: () => 'observe' as const,
    paused: () => true,
    idle: () => true,
    newest: () => ({ version: 3, digest: 'digest' }),
    begin: () => expect.unreachable(),
    tell: () => undefined,
    now: () => 0,
  };
  return new Rebalancing(context, mapping);
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

it('asks no more of a move than the policy by itself, unless it is told', () => {
  expect(settings.gainShareMin).toBe(moveCostDefault);
});
