import { balancedness, ExpertMapping, ExpertType, imbalance } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

function mapping(
  rows: readonly (readonly number[])[],
  numRanks: number,
  numLogicalExperts: number,
) {
  const slots = rows[0]?.length ?? 0;
  return ExpertMapping.create({
    numLayers: rows.length,
    numLogicalExperts,
    slotOffsets: Int32Array.from({ length: numRanks + 1 }, (_, rank) => (rank * slots) / numRanks),
    physicalToLogical: Int32Array.from(rows.flat()),
  });
}

describe('ExpertMapping', () => {
  it('knows slots of experts and experts of slots, past empty slots', () => {
    const held = mapping(
      [
        [0, 1, -1, 2, 3, -1],
        [3, -1, 2, 1, 0, 3],
      ],
      2,
      4,
    );
    expect(held.getLogicalExpert(0, 3)).toBe(2);
    expect([...held.getPhysicalExperts(1, 3)]).toEqual([0, 5]);
    expect(held.replicaCount(1, 3)).toBe(2);
    expect(held.expertType(1, 0)).toBe(ExpertType.PHYSICAL);
    expect(held.expertType(1, 5)).toBe(ExpertType.REDUNDANT);
    expect(held.expertType(0, 2)).toBeNull();
    expect(held.rankOfSlot(3)).toBe(1);
  });

  it('starts contiguous, with redundant slots in cyclic order and uneven ranks first', () => {
    const start = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 4,
      numRanks: 4,
      numPhysicalExperts: 6,
    });
    expect([...start.row(0)]).toEqual([0, 1, 2, 3, 0, 1]);
    expect([...start.slotOffsets]).toEqual([0, 2, 4, 5, 6]);
  });

  it.each([
    ['an expert without a slot', [[0, 0, 1, 1]], 'no slot holds expert 2'],
    ['an unknown expert', [[0, 1, 2, 7]], 'slot 3: no expert 7'],
  ])('refuses %s', (_, rows, message) => {
    expect(() => mapping(rows, 2, 3)).toThrow(message);
  });

  it('makes of its delta to another mapping that mapping, and its digest', () => {
    const from = mapping(
      [
        [0, 1, 2, 0],
        [0, 1, 2, 1],
      ],
      2,
      3,
    );
    const to = mapping(
      [
        [0, 1, 2, 0],
        [2, 1, 0, 1],
      ],
      2,
      3,
    );
    expect([...from.delta(to).layers]).toEqual([1]);
    expect(from.apply(from.delta(to)).digest()).toBe(to.digest());
    expect(from.digest()).not.toBe(to.digest());
  });

  it('sums a rank the same whichever of its slots holds what', () => {
    const loads = Float64Array.of(0.1, 0.2, 0.3, 0.6);
    const sums = [...mapping([[0, 1, 2, 3]], 1, 4).rankLoads(loads)];
    expect([...mapping([[3, 2, 1, 0]], 1, 4).rankLoads(loads)]).toEqual(sums);
  });

  it('counts as moves only experts that are new on their rank', () => {
    const from = mapping([[0, 1, 2, 0]], 2, 3);
    const to = mapping([[1, 0, 2, 1]], 2, 3);
    expect(from.moves(to)).toEqual([{ layer: 0, slot: 3, expert: 1, rank: 1 }]);
    expect(from.numMoves(to)).toBe(1);
  });
});

describe('balancedness', () => {
  it('reduces over ranks, never over layers', () => {
    const rankLoads = Float64Array.of(100, 0, 0, 0, 0, 100, 0, 0);
    expect(balancedness(rankLoads, 2, 4)).toBe(0.25);
    expect([...imbalance(rankLoads, 2, 4)]).toEqual([4, 4]);
  });

  it('is 0 when idle', () => {
    expect(balancedness(new Float64Array(4), 2, 2)).toBe(0);
  });
});
