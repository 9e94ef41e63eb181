import { createRandom, TraceError } from '@isobar/trace';
import { describe, expect, it } from 'vitest';
import { mean } from './statistics.js';

const draws = (draw: () => number, count = 20_000) => Array.from({ length: count }, draw);

function variance(values: readonly number[]): number {
  const middle = mean(values);
  return mean(values.map((value) => (value - middle) ** 2));
}

describe('createRandom', () => {
  it('repeats itself for a seed, and differs between near seeds', () => {
    const sequence = (seed: number) => {
      const random = createRandom(seed);
      return draws(() => random.next(), 8);
    };
    expect(sequence(1)).toEqual(sequence(1));
    const seeds = [0, 1, 2, -1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    expect(new Set(seeds.map((seed) => sequence(seed).join())).size).toBe(seeds.length);
  });

  it('stays what it was, so that recorded seeds keep their meaning', () => {
    const random = createRandom(42);
    expect(draws(() => random.integer(1_000_000), 4)).toEqual([849516, 979448, 584368, 701058]);
  });

  it('is uniform', () => {
    const random = createRandom(7);
    const values = draws(() => random.next());
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(mean(values)).toBeCloseTo(0.5, 1.9);
    expect(variance(values)).toBeCloseTo(1 / 12, 2);
    const counts = new Int32Array(10);
    for (const value of draws(() => random.integer(10))) counts[value] = (counts[value] ?? 0) + 1;
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(250);
  });

  it('has normal numbers of mean 0 and variance 1', () => {
    const random = createRandom(8);
    const values = draws(() => random.normal());
    expect(Math.abs(mean(values))).toBeLessThan(0.03);
    expect(Math.abs(variance(values) - 1)).toBeLessThan(0.04);
    const beyondTwo = values.filter((value) => Math.abs(value) > 2).length / values.length;
    expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.006);
  });

  it.each([0.3, 1, 4.5])('has gamma numbers of mean and variance %d', (shape) => {
    const random = createRandom(9);
    const values = draws(() => random.gamma(shape), 50_000);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.abs(mean(values) / shape - 1)).toBeLessThan(0.04);
    expect(Math.abs(variance(values) / shape - 1)).toBeLessThan(0.08);
  });

  it('refuses a seed or a shape that means nothing', () => {
    for (const seed of [0.5, Number.NaN, 2 ** 60]) {
      expect(() => createRandom(seed)).toThrow(TraceError);
    }
    for (const shape of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => createRandom(1).gamma(shape)).toThrow(/shape/);
    }
  });
});
