import { DefaultEplbPolicy, largestRankLoadBound, uniformSlotOffsets } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  exactLargestRankLoad,
  largestRankLoadByMilp,
  type PlacementProblem,
  randomNumbers,
  smallInstances,
} from './exact-placement.js';

const efforts = ['fast', 'thorough'] as const;

function uniform(
  loads: readonly number[],
  numRanks: number,
  slots: number,
  duplicates = false,
): PlacementProblem {
  return {
    loads: Float64Array.from(loads),
    slotsPerRank: new Int32Array(numRanks).fill(slots),
    capacities: new Float64Array(numRanks).fill(1),
    duplicates,
  };
}

function bound(problem: PlacementProblem, effort: 'fast' | 'thorough' = 'fast'): number {
  const { loads, slotsPerRank, capacities } = problem;
  return largestRankLoadBound(loads, slotsPerRank, capacities, { effort });
}

/** Heavy-tailed, with ties and zeros. */
const load = fc.oneof(
  { weight: 5, arbitrary: fc.double({ min: 0, max: 7, noNaN: true }).map(Math.exp) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }).map((tens) => 10 * tens) },
  { weight: 1, arbitrary: fc.constant(0) },
);

function problems(capacity: fc.Arbitrary<number>): fc.Arbitrary<PlacementProblem> {
  return fc
    .record({
      loads: fc.array(load, { minLength: 3, maxLength: 8 }),
      slots: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 2, maxLength: 4 }),
      ranks: fc.array(capacity, { minLength: 4, maxLength: 4 }),
      duplicates: fc.boolean(),
    })
    .map(({ loads, slots, ranks, duplicates }) => {
      const slotsPerRank = Int32Array.from(slots);
      for (let rank = 0; slotsPerRank.reduce((sum, own) => sum + own, 0) < loads.length; ) {
        slotsPerRank[rank] = (slotsPerRank[rank] ?? 0) + 1;
        rank = (rank + 1) % slotsPerRank.length;
      }
      return {
        loads: Float64Array.from(loads),
        slotsPerRank,
        capacities: Float64Array.from(ranks.slice(0, slots.length)),
        duplicates,
      };
    })
    .filter(({ slotsPerRank }) => slotsPerRank.reduce((sum, slots) => sum + slots, 0) <= 13);
}

