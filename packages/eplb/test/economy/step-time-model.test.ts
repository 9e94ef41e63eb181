import { configuredStepTimes, EplbError, type LayerStepTime, StepTimeModel } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalDraws, uniformDraws } from './noise.js';

const seeded = { seed: 20_261_124 };

interface Truth {
  readonly fixedSeconds: number;
  readonly perTokenSeconds: number;
  readonly noiseSeconds: number;
}

/** Observations of one layer by `ranks` ranks in each of `passes`, with tokens of 0.5 to 1.5 × 10⁵. */
function observe(
  model: StepTimeModel,
  layer: number,
  truth: Truth,
  { seed, ranks = 8, passes = 5 }: { seed: number; ranks?: number; passes?: number },
): void {
  const normal = normalDraws(seed);
  const uniform = uniformDraws(seed ^ 0x5eed);
  for (let pass = 0; pass < passes; pass += 1) {
    for (let rank = 0; rank < ranks; rank += 1) {
      const tokens = 5e4 + 1e5 * uniform();
      const seconds = truth.fixedSeconds + truth.perTokenSeconds * tokens;
      model.add(layer, tokens, Math.max(0, seconds + truth.noiseSeconds * normal()));
    }
    if (layer === 0) model.advance();
  }
}

function only(times: readonly LayerStepTime[]): LayerStepTime {
  const [time] = times;
  if (time === undefined) throw new Error('no layer was fitted');
  return time;
}

const flat: Truth = { fixedSeconds: 1e-4, perTokenSeconds: 0, noiseSeconds: 1e-5 };
const steep: Truth = { fixedSeconds: 1e-4, perTokenSeconds: 2e-9, noiseSeconds: 1e-5 };

