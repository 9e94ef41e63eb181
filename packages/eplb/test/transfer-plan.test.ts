import { ExpertMapping, planTransfers } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

function mapping(slotsPerRank: number, numLogicalExperts: number, ...rows: number[][]) {
  const slots = rows[0]?.length ?? 0;
  return ExpertMapping.create({
    numLayers: rows.length,
    numLogicalExperts,
    slotOffsets: Int32Array.from(
      { length: slots / slotsPerRank + 1 },
      (_, rank) => rank * slotsPerRank,
    ),
    physicalToLogical: Int32Array.from(rows.flat()),
  });
}

/** Cost 1 within a domain and 10 between two, [ranks × ranks]. */
function domains(...fastDomains: number[]) {
  return {
    fastDomains: Int32Array.from(fastDomains),
    cost: Float64Array.from(
      fastDomains.flatMap((from, a) =>
        fastDomains.map((to, b) => (a === b ? 0 : from === to ? 1 : 10)),
      ),
    ),
  };
}

function sources(...args: Parameters<typeof planTransfers>): number[] {
  return planTransfers(...args).map(({ sourceRank }) => sourceRank);
}

describe('planTransfers', () => {
  it('brings nothing where no rank lacks an expert', () => {
    const from = mapping(2, 3, [0, 1, 2, 0]);
    expect(planTransfers(from, from)).toEqual([]);
    expect(planTransfers(from, mapping(2, 3, [1, 0, 0, 2]))).toEqual([]);
  });

  it('fetches from the nearest holder', () => {
    const from = mapping(2, 3, [0, 1, 0, 1, 2, 2]);
    const to = mapping(2, 3, [0, 1, 2, 1, 0, 2]);
    const fastDomains = Int32Array.of(0, 1, 1);
    // Rank 2 is nearer to rank 1 than to rank 0.
    const cost = Float64Array.of(0, 1, 9, 1, 0, 2, 9, 2, 0);
    expect(planTransfers(from, to, { topology: { fastDomains, cost } })).toEqual([
      { layer: 0, slot: 2, expert: 2, destinationRank: 1, sourceRank: 2 },
      { layer: 0, slot: 4, expert: 0, destinationRank: 2, sourceRank: 1 },
    ]);
  });

  it('reads the cost of the way from source to destination, not back', () => {
    const from = mapping(1, 2, [0, 0, 1, 1]);
    const to = mapping(1, 2, [0, 0, 1, 0]);
    const cost = new Float64Array(16);
    cost[0 * 4 + 3] = 5;
    cost[1 * 4 + 3] = 2;
    cost[3 * 4 + 1] = 9;
    expect(sources(from, to, { topology: { fastDomains: new Int32Array(4), cost } })).toEqual([1]);
  });

  it('spreads over equally near holders', () => {
    const from = mapping(2, 4, [0, 1, 0, 1, 2, 3, 2, 3]);
    const to = mapping(2, 4, [0, 1, 0, 1, 2, 0, 3, 1]);
    expect(sources(from, to)).toEqual([0, 1]);
  });

  it('lets an expert with a choice keep out of the way of one that has none', () => {
    // Expert 0 is on ranks 0 and 1 and moves first; expert 1 is on rank 0 alone.
    const from = mapping(2, 4, [0, 1, 0, 2, 2, 3, 2, 3]);
    const to = mapping(2, 4, [0, 1, 0, 2, 0, 3, 2, 1]);
    expect(planTransfers(from, to)).toEqual([
      { layer: 0, slot: 4, expert: 0, destinationRank: 2, sourceRank: 1 },
      { layer: 0, slot: 7, expert: 1, destinationRank: 3, sourceRank: 0 },
    ]);
  });

  it('spreads over links between domains where ranks have sent alike', () => {
    // Expert 0 comes from rank 0 (domain 0) to rank 4. Expert 1 is on ranks 1 and 2, of domains
    // 0 and 1, neither of which has sent.
    const topology = domains(0, 0, 1, 1, 2, 2);
    const from = mapping(2, 4, [0, 3, 1, 3, 1, 3, 3, 3, 2, 2, 2, 2]);
    const to = mapping(2, 4, [0, 3, 1, 3, 1, 3, 3, 3, 0, 2, 1, 2]);
    expect(sources(from, to, { topology })).toEqual([0, 2]);
    expect(sources(from, to)).toEqual([0, 1]);
  });

  it('counts a holder of two copies once', () => {
    // Expert 1 moves first and is on ranks 0 and 1; both copies of expert 0 are on rank 0.
    const from = mapping(3, 3, [0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
    const to = mapping(3, 3, [0, 0, 1, 1, 2, 2, 1, 2, 2, 0, 2, 2]);
    expect(sources(from, to)).toEqual([1, 0]);
  });

  it('takes nothing from dead ranks, and the backing store where no holder is left', () => {
    const from = mapping(2, 3, [0, 1, 0, 2, 1, 2]);
    const to = mapping(2, 3, [0, 1, 0, 2, 0, 2]);
    const topology = domains(0, 1, 0);
    expect(sources(from, to, { topology })).toEqual([0]);
    expect(sources(from, to, { topology, deadRanks: [0] })).toEqual([1]);
    expect(sources(from, to, { topology, deadRanks: [0, 1] })).toEqual([-1]);
  });

  it('refuses mappings of two shapes', () => {
    expect(() => planTransfers(mapping(2, 2, [0, 1]), mapping(1, 2, [0, 1]))).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_MAPPING_SHAPE' }),
    );
  });
});