describe('the bound on the largest rank load', () => {
  it.each([
    ['equal ranks', fc.constant(1)],
    ['ranks of different capacity', fc.constantFrom(0.5, 1, 1, 2, 3)],
  ])('is never above the best placement: %s', (_, capacity) => {
    fc.assert(
      fc.property(problems(capacity), (problem) => {
        const optimum = exactLargestRankLoad(problem);
        for (const effort of efforts) {
          expect(bound(problem, effort)).toBeLessThanOrEqual(optimum + 1e-9);
        }
      }),
      { seed: 1, numRuns: 1500 },
    );
  });

  it('is never above the best of the 200 small instances, and near it on average', () => {
    const gaps = smallInstances().map(({ loads, slotOffsets, optimum }) => {
      const slotsPerRank = slotOffsets
        .subarray(1)
        .map((end, rank) => end - (slotOffsets[rank] ?? 0));
      const capacities = new Float64Array(slotsPerRank.length).fill(1);
      const proven = bound({ loads, slotsPerRank, capacities, duplicates: false }, 'thorough');
      expect(proven).toBeLessThanOrEqual(optimum + 1e-9);
      return optimum / proven - 1;
    });
    expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeLessThan(0.05);
  });

  it('knows that a spare slot may go to the hottest expert', () => {
    // Whole, the two hot ones would weigh 110 on average with what must lie beside them.
    const problem = uniform([100, 60, ...new Array<number>(9).fill(20)], 4, 3);
    expect(exactLargestRankLoad(problem)).toBeCloseTo(100, 9);
    for (const effort of efforts) expect(bound(problem, effort)).toBeLessThanOrEqual(100);
  });

  it('sees what the mean does not', () => {
    // One slot a rank: the hot expert can't be copied.
    expect(bound(uniform([10, 1], 2, 1))).toBeCloseTo(10, 3);
    // A fourth slot lets one be copied, and 10 ÷ 2 is still above the mean of 4.
    expect(bound(uniform([10, 1, 1], 4, 1))).toBeCloseTo(5, 3);
    // Of three sixes two meet.
    expect(bound(uniform([6, 6, 6, 2], 2, 2))).toBeCloseTo(12, 1);
    // With no slot to spare the hot expert gets a neighbour.
    expect(bound(uniform([100, 10, 2, 1], 2, 2))).toBeCloseTo(101, 2);
    // The hot expert takes the rank that is twice as fast as the other.
    expect(bound({ ...uniform([10, 1], 2, 1), capacities: Float64Array.of(2, 1) })).toBeCloseTo(
      5,
      3,
    );
  });

  it('is not above what the default policy reaches on large layers', () => {
    const random = randomNumbers(7);
    const loads = Float64Array.from({ length: 2 * 256 }, () => Math.exp(3 * random() ** 2));
    for (const [numSlots, numRanks] of [
      [256, 32],
      [288, 32],
      [288, 144],
    ] as const) {
      const slotOffsets = uniformSlotOffsets(numSlots, numRanks);
      const request = { numLayers: 2, numLogicalExperts: 256, slotOffsets, loads };
      const { mapping } = new DefaultEplbPolicy().rebalanceExperts(request);
      mapping.largestRankLoads(loads).forEach((reached, layer) => {
        const layerLoads = loads.subarray(256 * layer, 256 * (layer + 1));
        const problem = { ...uniform([], numRanks, numSlots / numRanks), loads: layerLoads };
        const mean = layerLoads.reduce((sum, value) => sum + value, 0) / numRanks;
        for (const effort of efforts) {
          expect(bound(problem, effort)).toBeLessThanOrEqual(reached + 1e-9);
          expect(bound(problem, effort)).toBeGreaterThanOrEqual(mean * (1 - 1e-9));
        }
      });
    }
  });

  it('is the mean where that can be reached', () => {
    expect(bound(uniform([4, 4, 4, 4], 4, 1))).toBeCloseTo(4, 9);
    expect(bound(uniform([3, 1, 5], 1, 4))).toBeCloseTo(9, 9);
    expect(bound(uniform([8], 4, 2))).toBeCloseTo(2, 9);
  });

  it('takes what a request may hold', () => {
    expect(bound(uniform([0, 0, 0], 2, 2))).toBe(0);
    expect(bound(uniform([], 2, 2))).toBe(0);
    expect(bound(uniform([1, 2, 3], 1, 2))).toBe(6);
    const out = { ...uniform([4, 2], 3, 2), slotsPerRank: Int32Array.of(0, 2, 0) };
    expect(bound(out)).toBeCloseTo(6, 9);
    expect(bound({ ...out, slotsPerRank: new Int32Array(3) })).toBe(0);
  });
});

describe('the exact oracle', () => {
  const published = [600, 560, 120, 120, 20, 10, 10, 10];

  it.each([false, true])('places the published instance at 196⅔, duplicates %s', (duplicates) => {
    const problem = uniform(published, 8, 2, duplicates);
    expect(exactLargestRankLoad(problem)).toBeCloseTo(590 / 3, 12);
    for (const effort of efforts) expect(bound(problem, effort)).toBeLessThanOrEqual(590 / 3);
  });

  it('agrees with mixed-integer programming', () => {
    const spread = uniform([91, 40, 33, 12, 7], 3, 3);
    for (const problem of [
      spread,
      { ...spread, slotsPerRank: Int32Array.of(1, 2, 4), duplicates: true },
      { ...spread, capacities: Float64Array.of(1, 2, 1) },
      uniform([300, 20, 10, 10], 3, 2),
      uniform([50, 50, 50, 1], 2, 3, true),
    ]) {
      expect(largestRankLoadByMilp(problem)).toBeCloseTo(exactLargestRankLoad(problem), 4);
    }
  });
});
