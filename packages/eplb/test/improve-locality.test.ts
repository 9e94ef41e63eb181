import {
  crossNodeFraction,
  crossNodeTraffic,
  ExpertMapping,
  improveLocality,
  type LocalityRequest,
  planDispatch,
  uniformDispatch,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clusterOf, sourcedTokens } from './routes.js';

const numRanks = 6;
const topology = clusterOf(numRanks, 3);

/** Tokens that ask for two experts, drawn by the given numbers. */
function tokensFrom(numbers: readonly number[], numLayers: number, numExperts: number) {
  const experts = Int16Array.from({ length: 40 * numLayers * 2 }, (_, at) => {
    const first = (numbers[(at >> 1) % numbers.length] ?? 0) % numExperts;
    return at % 2 === 0 ? first : (first + 1 + ((at >> 1) % 3)) % numExperts;
  });
  const sourceRanks = Int32Array.from({ length: 40 }, (_, token) => (token % 7) - 1);
  return sourcedTokens({ numLayers, numExperts, topK: 2, numRanks, experts, sourceRanks });
}

const requests = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 2 }),
    numLogicalExperts: fc.integer({ min: 4, max: 14 }),
    redundant: fc.integer({ min: 0, max: 6 }),
    numbers: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 30 }),
    seed: fc.integer({ min: 0, max: 5 }),
    maxMoves: fc.integer({ min: 0, max: 6 }),
    pinnedSlots: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
    knowsRoutes: fc.boolean(),
    rankOut: fc.option(fc.integer({ min: 0, max: numRanks - 1 }), { nil: undefined }),
  })
  .map(({ numLayers, numLogicalExperts, redundant, numbers, knowsRoutes, rankOut, ...rest }) => {
    const numPhysicalExperts = numLogicalExperts + redundant;
    const shape = { numLayers, numLogicalExperts, numRanks, numPhysicalExperts };
    const { routes, ...tokens } = tokensFrom(numbers, numLayers, numLogicalExperts);
    const request: LocalityRequest = {
      mapping: ExpertMapping.contiguous(shape),
      topology,
      ...tokens,
      ...(knowsRoutes ? { routes } : {}),
      unavailableRanks: rankOut === undefined ? [] : [rankOut],
      workBudget: 2_000,
      ...rest,
    };
    return request;
  });

function mappingOf(request: LocalityRequest, physicalToLogical: Int32Array): ExpertMapping {
  const { numLayers, numLogicalExperts, slotOffsets } = request.mapping;
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

/** Replicas beyond one that ranks hold of the same expert. */
function duplicates(mapping: ExpertMapping): number {
  let count = 0;
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    const held = [...mapping.row(layer)].map((expert, slot) => [mapping.rankOfSlot(slot), expert]);
    const distinct = new Set(held.filter(([, expert]) => expert !== -1).map(String));
    count += held.filter(([, expert]) => expert !== -1).length - distinct.size;
  }
  return count;
}

