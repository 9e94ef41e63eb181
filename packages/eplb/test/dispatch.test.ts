import {
  balancedness,
  crossNodeFraction,
  crossNodeTraffic,
  dispatchRankLoads,
  ExpertMapping,
  planDispatch,
  uniformDispatch,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterOf } from './routes.js';

const instances = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 2 }),
    numLogicalExperts: fc.integer({ min: 1, max: 10 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    numDomains: fc.integer({ min: 1, max: 3 }),
    redundant: fc.integer({ min: 0, max: 8 }),
  })
  .chain(({ numDomains, redundant, ...shape }) =>
    fc.record({
      mapping: fc.constant(
        ExpertMapping.contiguous({
          ...shape,
          numPhysicalExperts: shape.numLogicalExperts + redundant,
        }),
      ),
      topology: fc.constant(clusterOf(shape.numRanks, Math.min(numDomains, shape.numRanks))),
      sourceLoads: fc
        .array(fc.integer({ min: 0, max: 200 }), {
          minLength: shape.numLayers * shape.numRanks * shape.numLogicalExperts,
          maxLength: shape.numLayers * shape.numRanks * shape.numLogicalExperts,
        })
        .map((loads) => Float64Array.from(loads)),
    }),
  );

function pooled(mapping: ExpertMapping, sourceLoads: Float64Array): Float64Array {
  const { numLayers, numRanks, numLogicalExperts } = mapping;
  const loads = new Float64Array(numLayers * numLogicalExperts);
  sourceLoads.forEach((load, at) => {
    const layer = Math.floor(at / (numRanks * numLogicalExperts));
    const to = layer * numLogicalExperts + (at % numLogicalExperts);
    loads[to] = (loads[to] ?? 0) + load;
  });
  return loads;
}

/** Sends spread over sources as the planner sees them where it is told no sources. */
function alike(mapping: ExpertMapping, loads: Float64Array): Float64Array {
  const { numLayers, numRanks, numLogicalExperts } = mapping;
  return Float64Array.from({ length: numLayers * numRanks * numLogicalExperts }, (_, at) => {
    const layer = Math.floor(at / (numRanks * numLogicalExperts));
    return (loads[layer * numLogicalExperts + (at % numLogicalExperts)] ?? 0) / numRanks;
  });
}