describe('StepTimeModel', () => {
  it('recovers the line under noise, as well as its standard error says', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.double({ min: 1e-9, max: 1e-7, noNaN: true }),
        (seed, perTokenSeconds) => {
          const model = new StepTimeModel({ numLayers: 1, decay: 1 });
          const noiseSeconds = perTokenSeconds * 1e4;
          observe(model, 0, { fixedSeconds: 1e-3, perTokenSeconds, noiseSeconds }, { seed });
          const fitted = only(model.fit());
          expect(fitted).toMatchObject({ basis: 'layer', significant: true, reason: null });
          const off = Math.abs(fitted.perTokenSeconds - perTokenSeconds);
          expect(off).toBeLessThan(5 * fitted.standardError);
          // σ ÷ √(n var tokens): 40 observations of tokens with deviation 10⁵ ÷ √12.
          const wanted = noiseSeconds / (Math.sqrt(40 / 12) * 1e5);
          expect(fitted.standardError).toBeGreaterThan(wanted / 2);
          expect(fitted.standardError).toBeLessThan(wanted * 2);
          const fixedOff = Math.abs(fitted.fixedSeconds - 1e-3);
          expect(fixedOff).toBeLessThan(5 * 2e5 * fitted.standardError);
        },
      ),
      seeded,
    );
  });

  it('loses nothing to rounding: an exact line is found exactly, far from the origin', () => {
    const model = new StepTimeModel({ numLayers: 1, decay: 0.99 });
    for (let pass = 0; pass < 1_000; pass += 1) {
      for (const tokens of [1e9, 1e9 + 1, 1e9 + 2]) model.add(0, tokens, 1e-4 * (tokens - 1e9));
      model.advance();
    }
    expect(only(model.fit()).perTokenSeconds).toBeCloseTo(1e-4, 10);
  });

  it('takes noise for a slope in at most 1 % of trials, be the observations few or many', () => {
    for (const [passes, decay] of [
      [1, 1],
      [10, 1],
      [60, 0.9],
    ] as const) {
      let told = 0;
      const trials = 2_000;
      for (let seed = 1; seed <= trials; seed += 1) {
        const model = new StepTimeModel({ numLayers: 1, decay });
        observe(model, 0, flat, { seed: seed * 7_919, passes });
        if (only(model.fit()).significant) told += 1;
      }
      // 1 % and three deviations of a count of 2,000 trials.
      expect(told, `${passes} passes`).toBeLessThanOrEqual(20 + 14);
    }
  });

  it('does not take ranks that are lastingly slower for a slope, in one layer or in all', () => {
    const trials = 400;
    const told = { layer: 0, 'all-layers': 0, step: 0, configured: 0, none: 0 };
    for (let seed = 1; seed <= trials; seed += 1) {
      const normal = normalDraws(seed * 7_919);
      const model = new StepTimeModel({ numLayers: 2 });
      const rankSeconds = Array.from({ length: 8 }, () => 1e-4 + 5e-6 * normal());
      const rankTokens = Array.from({ length: 8 }, () => 1e5 + 2e4 * normal());
      for (let pass = 0; pass < 40; pass += 1) {
        rankSeconds.forEach((seconds, rank) => {
          for (const layer of [0, 1]) {
            const tokens = (rankTokens[rank] ?? 0) + 1e3 * normal();
            model.add(layer, tokens, seconds + 1e-6 * normal(), rank);
          }
        });
        model.advance();
      }
      told[only(model.fit()).basis ?? 'none'] += 1;
    }
    expect(told.none).toBeGreaterThanOrEqual(0.95 * trials);
  });

  it('tells a slope from ranks that differ, once theirs is the smaller part', () => {
    const normal = normalDraws(17);
    const model = new StepTimeModel({ numLayers: 1 });
    for (let pass = 0; pass < 10; pass += 1) {
      for (let rank = 0; rank < 8; rank += 1) {
        const tokens = 5e4 + 1e4 * rank + 1e3 * normal();
        model.add(0, tokens, 1e-4 + 2e-9 * tokens + 1e-6 * (rank % 3), rank);
      }
      model.advance();
    }
    const { basis, perTokenSeconds, standardError } = only(model.fit());
    expect(basis).toBe('layer');
    expect(Math.abs(perTokenSeconds - 2e-9)).toBeLessThan(4 * standardError);
  });

  it('says why there is no slope: noise, tokens that are all alike, or nothing seen', () => {
    const model = new StepTimeModel({ numLayers: 2 });
    observe(model, 0, flat, { seed: 3 });
    for (let pass = 0; pass < 20; pass += 1) model.add(1, 100, 1e-3);
    const [noise, alike] = model.fit();
    expect(noise).toMatchObject({ basis: null, significant: false });
    expect(noise?.reason).toMatch(/s per token ± .* observations/);
    expect(alike).toMatchObject({ basis: null, standardError: Number.POSITIVE_INFINITY });
    expect(alike?.reason).toContain('differ too little');
    expect(only(new StepTimeModel({ numLayers: 1 }).fit())).toMatchObject({ basis: null });
  });

  it('does not trust a negative slope, however certain', () => {
    const model = new StepTimeModel({ numLayers: 1 });
    observe(model, 0, { fixedSeconds: 1, perTokenSeconds: -1e-6, noiseSeconds: 1e-5 }, { seed: 5 });
    expect(only(model.fit())).toMatchObject({ basis: null, significant: false });
  });

  it('pools layers that tell nothing alone, each with its own fixed time', () => {
    const model = new StepTimeModel({ numLayers: 40, decay: 1 });
    const weak = { ...steep, noiseSeconds: 6e-5 };
    for (let layer = 0; layer < 40; layer += 1) {
      const fixedSeconds = 1e-3 * (layer + 1);
      observe(model, layer, { ...weak, fixedSeconds }, { seed: 100 + layer, passes: 1, ranks: 6 });
    }
    const fitted = model.fit();
    const pooled = fitted.filter(({ basis }) => basis === 'all-layers');
    expect(pooled.length).toBeGreaterThan(30);
    for (const { perTokenSeconds, standardError } of pooled) {
      expect(Math.abs(perTokenSeconds - 2e-9)).toBeLessThan(4 * standardError);
    }
    expect(fitted[9]?.fixedSeconds).toBeCloseTo(1e-2, 3);
    expect(fitted[39]?.fixedSeconds).toBeCloseTo(4e-2, 3);
  });

  it('does not give the slope of all layers to one that was seen to be flat', () => {
    const model = new StepTimeModel({ numLayers: 3, decay: 1 });
    observe(model, 0, { ...flat, noiseSeconds: 1e-7 }, { seed: 11, passes: 20 });
    observe(model, 1, steep, { seed: 12, passes: 20 });
    observe(model, 2, steep, { seed: 13, passes: 20 });
    const fitted = model.fit();
    expect(fitted.map(({ basis }) => basis)).toEqual([null, 'layer', 'layer']);
    expect(fitted[0]?.reason).toContain('contradicts');
  });

  it('takes whole steps where no layer is timed, and only there', () => {
    const model = new StepTimeModel({ numLayers: 4 });
    const normal = normalDraws(9);
    for (let pass = 0; pass < 40; pass += 1) {
      const tokens = 1_000 + 200 * normal();
      model.addStep(tokens, 2e-2 + 1e-5 * tokens + 1e-5 * normal());
    }
    const fitted = model.fit();
    expect(fitted.map(({ basis }) => basis)).toEqual(Array(4).fill('step'));
    expect(fitted[3]?.perTokenSeconds).toBeCloseTo(1e-5, 7);
    expect(fitted[3]?.fixedSeconds).toBeCloseTo(5e-3, 4);
    expect(model.expectedStepSeconds(2_000)).toBeCloseTo(4e-2, 3);
    model.add(0, 100, 1e-3);
    expect(model.fit().map(({ basis }) => basis)).toEqual(Array(4).fill(null));
  });

  it('forgets: after a change of speed the new slope is found', () => {
    const model = new StepTimeModel({ numLayers: 1, decay: 0.8 });
    observe(model, 0, steep, { seed: 21, passes: 40 });
    observe(model, 0, { ...steep, perTokenSeconds: 8e-9 }, { seed: 22, passes: 40 });
    const { perTokenSeconds, standardError, observations } = only(model.fit());
    expect(Math.abs(perTokenSeconds - 8e-9)).toBeLessThan(4 * standardError);
    // 8 ranks × (1 + 0.8) ÷ (1 − 0.8)
    expect(observations).toBeCloseTo(72, 0);
  });

  it('expects the mean step where load does not explain it, and nothing before the first', () => {
    const model = new StepTimeModel({ numLayers: 1 });
    expect(model.expectedStepSeconds(100)).toBeNull();
    model.addStep(100, 2);
    model.addStep(100, 4);
    expect(model.expectedStepSeconds(1_000)).toBe(3);
    observe(model, 0, { ...steep, noiseSeconds: 0 }, { seed: 1 });
    expect(model.expectedStepSeconds(1_000)).toBeCloseTo(3 + 900 * 2e-9, 9);
  });

  it('refuses what is no observation, naming the field', () => {
    const model = new StepTimeModel({ numLayers: 2 });
    const refused: [string, () => void][] = [
      ['layer', () => model.add(2, 1, 1)],
      ['tokens', () => model.add(0, Number.NaN, 1)],
      ['seconds', () => model.add(0, 1, -1)],
      ['seconds', () => model.addStep(1, Number.POSITIVE_INFINITY)],
      ['decay', () => new StepTimeModel({ numLayers: 1, decay: 0 })],
      ['numLayers', () => new StepTimeModel({ numLayers: 0 })],
      ['perTokenSeconds', () => configuredStepTimes(1, 0)],
    ];
    for (const [field, act] of refused) {
      expect(act).toThrow(EplbError);
      expect(act).toThrow(expect.objectContaining({ fields: { field } }));
    }
  });
});