describe('improveLocality', () => {
  it('is valid, deterministic, keeps pins and ranks that are out, and adds no duplicate', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const plan = improveLocality(request);
        expect(improveLocality(request)).toEqual(plan);
        const improved = mappingOf(request, plan.physicalToLogical);
        expect(duplicates(improved)).toBeLessThanOrEqual(duplicates(request.mapping));
        const out = new Set(request.unavailableRanks);
        for (let layer = 0; layer < improved.numLayers; layer += 1) {
          request.mapping.row(layer).forEach((expert, slot) => {
            const isHeld =
              out.has(improved.rankOfSlot(slot)) || request.pinnedSlots?.includes(slot);
            if (isHeld) expect(improved.getLogicalExpert(layer, slot)).toBe(expert);
          });
        }
      }),
      { seed: 5, numRuns: 150 },
    );
  });

  it('loses no expert that a serving rank held, and gives shares for every one', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const plan = improveLocality(request);
        const improved = mappingOf(request, plan.physicalToLogical);
        const out = new Set(request.unavailableRanks);
        const slots = improved.numPhysicalExperts;
        const serves = (of: ExpertMapping, layer: number, expert: number) =>
          [...of.getPhysicalExperts(layer, expert)].some((slot) => !out.has(of.rankOfSlot(slot)));
        for (let layer = 0; layer < improved.numLayers; layer += 1) {
          for (let expert = 0; expert < improved.numLogicalExperts; expert += 1) {
            if (!serves(request.mapping, layer, expert)) continue;
            expect(serves(improved, layer, expert)).toBe(true);
            for (let rank = 0; rank < numRanks; rank += 1) {
              let sum = 0;
              for (const slot of improved.getPhysicalExperts(layer, expert)) {
                sum += plan.dispatch.shares[(layer * numRanks + rank) * slots + slot] ?? 0;
              }
              expect(sum).toBeCloseTo(1, 5);
            }
          }
        }
      }),
      { seed: 6, numRuns: 150 },
    );
  });

  it('keeps a budget of moves, and a cost of moves too high for any', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const currentMapping = request.mapping;
        const plan = improveLocality({ ...request, currentMapping, moveCost: 0.0001 });
        const moves = currentMapping.moves(mappingOf(request, plan.physicalToLogical)).length;
        expect(plan.moves).toBe(moves);
        expect(moves).toBeLessThanOrEqual(request.maxMoves ?? 0);
        const dear = improveLocality({ ...request, currentMapping, moveCost: 1_000 });
        expect(dear.moves).toBe(0);
      }),
      { seed: 7, numRuns: 100 },
    );
  });

  it('brings together experts that fire together, at the same balance', () => {
    // Experts 0 and 4, 1 and 5, 2 and 6, 3 and 7 share tokens; each pair lies in two domains.
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 8,
      numRanks: 4,
      numPhysicalExperts: 8,
    });
    const experts = Int16Array.from({ length: 1024 * 2 }, (_, at) => {
      const pair = ((at >> 1) * 7 + (at >> 4)) % 4;
      return at % 2 === 0 ? pair : pair + 4;
    });
    const sourceRanks = Int32Array.from({ length: 1024 }, (_, token) => token % 4);
    const shape = { numLayers: 1, numExperts: 8, topK: 2, numRanks: 4 };
    const tokens = sourcedTokens({ ...shape, experts, sourceRanks });
    const cluster = clusterOf(4, 2);
    const plan = improveLocality({ mapping, topology: cluster, ...tokens });
    const improved = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 8,
      slotOffsets: mapping.slotOffsets,
      physicalToLogical: plan.physicalToLogical,
    });
    const before = planDispatch({ mapping, topology: cluster, ...tokens });
    const traffic = (of: ExpertMapping, by: typeof before) =>
      crossNodeTraffic(of, by, tokens.routes, cluster.fastDomains);
    expect(traffic(mapping, before)).toBe(1);
    expect(traffic(improved, plan.dispatch)).toBeCloseTo(0.5, 2);
    expect(plan.trafficAfter).toBeCloseTo(0.5, 2);
    expect(improved.balancedness(tokens.loads)).toBeGreaterThan(
      mapping.balancedness(tokens.loads) - 0.005,
    );
  });

  it('without routes brings experts to the domain that asks for them', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 8,
      numRanks: 4,
      numPhysicalExperts: 8,
    });
    // Ranks 0 and 1 ask for experts 4 to 7 only, which ranks 2 and 3 hold, and the other way round.
    const sourceLoads = Float64Array.from({ length: 32 }, (_, at) =>
      at < 16 === at % 8 < 4 ? 0 : 100,
    );
    const loads = new Float64Array(8).fill(200);
    const cluster = clusterOf(4, 2);
    const plan = improveLocality({ mapping, topology: cluster, loads, sourceLoads });
    const improved = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 8,
      slotOffsets: mapping.slotOffsets,
      physicalToLogical: plan.physicalToLogical,
    });
    const crossing = (of: ExpertMapping, dispatch = uniformDispatch(of)) =>
      crossNodeFraction(of, dispatch, sourceLoads, cluster.fastDomains);
    expect(crossing(mapping)).toBe(1);
    expect(crossing(improved, plan.dispatch)).toBe(0);
  });

  it('changes nothing in one domain, or without load', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 6,
      numRanks: 4,
      numPhysicalExperts: 8,
    });
    const loads = Float64Array.of(5, 4, 3, 2, 1, 9);
    const one = improveLocality({ mapping, topology: clusterOf(4, 1), loads });
    expect(one.physicalToLogical).toEqual(mapping.physicalToLogical);
    const idle = improveLocality({
      mapping,
      topology: clusterOf(4, 2),
      loads: new Float64Array(6),
    });
    expect(idle.physicalToLogical).toEqual(mapping.physicalToLogical);
  });

  it.each([
    ['pinnedSlots', { pinnedSlots: [8] }],
    [
      'currentMapping',
      {
        currentMapping: ExpertMapping.contiguous({
          numLayers: 1,
          numLogicalExperts: 6,
          numRanks: 2,
          numPhysicalExperts: 8,
        }),
      },
    ],
    [
      'routes',
      {
        routes: {
          numRoutes: 1,
          topK: 2,
          experts: Int16Array.of(0, 6),
          sourceRanks: Int32Array.of(0),
        },
      },
    ],
    [
      'routes',
      {
        routes: {
          numRoutes: 1,
          topK: 2,
          experts: Int16Array.of(0, 5),
          sourceRanks: Int32Array.of(4),
        },
      },
    ],
  ])('refuses wrong %s', (field, change) => {
    const mapping = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts: 6,
      numRanks: 4,
      numPhysicalExperts: 8,
    });
    const request = { mapping, topology: clusterOf(4, 2), loads: new Float64Array(6), ...change };
    expect(() => improveLocality(request)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_REQUEST_INVALID', fields: { field } }),
    );
  });
});
