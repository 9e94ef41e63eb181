import { ExpertMapping } from '@isobar/eplb';
import type { LoadSample } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { LoadWindow } from '../src/load-window.js';

/** Two ranks of two slots each; `swapped` exchanges which rank holds what. */
function mapping(physicalToLogical: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 2, 4),
    physicalToLogical: Int32Array.from(physicalToLogical),
  });
}
const start = mapping([0, 1, 2, 3]);
const swapped = mapping([2, 3, 0, 1]);

function sample(rank: number, lastStep: number, counts: number[], version = 1): LoadSample {
  return {
    schema: 1,
    rank,
    incarnation: '0123456789abcdef',
    mappingVersion: version,
    firstStep: 0,
    lastStep,
    destination: Float64Array.from(counts),
    stepMillis: { count: lastStep, sum: lastStep * 2, max: 2 },
  };
}

function listening(): LoadWindow {
  const window = new LoadWindow(1, start, [0, 1], 1);
  expect(window.add(sample(0, 10, [100, 100]))).toBe('baseline');
  expect(window.add(sample(1, 10, [100, 100]))).toBe('baseline');
  return window;
}

describe('a load window', () => {
  it('takes differences of cumulative counts, so that a lost sample loses nothing', () => {
    const window = listening();
    expect(window.add(sample(0, 14, [105, 103]))).toBe('counted');
    expect(window.add(sample(1, 12, [100, 101]))).toBe('counted');
    expect(window.add(sample(1, 14, [107, 102]))).toBe('counted');
    const pass = window.takePass();
    expect(pass?.logicalLoads).toEqual(Float64Array.of(5, 3, 7, 2));
    expect(pass?.rankLoads).toEqual(Float64Array.of(8, 9));
    expect(pass).toMatchObject({ steps: 4, meanStepMillis: 2 });
  });

  it('reads every sample through the mapping that its tokens carried', () => {
    const window = listening();
    expect(window.add(sample(0, 12, [4, 6], 2))).toBe('unknown-version');
    window.learnMapping(2, swapped);
    window.add(sample(0, 12, [4, 6], 2));
    window.add(sample(0, 11, [101, 100], 1));
    window.add(sample(1, 12, [1, 0], 2));
    expect(window.takePass()?.logicalLoads).toEqual(Float64Array.of(2, 0, 4, 6));
  });

  it('is partial while a live rank is missing', () => {
    const window = listening();
    window.add(sample(0, 11, [101, 100]));
    expect(window.missingRanks).toEqual([1]);
    expect(window.takePass()).toBeNull();
    window.add(sample(1, 11, [100, 100]));
    expect(window.takePass()?.logicalLoads).toEqual(Float64Array.of(1, 0, 0, 0));
  });

  it('takes differences of the times of layers, over all versions of a pass', () => {
    const window = new LoadWindow(1, start, [0, 1], 1);
    const timed = (rank: number, lastStep: number, millis: number, version = 1) => ({
      ...sample(rank, lastStep, [lastStep, 0], version),
      layerMillis: Float64Array.of(millis),
    });
    window.learnMapping(2, swapped);
    window.add(timed(0, 10, 100));
    window.add(timed(1, 10, 200));
    window.add(timed(0, 12, 107));
    window.add(timed(0, 13, 2, 2));
    window.add(timed(1, 12, 203));
    expect(window.takePass()?.ranks).toEqual([
      { rank: 0, steps: 2 + 13, layerMillis: Float64Array.of(9) },
      { rank: 1, steps: 2, layerMillis: Float64Array.of(3) },
    ]);
    window.add(timed(0, 14, 5, 2));
    window.add(timed(1, 14, 210));
    expect(window.takePass()?.ranks.map(({ layerMillis }) => layerMillis)).toEqual([
      Float64Array.of(3),
      Float64Array.of(7),
    ]);
  });

  it('has no times of a rank that tells none, and refuses those of other layers', () => {
    const window = listening();
    window.add({ ...sample(0, 12, [102, 100]), layerMillis: Float64Array.of(5) });
    window.add(sample(0, 13, [103, 100]));
    window.add({ ...sample(1, 12, [102, 100]), layerMillis: Float64Array.of(4) });
    const wrong = { ...sample(1, 13, [103, 100]), layerMillis: Float64Array.of(4, 4) };
    expect(window.add(wrong)).toBe('wrong-shape');
    expect(window.takePass()?.ranks).toEqual([
      { rank: 0, steps: 3, layerMillis: null },
      { rank: 1, steps: 2, layerMillis: Float64Array.of(4) },
    ]);
  });

  it('counts nothing twice, out of order, or in another shape', () => {
    const window = listening();
    window.add(sample(0, 12, [102, 100]));
    expect(window.add(sample(0, 12, [102, 100]))).toBe('stale');
    expect(window.add(sample(0, 11, [101, 100]))).toBe('stale');
    expect(window.add(sample(0, 13, [1, 2, 3]))).toBe('wrong-shape');
    expect(window.add(sample(7, 13, [1, 2]))).toBe('unknown-version');
    window.add(sample(1, 12, [100, 100]));
    expect(window.takePass()?.logicalLoads).toEqual(Float64Array.of(2, 0, 0, 0));
  });
});
