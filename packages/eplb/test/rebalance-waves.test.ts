import { ExpertMapping, planWaves } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** Two mappings of one shape, in each of which every expert has a slot. */
const pairs = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 3 }),
    numRanks: fc.integer({ min: 1, max: 5 }),
    slotsPerRank: fc.integer({ min: 1, max: 5 }),
    limit: fc.integer({ min: 1, max: 3 }),
    seeds: fc.tuple(fc.integer({ min: 1, max: 99_999 }), fc.integer({ min: 1, max: 99_999 })),
    experts: fc.integer({ min: 1, max: 25 }),
  })
  .map(({ numLayers, numRanks, slotsPerRank, limit, seeds, experts }) => {
    const slots = numRanks * slotsPerRank;
    const numLogicalExperts = Math.min(experts, slots);
    const make = (seed: number) => shuffled(numLayers, slots, numLogicalExperts, numRanks, seed);
    return { from: make(seeds[0]), to: make(seeds[1]), limit };
  });

function shuffled(
  numLayers: number,
  slots: number,
  numLogicalExperts: number,
  numRanks: number,
  seed: number,
): ExpertMapping {
  let state = seed;
  const next = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const rows = Array.from({ length: numLayers }, () => {
    const row = Array.from({ length: slots }, (_, slot) =>
      slot < numLogicalExperts ? slot : next(numLogicalExperts + 1) - 1,
    );
    for (let slot = slots - 1; slot > 0; slot -= 1) {
      const other = next(slot + 1);
      [row[slot], row[other]] = [row[other] ?? 0, row[slot] ?? 0];
    }
    return row;
  });
  return ExpertMapping.create({
    numLayers,
    numLogicalExperts,
    slotOffsets: Int32Array.from({ length: numRanks + 1 }, (_, rank) => (rank * slots) / numRanks),
    physicalToLogical: Int32Array.from(rows.flat()),
  });
}

function contents(mapping: ExpertMapping): number[][] {
  return Array.from({ length: mapping.numLayers * mapping.numRanks }, (_, index) => {
    const row = mapping.row(Math.floor(index / mapping.numRanks));
    const rank = index % mapping.numRanks;
    return [...row].filter((_, slot) => mapping.rankOfSlot(slot) === rank).sort((a, b) => a - b);
  });
}

describe('planWaves', () => {
  it('keeps every expert in every step, keeps the limit, and ends with the target’s contents', () => {
    fc.assert(
      fc.property(pairs, ({ from, to, limit }) => {
        const limits = { maxIncomingPerRank: new Int32Array(from.numRanks).fill(limit) };
        const waves = planWaves(from, to, limits);
        let mapping = from;
        for (const wave of waves) {
          const incoming = new Int32Array(from.numRanks);
          for (const { rank } of mapping.moves(wave)) incoming[rank] = (incoming[rank] ?? 0) + 1;
          expect(Math.max(...incoming)).toBeLessThanOrEqual(limit);
          mapping = wave;
        }
        expect(contents(mapping)).toEqual(contents(to));
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it('keeps each wave within the message’s room, where one part of a layer fits it', () => {
    fc.assert(
      fc.property(pairs, fc.integer({ min: 100, max: 400 }), ({ from, to }, bytesMax) => {
        const room = { bytesMax, layerBytes: 30, moveBytes: 10 };
        const maxIncomingPerRank = new Int32Array(from.numRanks).fill(5);
        let mapping = from;
        for (const wave of planWaves(from, to, { maxIncomingPerRank, room })) {
          const { layers } = mapping.delta(wave);
          const bytes = 30 * layers.length + 10 * mapping.moves(wave).length;
          if (layers.length > 1) expect(bytes).toBeLessThanOrEqual(bytesMax);
          mapping = wave;
        }
        expect(contents(mapping)).toEqual(contents(to));
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  it('refuses to bring experts to a rank without a spare buffer', () => {
    const from = shuffled(1, 4, 4, 2, 3);
    const to = from.apply({ layers: Int32Array.of(0), rows: from.row(0).slice().reverse() });
    const limits = { maxIncomingPerRank: new Int32Array(2) };
    expect(() => planWaves(from, to, limits)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_NO_SPARE_BUFFERS' }),
    );
  });

  it('takes the layer with most gain per move first', () => {
    const from = shuffled(2, 4, 4, 2, 3);
    const rows = Int32Array.from([
      ...from.row(0).slice().reverse(),
      ...from.row(1).slice().reverse(),
    ]);
    const to = from.apply({ layers: Int32Array.of(0, 1), rows });
    const limits = {
      maxIncomingPerRank: new Int32Array(2).fill(2),
      layerGains: Float64Array.of(1, 5),
    };
    const [first] = planWaves(from, to, limits);
    expect(first === undefined ? [] : [...from.delta(first).layers]).toEqual([1]);
  });
});