describe('planDispatch', () => {
  it('gives shares that sum to 1 over the replicas of each expert, for every source rank', () => {
    fc.assert(
      fc.property(instances, ({ mapping, topology, sourceLoads }) => {
        const loads = pooled(mapping, sourceLoads);
        const request = { mapping, topology, loads, sourceLoads };
        const table = planDispatch(request);
        expect(planDispatch(request).shares).toEqual(table.shares);
        const { numLayers, numRanks, numPhysicalExperts, numLogicalExperts } = mapping;
        for (let layer = 0; layer < numLayers; layer += 1) {
          for (let rank = 0; rank < numRanks; rank += 1) {
            const first = (layer * numRanks + rank) * numPhysicalExperts;
            for (let expert = 0; expert < numLogicalExperts; expert += 1) {
              const slots = [...mapping.getPhysicalExperts(layer, expert)];
              const shares = slots.map((slot) => table.shares[first + slot] ?? Number.NaN);
              expect(Math.min(...shares)).toBeGreaterThanOrEqual(0);
              expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 5);
            }
          }
        }
      }),
      { seed: 3, numRuns: 200 },
    );
  });

  it('overruns no replica: balance is never worse than an even split, but for the loss', () => {
    fc.assert(
      fc.property(instances, ({ mapping, topology, sourceLoads }) => {
        const loads = pooled(mapping, sourceLoads);
        const seen = alike(mapping, loads);
        const { numLayers, numRanks } = mapping;
        for (let layer = 0; layer < numLayers; layer += 1) {
          const of = (table: ReturnType<typeof planDispatch>) =>
            balancedness(
              dispatchRankLoads(mapping, table, seen).subarray(
                layer * numRanks,
                (layer + 1) * numRanks,
              ),
              1,
              numRanks,
            );
          const even = of(uniformDispatch(mapping));
          const strict = planDispatch({ mapping, topology, loads, balanceLossMax: 0 });
          const loose = planDispatch({ mapping, topology, loads, balanceLossMax: 0.1 });
          expect(of(strict)).toBeGreaterThan(even - 1e-5);
          expect(of(loose)).toBeGreaterThan(of(strict) - 0.1 - 1e-5);
        }
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it('reaches the least largest load there is, against an even split that does not', () => {
    // Expert 0 on both ranks, expert 1 on the second: 30 + 10 is 20 each, by 2/3 and 1/3.
    const mapping = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 2,
      slotOffsets: Int32Array.of(0, 1, 3),
      physicalToLogical: Int32Array.of(0, 0, 1),
    });
    const loads = Float64Array.of(30, 10);
    const { shares } = planDispatch({ mapping, loads, balanceLossMax: 0 });
    // 2/3 and 1/3 of both ranks' tokens together: the first rank keeps all of its own.
    expect([...shares].map((share) => Math.round(share * 1e4))).toEqual([
      10_000, 0, 10_000, 3333, 6667, 10_000,
    ]);
  });

  it('gives a faster rank more', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 1,
      numRanks: 2,
      numPhysicalExperts: 2,
    });
    const loads = Float64Array.of(30);
    const rankCapacities = Float64Array.of(2, 1);
    const { shares } = planDispatch({ mapping, loads, rankCapacities });
    expect(((shares[0] ?? 0) + (shares[2] ?? 0)) / 2).toBeCloseTo(2 / 3, 5);
  });

  it('keeps tokens on their own rank as far as the replica there has room', () => {
    const mapping = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 3,
      slotOffsets: Int32Array.of(0, 2, 4, 5),
      physicalToLogical: Int32Array.of(0, 1, 0, 2, 0),
    });
    const loads = Float64Array.of(90, 30, 30);
    const { shares } = planDispatch({ mapping, loads, balanceLossMax: 0 });
    const ofExpert0 = (rank: number) => [0, 2, 4].map((slot) => shares[rank * 5 + slot] ?? 0);
    // 20, 20 and 50 of the 90 go to the three ranks, and each sends 30.
    [
      [2 / 3, 0, 1 / 3],
      [0, 2 / 3, 1 / 3],
      [0, 0, 1],
    ].forEach((expected, rank) => {
      ofExpert0(rank).forEach((share, at) => {
        expect(share).toBeCloseTo(expected[at] ?? 0, 5);
      });
    });
  });

  it('keeps no tokens on their rank where ranks ask for different experts and one would be overrun', () => {
    const mapping = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 3,
      slotOffsets: Int32Array.of(0, 2, 4),
      physicalToLogical: Int32Array.of(0, 1, 0, 2),
    });
    const loads = Float64Array.of(1e5, 5e4, 5e4);
    const sourceLoads = Float64Array.of(1e5, 0, 0, 0, 5e4, 5e4);
    const dispatch = planDispatch({ mapping, loads, sourceLoads });
    const rankLoads = dispatchRankLoads(mapping, dispatch, sourceLoads);
    expect(Math.max(...rankLoads)).toBeLessThan(1.03e5);
  });

  it('leaves shares in common to ranks that send far more or less than their domain', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 1,
      numRanks: 4,
      numPhysicalExperts: 4,
    });
    const sourceLoads = Float64Array.of(10, 10, 0, 1);
    const { shares } = planDispatch({ mapping, loads: Float64Array.of(21), sourceLoads });
    const row = (rank: number) => [...shares.subarray(rank * 4, rank * 4 + 4)];
    for (const share of [...row(2), ...row(3)]) expect(share).toBeCloseTo(0.25, 5);
    expect(row(0)[0]).toBeCloseTo(0.5, 5);
  });

  it('serves a domain from its own replicas, also ranks that have sent nothing yet', () => {
    const mapping = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 4,
      slotOffsets: Int32Array.of(0, 2, 4, 6, 8),
      physicalToLogical: Int32Array.of(0, 1, 2, 3, 0, 1, 2, 3),
    });
    const sourceLoads = new Float64Array(16);
    sourceLoads.fill(5, 0, 4);
    sourceLoads.fill(5, 8, 12);
    const loads = new Float64Array(4).fill(10);
    const topology = clusterOf(4, 2);
    const table = planDispatch({ mapping, topology, loads, sourceLoads });
    expect([...table.shares.subarray(8, 16)]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
    expect(crossNodeFraction(mapping, table, sourceLoads, topology.fastDomains)).toBe(0);
    const uniform = uniformDispatch(mapping);
    expect(crossNodeFraction(mapping, uniform, sourceLoads, topology.fastDomains)).toBe(0.5);
  });

  it('sends nothing to a rank that is out', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 2,
      numRanks: 2,
      numPhysicalExperts: 4,
    });
    const loads = Float64Array.of(4, 4);
    const { shares } = planDispatch({ mapping, loads, unavailableRanks: [0] });
    expect([...shares.subarray(0, 4)]).toEqual([0, 0, 1, 1]);
  });

  it.each([
    ['loads', { loads: new Float64Array(3) }],
    ['loads', { loads: Float64Array.of(1, Number.NaN) }],
    ['sourceLoads', { sourceLoads: new Float64Array(3) }],
    ['topology', { topology: clusterOf(3, 1) }],
    ['rankCapacities', { rankCapacities: Float64Array.of(1, 0) }],
    ['unavailableRanks', { unavailableRanks: [2] }],
  ])('refuses wrong %s', (field, change) => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 2,
      numRanks: 2,
      numPhysicalExperts: 4,
    });
    expect(() => planDispatch({ mapping, loads: Float64Array.of(1, 1), ...change })).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_REQUEST_INVALID', fields: { field } }),
    );
  });
});

describe('crossNodeTraffic', () => {
  const mapping = ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 3,
    slotOffsets: Int32Array.of(0, 1, 2, 3, 4),
    physicalToLogical: Int32Array.of(0, 1, 1, 2),
  });
  const fastDomains = Int32Array.of(0, 0, 1, 1);
  const routes = {
    numRoutes: 1,
    topK: 3,
    experts: Int16Array.of(0, 1, 2),
    sourceRanks: Int32Array.of(0),
  };

  it('counts distinct domains, ranks, or experts that a token leaves its own domain for', () => {
    const uniform = uniformDispatch(mapping);
    const traffic = (unit: 'domain' | 'rank' | 'expert') =>
      crossNodeTraffic(mapping, uniform, routes, fastDomains, unit);
    expect(traffic('domain')).toBe(1);
    expect(traffic('rank')).toBe(1.5);
    expect(traffic('expert')).toBe(1.5);
  });

  it('adds the shares of one expert in one domain, before it counts the domain', () => {
    const source = { ...routes, topK: 1, experts: Int16Array.of(1), sourceRanks: Int32Array.of(3) };
    const far = Int32Array.of(0, 0, 0, 1);
    const uniform = uniformDispatch(mapping);
    expect(crossNodeTraffic(mapping, uniform, source, far)).toBe(1);
  });

  it('leaves out routes of unknown source', () => {
    const unknown = { ...routes, sourceRanks: Int32Array.of(-1) };
    expect(crossNodeTraffic(mapping, uniformDispatch(mapping), unknown, fastDomains)).toBe(0);
  });
});
