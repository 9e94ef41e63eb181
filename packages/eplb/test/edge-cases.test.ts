import {
  DefaultEplbPolicy,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
  uniformSlotOffsets,
} from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

interface Shape {
  readonly layers?: number;
  readonly experts: number;
  readonly ranks: number;
  readonly slots: number;
}

function request(shape: Shape, loads: readonly number[]): RebalanceRequest {
  return {
    numLayers: shape.layers ?? 1,
    numLogicalExperts: shape.experts,
    slotOffsets: uniformSlotOffsets(shape.slots, shape.ranks),
    loads: Float64Array.from(loads),
  };
}

function contiguous({ layers = 1, experts, ranks, slots }: Shape): ExpertMapping {
  return ExpertMapping.contiguous({
    numLayers: layers,
    numLogicalExperts: experts,
    numRanks: ranks,
    numPhysicalExperts: slots,
  });
}

/** Experts of each rank of a layer, by slot. */
function heldByRank(mapping: ExpertMapping, layer = 0): number[][] {
  return Array.from({ length: mapping.numRanks }, (_, rank) => [
    ...mapping.row(layer).subarray(mapping.slotOffsets[rank], mapping.slotOffsets[rank + 1]),
  ]);
}

function duplicates(held: readonly number[]): number {
  return held.length - new Set(held).size;
}

const policies = [new DefaultEplbPolicy(), new LocalityAwarePolicy()];

describe.each(policies)('$name', (policy) => {
  /** From no mapping, and from the one that a deployment starts with. */
  function place(shape: Shape, loads: readonly number[], more: Partial<RebalanceRequest> = {}) {
    const asked = { ...request(shape, loads), ...more };
    return [asked, { ...asked, currentMapping: contiguous(shape) }].map((each) =>
      policy.rebalanceExperts(each),
    );
  }

  it('places idle experts, and calls it idle', () => {
    const shape = { layers: 2, experts: 4, ranks: 2, slots: 6 };
    for (const { mapping, report } of place(shape, new Array(8).fill(0))) {
      expect(new Set(mapping.row(1))).toEqual(new Set([0, 1, 2, 3]));
      expect(report.balancedness).toBe(0);
      expect([...report.lowerBound]).toEqual([0, 0]);
    }
  });

  it('places on one rank', () => {
    const shape = { experts: 4, ranks: 1, slots: 4 };
    for (const { mapping, report } of place(shape, [5, 0, 2, 1])) {
      expect([...mapping.row(0)].sort()).toEqual([0, 1, 2, 3]);
      expect(report.balancedness).toBe(1);
    }
  });

  it('places one expert in every slot', () => {
    for (const { mapping, report } of place({ experts: 1, ranks: 4, slots: 4 }, [12])) {
      expect([...mapping.row(0)]).toEqual([0, 0, 0, 0]);
      expect(report.balancedness).toBe(1);
    }
  });

  it('gives an expert that has all the load to every rank', () => {
    const shape = { layers: 2, experts: 4, ranks: 4, slots: 8 };
    for (const { mapping } of place(shape, [0, 0, 80, 0, 80, 0, 0, 0])) {
      for (const held of heldByRank(mapping, 0)) expect(held).toContain(2);
      for (const held of heldByRank(mapping, 1)) expect(held).toContain(0);
    }
  });

  it('places on the one rank that serves', () => {
    const shape = { experts: 3, ranks: 4, slots: 16 };
    for (const serving of [0, 2, 3]) {
      const unavailableRanks = [0, 1, 2, 3].filter((rank) => rank !== serving);
      for (const { mapping } of place(shape, [7, 1, 3], { unavailableRanks })) {
        expect(new Set(heldByRank(mapping)[serving])).toEqual(new Set([0, 1, 2]));
      }
    }
  });

  it('fills every slot where some must be duplicates', () => {
    // 3 ranks × 4 slots for 2 experts: each rank holds both, and two copies too many.
    const shape = { experts: 2, ranks: 3, slots: 12 };
    for (const { mapping } of place(shape, [30, 6])) {
      expect([...mapping.row(0)]).not.toContain(-1);
      expect(mapping.replicaCount(0, 0) + mapping.replicaCount(0, 1)).toBe(12);
    }
  });

  it('answers the same question the same way', () => {
    const shape = { layers: 3, experts: 16, ranks: 4, slots: 24 };
    const loads = Array.from({ length: 48 }, (_, index) => (index * 37) % 101);
    const [first, second] = [place(shape, loads), place(shape, loads)];
    first.forEach(({ mapping }, index) => {
      expect(second[index]?.mapping.equals(mapping)).toBe(true);
    });
  });
});

describe('the locality-aware policy alone', () => {
  it('places on slots that do not divide by ranks', () => {
    const shape = { experts: 5, ranks: 3, slots: 8 };
    for (const currentMapping of [undefined, contiguous(shape)]) {
      const asked = request(shape, [40, 8, 8, 8, 8]);
      const { mapping } = new LocalityAwarePolicy().rebalanceExperts(
        currentMapping === undefined ? asked : { ...asked, currentMapping },
      );
      expect(heldByRank(mapping).map((held) => held.length)).toEqual([3, 3, 2]);
      for (const held of heldByRank(mapping)) expect(duplicates(held)).toBe(0);
      // 36 at the start; 24 would be even.
      expect(mapping.largestRankLoads(asked.loads)[0]).toBeLessThan(30);
    }
  });

  it('splits all the load of one expert evenly', () => {
    const shape = { experts: 4, ranks: 4, slots: 8 };
    const { report } = new LocalityAwarePolicy().rebalanceExperts({
      ...request(shape, [0, 0, 80, 0]),
      currentMapping: contiguous(shape),
    });
    expect(report.balancedness).toBe(1);
  });

  it('places where some ranks have no slot', () => {
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts({
      ...request({ experts: 3, ranks: 3, slots: 4 }, [4, 2, 2]),
      slotOffsets: Int32Array.of(0, 2, 2, 4),
    });
    for (const held of heldByRank(mapping)) expect(duplicates(held)).toBe(0);
    expect(heldByRank(mapping)[1]).toEqual([]);
  });

  it('puts no expert twice on a rank that need not hold it twice', () => {
    // 12 slots, 4 experts and 3 ranks: each rank can hold each expert once.
    const shape = { experts: 4, ranks: 3, slots: 12 };
    const start = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 4,
      slotOffsets: uniformSlotOffsets(12, 3),
      physicalToLogical: Int32Array.of(0, 0, 1, 1, 0, 2, 2, 0, 3, 3, 0, 0),
    });
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts({
      ...request(shape, [90, 3, 2, 1]),
      currentMapping: start,
    });
    for (const held of heldByRank(mapping)) expect([...held].sort()).toEqual([0, 1, 2, 3]);
  });
});
