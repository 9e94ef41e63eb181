import { describe, expect, it } from 'vitest';
import type { LoadPass } from '../src/load-window.js';
import { StepEconomy, type StepEconomySettings } from '../src/step-economy.js';

const shape = { numLayers: 2, numRanks: 4 };
const settings: StepEconomySettings = {
  interference: 0.1,
  horizonPasses: 60,
  bandwidthBytesPerSecond: 1e9,
  gainShareMin: 0.02,
  perTokenSeconds: null,
};
const bytesPerExpert = 1e6;

/**
 * A pass of 10 steps in which a layer takes 1 ms and 0.01 ms a token, and a step what its slowest
 * ranks take, times `slowness`.
 */
function passOf(
  rankTokens: readonly number[],
  { timed = true, slowness = 1 }: { timed?: boolean; slowness?: number } = {},
): LoadPass {
  const steps = 10;
  const { numLayers, numRanks } = shape;
  const rankLoads = Float64Array.from(
    { length: numLayers * numRanks },
    (_, at) => (rankTokens[at % numRanks] ?? 0) * steps,
  );
  const largest = Math.max(...rankTokens);
  return {
    logicalLoads: new Float64Array(0),
    rankLoads,
    steps,
    meanStepMillis: numLayers * (1 + 0.01 * largest) * slowness,
    ranks: rankTokens.map((tokens, rank) => ({
      rank,
      steps,
      layerMillis: timed ? new Float64Array(numLayers).fill((1 + 0.01 * tokens) * steps) : null,
    })),
  };
}

describe('the economy of steps', () => {
  it('fits the time per token of each layer from what ranks tell of a step', () => {
    const economy = new StepEconomy(settings, shape, bytesPerExpert);
    expect(economy.summary()).toMatchObject({ perTokenSeconds: null, layersByBasis: { held: 2 } });
    for (let pass = 0; pass < 3; pass += 1) economy.addPass(passOf([100, 200, 300, 400]), false);
    const summary = economy.summary();
    expect(summary).toMatchObject({ layersByBasis: { layer: 2, held: 0 }, reason: null });
    expect(summary.perTokenSeconds).toBeCloseTo(1e-5, 12);
    expect(economy.current(null).stepTimes[1]?.fixedSeconds).toBeCloseTo(1e-3, 9);
  });

  it('fits whole steps where no rank times its layers, once their load has varied', () => {
    const economy = new StepEconomy(settings, shape, bytesPerExpert);
    for (let pass = 0; pass < 12; pass += 1) {
      economy.addPass(passOf([100, 200, 300, 400], { timed: false }), false);
    }
    expect(economy.summary()).toMatchObject({ layersByBasis: { held: 2 } });
    expect(economy.summary().reason).toContain('differ too little');
    for (let pass = 0; pass < 12; pass += 1) {
      economy.addPass(passOf([100, 200, 300, 400 + pass], { timed: false }), false);
    }
    expect(economy.summary()).toMatchObject({ layersByBasis: { step: 2 } });
    expect(economy.summary().perTokenSeconds).toBeCloseTo(1e-5, 9);
  });

  it('does not take the jump from idle to busy for a slope', () => {
    const economy = new StepEconomy(settings, shape, bytesPerExpert);
    for (let pass = 0; pass < 12; pass += 1) {
      const idle = passOf([0, 0, 0, 0]);
      for (const { layerMillis } of idle.ranks) layerMillis?.fill(0);
      economy.addPass({ ...idle, meanStepMillis: 0.01 }, false);
      const half = passOf([0, 0, 300, 300]);
      for (const { rank, layerMillis } of half.ranks) layerMillis?.fill(rank < 2 ? 0 : 40);
      economy.addPass({ ...half, meanStepMillis: 8 }, false);
    }
    expect(economy.summary()).toMatchObject({ layersByBasis: { held: 2 } });
  });

  it('measures interference apart from load, leaving out the pass that follows a swap', () => {
    const economy = new StepEconomy(settings, shape, bytesPerExpert);
    for (let pass = 0; pass < 8; pass += 1) {
      economy.addPass(passOf([100, 200, 300, 400]), false);
    }
    for (let swap = 0; swap < 6; swap += 1) {
      economy.addPass(passOf([100, 200, 300, 900], { slowness: 1.25 }), true);
      economy.addPass(passOf([100, 200, 300, 900], { slowness: 1.25 }), false);
      economy.addPass(passOf([100, 200, 300, 400]), false);
    }
    const { interference, perTokenSeconds } = economy.summary();
    expect(interference).toMatchObject({ basis: 'measured', transferring: 6 });
    expect(interference.share).toBeCloseTo(0.25, 6);
    expect(economy.current(null).interference).toBe(interference.share);
    expect(perTokenSeconds).toBeCloseTo(1e-5, 12);
  });

  it('lets a setting stand in for what is not told', () => {
    const configured = { ...settings, perTokenSeconds: 3e-6 };
    const economy = new StepEconomy(configured, shape, bytesPerExpert);
    expect(economy.summary()).toMatchObject({
      perTokenSeconds: 3e-6,
      layersByBasis: { configured: 2 },
      interference: { share: 0.1, basis: 'configured' },
    });
  });

  it('asks a move to save a share of the mean rank load at least', () => {
    const economy = new StepEconomy(settings, shape, bytesPerExpert);
    const { leastMoveCosts, bytesPerExpert: bytes } = economy.current(
      Float64Array.of(100, 300, 0, 0, 0, 800),
    );
    expect(leastMoveCosts).toEqual(Float64Array.of(2, 4));
    expect(bytes).toEqual(Float64Array.of(1e6, 1e6));
  });
});
