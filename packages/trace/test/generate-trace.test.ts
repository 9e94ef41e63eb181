import { generateTrace, MEASURED, type Trace, TraceError } from '@isobar/trace';
import { describe, expect, it } from 'vitest';
import {
  adjacentSharing,
  byLayer,
  correlation,
  groupLift,
  layerLoads,
  mean,
  median,
  sharingByChance,
  stepCorrelation,
  sumOf,
  varianceRatio,
} from './statistics.js';

const small = { seed: 3, numLayers: 2, numExperts: 16, topK: 4, tokensPerStep: 8, numSteps: 6 };

function contentOf(trace: Trace): number[][] {
  return Array.from({ length: trace.numSteps }, (_, step) => Array.from(trace.tokens(step)));
}

function refused(make: () => unknown): TraceError {
  try {
    make();
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('generateTrace', () => {
  it('is the same for the same options and another for another seed', () => {
    expect(contentOf(generateTrace(small))).toEqual(contentOf(generateTrace(small)));
    expect(contentOf(generateTrace(small))).not.toEqual(
      contentOf(generateTrace({ ...small, seed: 4 })),
    );
  });

  it('has the default sizes, and gives a step again as it was, whatever was done to it', () => {
    const trace = generateTrace({ seed: 1 });
    expect(trace.header).toEqual({ model: 'synthetic', numLayers: 26, numExperts: 64, topK: 6 });
    expect([trace.numSteps, trace.numTokens(0)]).toEqual([256, 64]);
    const first = trace.tokens(7).slice();
    trace.tokens(7).fill(0);
    expect(trace.tokens(7)).toEqual(first);
  });

  it('tells the sequences of its tokens: in order, none left out, of more than one length', () => {
    const trace = generateTrace({ seed: 1 });
    const all = Array.from({ length: trace.numSteps }, (_, step) => [
      ...trace.sequences(step),
    ]).flat();
    expect(all).toHaveLength(256 * 64);
    const lengths = new Map<number, number>();
    all.forEach((sequence, token) => {
      expect(sequence - (all[token - 1] ?? 0)).toBeOneOf([0, 1]);
      lengths.set(sequence, (lengths.get(sequence) ?? 0) + 1);
    });
    expect(all[0]).toBe(0);
    expect(new Set(lengths.values()).size).toBeGreaterThan(2);
  });

  it.each([
    small,
    { ...small, topK: 16 },
    { ...small, numExperts: 40, topK: 1 },
    { ...small, numLayers: 1, numExperts: 300, topK: 8 },
  ])('chooses distinct experts in range, and counts them as loads: %j', (options) => {
    const trace = generateTrace(options);
    const { numLayers, numExperts, topK } = trace.header;
    for (let step = 0; step < trace.numSteps; step += 1) {
      const tokens = trace.tokens(step);
      const counts = new Float64Array(numLayers * numExperts);
      for (let start = 0; start < tokens.length; start += topK) {
        const chosen = Array.from(tokens.subarray(start, start + topK));
        expect(new Set(chosen).size).toBe(topK);
        const layer = (start / topK) % numLayers;
        for (const expert of chosen) {
          expect(expert).toBeGreaterThanOrEqual(0);
          expect(expert).toBeLessThan(numExperts);
          const at = layer * numExperts + expert;
          counts[at] = (counts[at] ?? 0) + 1;
        }
      }
      expect(trace.loads(step)).toEqual(counts);
    }
  });

  it.each([
    ['seed', { seed: 0.5 }],
    ['numLayers', { numLayers: 0 }],
    ['numExperts', { numExperts: 40_000 }],
    ['topK', { topK: 17 }],
    ['tokensPerStep', { tokensPerStep: Number.NaN }],
    ['numSteps', { numSteps: -1 }],
    ['numDomains', { numDomains: 7 }],
  ])('refuses a wrong %s', (field, change) => {
    const error = refused(() => generateTrace({ ...small, ...change }));
    expect(error.code).toBe('ISOBAR_TRACE_INVALID');
    expect(error.fields.field).toBe(field);
  });

  it('refuses a trace past the limit, and a step that is not there', () => {
    const large = { ...small, tokensPerStep: 1_000_000, numSteps: 1000 };
    expect(refused(() => generateTrace(large)).code).toBe('ISOBAR_TRACE_SIZES');
    const trace = generateTrace(small);
    for (const step of [-1, 6, 0.5]) {
      expect(refused(() => trace.tokens(step)).fields).toMatchObject({ field: 'step', step });
      expect(refused(() => trace.loads(step)).code).toBe('ISOBAR_TRACE_INVALID');
      expect(refused(() => trace.numTokens(step)).code).toBe('ISOBAR_TRACE_INVALID');
    }
  });
});

describe.each([1, 2, 3])('a generated trace of DeepSeek-V2-Lite sizes, seed %i', (seed) => {
  const half = 128;
  const trace = generateTrace({ seed });

  it('correlates from step to step as measured', () => {
    const { least, most } = MEASURED.stepCorrelation64;
    for (const from of [0, half]) {
      const seen = byLayer(trace, (layer) =>
        stepCorrelation(layerLoads(trace, layer, from, from + half)),
      );
      expect(median(seen)).toBeGreaterThan(least);
      expect(median(seen)).toBeLessThan(most);
    }
  });

  it('varies more than multinomially, as measured', () => {
    const seen = byLayer(trace, (layer) => varianceRatio(layerLoads(trace, layer, 0, half)));
    expect(Math.min(...seen)).toBeGreaterThan(MEASURED.varianceRatio.least);
    expect(Math.max(...seen)).toBeLessThan(MEASURED.varianceRatio.most);
  });

  it('changes its domain half-way, and not else', () => {
    const between = (a: number, b: number) =>
      mean(
        byLayer(trace, (layer) =>
          correlation(
            sumOf(layerLoads(trace, layer, a, a + 32)),
            sumOf(layerLoads(trace, layer, b, b + 32)),
          ),
        ),
      );
    const { least, most } = MEASURED.domainCorrelation;
    expect(between(half - 32, half)).toBeGreaterThan(least - 0.04);
    expect(between(half - 32, half)).toBeLessThan(most);
    expect(between(half - 64, half - 32)).toBeGreaterThan(0.85);
    expect(between(half, half + 32)).toBeGreaterThan(0.85);
  });

  it('repeats experts from token to token as measured', () => {
    const { least, most } = MEASURED.adjacentSharing;
    const seen = mean(byLayer(trace, (layer) => adjacentSharing(trace, layer)));
    expect(seen).toBeGreaterThan(least);
    expect(seen).toBeLessThan(most);
    const chance = mean(
      byLayer(trace, (layer) =>
        sharingByChance(sumOf(layerLoads(trace, layer)), trace.header.topK),
      ),
    );
    expect(chance).toBeGreaterThan(MEASURED.adjacentSharingByChance.least);
    expect(chance).toBeLessThan(MEASURED.adjacentSharingByChance.most);
  });
});

it('correlates more from step to step at 1,024 tokens, as measured', () => {
  const trace = generateTrace({ seed: 5, tokensPerStep: 1024, numSteps: 16, numDomains: 1 });
  const seen = byLayer(trace, (layer) => stepCorrelation(layerLoads(trace, layer)));
  expect(median(seen)).toBeGreaterThan(MEASURED.stepCorrelation1024.least);
  expect(median(seen)).toBeLessThan(MEASURED.stepCorrelation1024.most);
});

describe('a generated trace of DeepSeek-V3 sizes', () => {
  const trace = generateTrace({
    seed: 8,
    numLayers: 58,
    numExperts: 256,
    topK: 8,
    tokensPerStep: 1024,
    numSteps: 16,
    numDomains: 1,
  });

  it('has popularity as uneven as measured', () => {
    const loads = byLayer(trace, (layer) => sumOf(layerLoads(trace, layer)));
    const sigmas = loads.map((row) => {
      const logs = row.map((load) => Math.log(Math.max(load, 1)));
      const middle = mean(logs);
      return Math.sqrt(mean(logs.map((log) => (log - middle) ** 2)));
    });
    expect(mean(sigmas)).toBeGreaterThan(MEASURED.popularitySigma - 0.1);
    expect(mean(sigmas)).toBeLessThan(MEASURED.popularitySigma + 0.1);
    const hottest = loads.map((row) => Math.max(...row) / mean(row));
    expect(median(hottest)).toBeGreaterThan(MEASURED.hottestOverMean.p10);
    expect(median(hottest)).toBeLessThan(MEASURED.hottestOverMean.p90);
  });

  it('brings experts of a group of 32 together as measured', () => {
    const lifts = [0, 20, 40].map((layer) => groupLift(trace, layer, MEASURED.groupSize));
    expect(mean(lifts.map(({ within }) => within))).toBeCloseTo(MEASURED.withinGroupLift, 1);
    expect(mean(lifts.map(({ across }) => across))).toBeCloseTo(MEASURED.acrossGroupLift, 1);
  });
});
