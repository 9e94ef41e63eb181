import { ExpertMapping, LocalityAwarePolicy, uniformSlotOffsets } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const instances = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 3 }),
    numLogicalExperts: fc.integer({ min: 1, max: 12 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    redundant: fc.integer({ min: 0, max: 8 }),
  })
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      loads: fc.array(fc.integer({ min: 0, max: 1_000 }), {
        minLength: shape.numLayers * shape.numLogicalExperts,
        maxLength: shape.numLayers * shape.numLogicalExperts,
      }),
      maxMoves: fc.integer({ min: 0, max: 20 }),
    }),
  );

function start(shape: {
  numLayers: number;
  numLogicalExperts: number;
  numRanks: number;
  redundant: number;
}) {
  const { numLayers, numLogicalExperts, numRanks, redundant } = shape;
  const numPhysicalExperts = numLogicalExperts + redundant;
  return ExpertMapping.contiguous({ numLayers, numLogicalExperts, numRanks, numPhysicalExperts });
}

function largest(mapping: ExpertMapping, loads: Float64Array): number {
  return mapping.largestRankLoads(loads).reduce((sum, load) => sum + load, 0);
}

function hasDuplicate(mapping: ExpertMapping): boolean {
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    for (let rank = 0; rank < mapping.numRanks; rank += 1) {
      const held = [...mapping.row(layer)].filter((_, slot) => mapping.rankOfSlot(slot) === rank);
      if (new Set(held).size < held.length) return true;
    }
  }
  return false;
}

describe('LocalityAwarePolicy', () => {
  it('is valid, deterministic, keeps its budget of moves and is never worse than the start', () => {
    fc.assert(
      fc.property(instances, ({ shape, loads, maxMoves }) => {
        const currentMapping = start(shape);
        const { numLayers, numLogicalExperts, slotOffsets } = currentMapping;
        const asFloats = Float64Array.from(loads);
        const request = {
          numLayers,
          numLogicalExperts,
          slotOffsets,
          loads: asFloats,
          currentMapping,
        };
        const policy = new LocalityAwarePolicy();
        const { mapping, report } = policy.rebalanceExperts(request);
        expect(policy.rebalanceExperts(request).mapping.equals(mapping)).toBe(true);
        if (hasDuplicate(currentMapping)) return;
        expect(hasDuplicate(mapping)).toBe(false);
        expect(largest(mapping, asFloats)).toBeLessThanOrEqual(
          largest(currentMapping, asFloats) + 1e-6,
        );
        expect(report.moves).toBe(currentMapping.moves(mapping).length);
        const bounded = policy.rebalanceExperts({ ...request, maxMoves });
        expect(bounded.report.moves).toBeLessThanOrEqual(maxMoves);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('leaves idle and even loads as they are', () => {
    const currentMapping = start({ numLayers: 2, numLogicalExperts: 8, numRanks: 4, redundant: 0 });
    const { numLayers, numLogicalExperts, slotOffsets } = currentMapping;
    for (const load of [0, 7]) {
      const loads = new Float64Array(16).fill(load);
      const request = { numLayers, numLogicalExperts, slotOffsets, loads, currentMapping };
      expect(new LocalityAwarePolicy().rebalanceExperts(request).report.moves).toBe(0);
    }
  });

  it('brings every expert of a rank that is out to ranks that serve', () => {
    const currentMapping = start({ numLayers: 1, numLogicalExperts: 6, numRanks: 3, redundant: 3 });
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts({
      numLayers: 1,
      numLogicalExperts: 6,
      slotOffsets: currentMapping.slotOffsets,
      loads: Float64Array.of(5, 4, 3, 2, 1, 1),
      currentMapping,
      unavailableRanks: [1],
    });
    for (let expert = 0; expert < 6; expert += 1) {
      const ranks = [...mapping.getPhysicalExperts(0, expert)].map((slot) =>
        mapping.rankOfSlot(slot),
      );
      expect(ranks.some((rank) => rank !== 1)).toBe(true);
    }
  });

  it('keeps pinned slots', () => {
    const currentMapping = start({ numLayers: 1, numLogicalExperts: 8, numRanks: 4, redundant: 4 });
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts({
      numLayers: 1,
      numLogicalExperts: 8,
      slotOffsets: currentMapping.slotOffsets,
      loads: Float64Array.of(900, 1, 1, 1, 1, 1, 1, 1),
      currentMapping,
      pinnedSlots: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    });
    expect([...mapping.row(0)].slice(0, 11)).toEqual([...currentMapping.row(0)].slice(0, 11));
  });

  it('refuses a current mapping of another shape, naming the field', () => {
    const currentMapping = start({ numLayers: 1, numLogicalExperts: 8, numRanks: 4, redundant: 0 });
    const request = {
      numLayers: 1,
      numLogicalExperts: 8,
      slotOffsets: uniformSlotOffsets(12, 4),
      loads: new Float64Array(8),
      currentMapping,
    };
    expect(() => new LocalityAwarePolicy().rebalanceExperts(request)).toThrow(
      expect.objectContaining({
        code: 'ISOBAR_EPLB_REQUEST_INVALID',
        fields: { field: 'currentMapping' },
      }),
    );
  });
});
