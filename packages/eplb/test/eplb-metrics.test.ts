import { EplbMetrics, ExpertMapping, loadShares, numServingRanks } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

function mapping(...rows: number[][]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: rows.length,
    numLogicalExperts: 3,
    slotOffsets: Int32Array.of(0, 2, 4),
    physicalToLogical: Int32Array.from(rows.flat()),
  });
}

const start = mapping([0, 1, 2, 0], [2, 1, 0, -1]);

describe('EplbMetrics', () => {
  it('tells both maps, padded, and the replica counts', () => {
    const metrics = new EplbMetrics(start, 2);
    expect([metrics.numLayers, metrics.numLogicalExperts, metrics.numPhysicalExperts]).toEqual([
      2, 3, 4,
    ]);
    expect([...metrics.physicalToLogical]).toEqual([0, 1, 2, 0, 2, 1, 0, -1]);
    expect([...metrics.replicaCounts]).toEqual([2, 1, 1, 1, 1, 1]);
    expect([...metrics.logicalToPhysical]).toEqual([0, 3, 1, -1, 2, -1, 2, -1, 1, -1, 0, -1]);
  });

  it('adds to the pass under way, which is no part of the window', () => {
    const metrics = new EplbMetrics(start, 2);
    metrics.add(Float64Array.of(1, 2, 3, 4, 5, 6));
    metrics.add(Float64Array.of(1, 0, 0, 0, 0, 1));
    expect([...metrics.currentPass]).toEqual([2, 2, 3, 4, 5, 7]);
    expect(metrics.window).toEqual([]);
    expect([...metrics.windowSum()]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(metrics.balancedness()).toBe(0);
    expect([...metrics.imbalance()]).toEqual([1, 1]);
  });

  it('slides: the oldest pass falls out', () => {
    const metrics = new EplbMetrics(start, 2);
    for (const load of [100, 10, 1]) {
      metrics.add(new Float64Array(6).fill(load));
      expect([...metrics.advance()]).toEqual(new Array(6).fill(load));
      expect([...metrics.currentPass]).toEqual(new Array(6).fill(0));
    }
    expect(metrics.window.map((pass) => pass[0])).toEqual([10, 1]);
    expect([...metrics.windowSum()]).toEqual(new Array(6).fill(11));
  });

  it('keeps each pass as it was when the next is counted', () => {
    const metrics = new EplbMetrics(start, 3);
    const first = Float64Array.of(1, 1, 1, 1, 1, 1);
    metrics.add(first);
    metrics.advance();
    first.fill(9);
    metrics.add(first);
    expect([...(metrics.window[0] ?? [])]).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it('judges the window under the mapping in force, an expert split over its replicas', () => {
    const metrics = new EplbMetrics(start, 2);
    metrics.add(Float64Array.of(4, 6, 2, 1, 1, 2));
    metrics.advance();
    // Rank loads: 2 + 6 and 2 + 2; 2 + 1 and 1.
    expect(metrics.balancedness()).toBeCloseTo((6 + 2) / (8 + 3), 12);
    expect([...metrics.imbalance()]).toEqual([8 / 6, 3 / 2]);
  });

  it('counts ranks that may hold no expert only where they have load', () => {
    const metrics = new EplbMetrics(mapping([0, 1, 2, -1], [2, 1, 0, -1]), 2);
    metrics.add(Float64Array.of(4, 6, 2, 1, 1, 2));
    metrics.advance();
    expect(metrics.balancedness([1])).toBe(metrics.balancedness());
    const apart = new EplbMetrics(
      ExpertMapping.create({
        numLayers: 1,
        numLogicalExperts: 3,
        slotOffsets: Int32Array.of(0, 2, 4, 6),
        physicalToLogical: Int32Array.of(0, 1, 2, -1, -1, -1),
      }),
      2,
    );
    apart.add(Float64Array.of(2, 2, 4));
    apart.advance();
    expect(apart.balancedness()).toBeCloseTo(2 / 3, 12);
    expect([...apart.imbalance()]).toEqual([1.5]);
    expect(apart.balancedness([2])).toBe(1);
    expect([...apart.imbalance([2])]).toEqual([1]);
    expect(numServingRanks(Float64Array.of(4, 4, 0), 3, [1, 2, 2])).toBe(2);
    expect(numServingRanks(new Float64Array(3), 3, [0, 1, 2])).toBe(0);
    expect([...loadShares(Float64Array.of(4, 2, 0), 3, [2])]).toEqual([4 / 3, 2 / 3, 0]);
    expect([...loadShares(new Float64Array(2), 2, [0, 1])]).toEqual([0, 0]);
  });

  it('keeps its loads by expert when the mapping changes', () => {
    const metrics = new EplbMetrics(start, 2);
    metrics.add(Float64Array.of(4, 6, 2, 1, 1, 2));
    metrics.advance();
    metrics.setMapping(mapping([1, 2, 0, 1], [2, -1, 0, 1]));
    expect([...metrics.windowSum()]).toEqual([4, 6, 2, 1, 1, 2]);
    // 3 + 2 and 4 + 3; 2 and 1 + 1.
    expect(metrics.balancedness()).toBeCloseTo((6 + 2) / (7 + 2), 12);
    expect([...metrics.replicaCounts]).toEqual([1, 2, 1, 1, 1, 1]);
  });

  it('refuses loads of another shape', () => {
    expect(() => new EplbMetrics(start, 2).add(new Float64Array(8))).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_LOADS_SHAPE', fields: { field: 'loads' } }),
    );
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses a window of %d passes',
    (windowPassesMax) => {
      expect(() => new EplbMetrics(start, windowPassesMax)).toThrow(
        expect.objectContaining({
          code: 'ISOBAR_EPLB_OPTIONS_INVALID',
          fields: { field: 'windowPassesMax' },
        }),
      );
    },
  );

  it('refuses a mapping of other layers or experts, and takes one of other slots', () => {
    const metrics = new EplbMetrics(start, 2);
    const contiguous = (numLayers: number, numLogicalExperts: number) =>
      ExpertMapping.contiguous({
        numLayers,
        numLogicalExperts,
        numRanks: 3,
        numPhysicalExperts: 6,
      });
    for (const other of [contiguous(3, 3), contiguous(2, 4)]) {
      expect(() => metrics.setMapping(other)).toThrow(
        expect.objectContaining({ code: 'ISOBAR_EPLB_MAPPING_SHAPE' }),
      );
    }
    metrics.setMapping(contiguous(2, 3));
    expect(metrics.numPhysicalExperts).toBe(6);
  });
});
