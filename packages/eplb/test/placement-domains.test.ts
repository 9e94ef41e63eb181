import {
  type ClusterShape,
  DefaultEplbPolicy,
  EplbError,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
  type RebalanceResult,
  uniformSlotOffsets,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const policy = new LocalityAwarePolicy();
/** What spreading may cost, and the share by which two searches of one instance may differ. */
const spreadCostMax = 0.005;
const searchNoise = 0.01;

function topologyOf(failureDomains: readonly number[], fastDomains = failureDomains): ClusterShape {
  const numRanks = failureDomains.length;
  return {
    numRanks,
    failureDomains: Int32Array.from(failureDomains),
    fastDomains: Int32Array.from(fastDomains),
    cost: new Float64Array(numRanks * numRanks),
  };
}

function capacitiesOf({ slotOffsets, rankCapacities, unavailableRanks = [] }: RebalanceRequest) {
  const capacities = rankCapacities?.slice() ?? new Float64Array(slotOffsets.length - 1).fill(1);
  for (const rank of unavailableRanks) capacities[rank] = 0;
  return capacities;
}

function largest(request: RebalanceRequest, mapping: ExpertMapping): Float64Array {
  return mapping.largestRankLoads(request.loads, capacitiesOf(request));
}

function expectValid(request: RebalanceRequest, { mapping, report }: RebalanceResult): void {
  const { numLayers, numLogicalExperts, currentMapping, pinnedSlots = [], maxMoves } = request;
  const capacities = capacitiesOf(request);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const held = new Set(
      [...mapping.row(layer)].filter((_, slot) => (capacities[mapping.rankOfSlot(slot)] ?? 0) > 0),
    );
    held.delete(-1);
    expect(held.size).toBe(numLogicalExperts);
    for (const slot of pinnedSlots) {
      if (capacities[mapping.rankOfSlot(slot)] === 0) continue;
      expect(mapping.row(layer)[slot]).toBe(currentMapping?.row(layer)[slot]);
    }
  }
  if (request.unavailableRanks === undefined && currentMapping !== undefined) {
    expect(report.moves).toBeLessThanOrEqual(maxMoves ?? Number.POSITIVE_INFINITY);
  }
}

/** The default policy's largest rank loads; null where it can't place this. */
function published(request: RebalanceRequest): Float64Array | null {
  try {
    const { mapping } = new DefaultEplbPolicy().rebalanceExperts(request);
    return hasDuplicate(mapping) ? null : largest(request, mapping);
  } catch (error) {
    if (error instanceof EplbError) return null;
    throw error;
  }
}

function hasDuplicate(mapping: ExpertMapping): boolean {
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    const places = [...mapping.row(layer)].map((expert, slot) => [
      expert,
      mapping.rankOfSlot(slot),
    ]);
    const held = places.filter(([expert]) => expert !== -1).map(String);
    if (new Set(held).size < held.length) return true;
  }
  return false;
}

function expectAtMost(loads: Float64Array, bounds: Float64Array, share: number): void {
  loads.forEach((load, layer) => {
    expect(load).toBeLessThanOrEqual((bounds[layer] ?? 0) * (1 + share) + 1e-6);
  });
}

const clusters = fc
  .record({
    numLayers: fc.integer({ min: 1, max: 2 }),
    numLogicalExperts: fc.integer({ min: 2, max: 10 }),
    numRanks: fc.integer({ min: 3, max: 8 }),
    redundant: fc.integer({ min: 0, max: 8 }),
    numDomains: fc.integer({ min: 1, max: 4 }),
  })
  .chain((sizes) =>
    fc.record({
      sizes: fc.constant(sizes),
      failureDomains: fc.array(
        fc.integer({ min: 0, max: Math.min(sizes.numDomains, sizes.numRanks) - 1 }),
        { minLength: sizes.numRanks, maxLength: sizes.numRanks },
      ),
      loads: fc.array(fc.integer({ min: 0, max: 1_000 }), {
        minLength: sizes.numLayers * sizes.numLogicalExperts,
        maxLength: sizes.numLayers * sizes.numLogicalExperts,
      }),
      groups: fc.nat(),
      out: fc.integer({ min: 0, max: sizes.numRanks - 1 }),
      maxMoves: fc.integer({ min: 0, max: 12 }),
      pinned: fc.integer({ min: 0, max: sizes.numLogicalExperts - 1 }),
    }),
  )
  .map(({ sizes, failureDomains, loads, groups, out, maxMoves, pinned }) => {
    const { numLayers, numLogicalExperts, numRanks, redundant } = sizes;
    const numPhysicalExperts = numLogicalExperts + redundant;
    const fresh = {
      numLayers,
      numLogicalExperts,
      slotOffsets: uniformSlotOffsets(numPhysicalExperts, numRanks),
      loads: Float64Array.from(loads),
      workBudget: 2_000_000,
    };
    const shape = { numLayers, numLogicalExperts, numRanks, numPhysicalExperts };
    const current = { ...fresh, currentMapping: ExpertMapping.contiguous(shape) };
    const divisors = [2, 3, 4, 5, numLogicalExperts].filter((at) => numLogicalExperts % at === 0);
    const numGroups = divisors[groups % divisors.length] ?? 1;
    const slotsLeft = numPhysicalExperts - Math.ceil(numPhysicalExperts / numRanks);
    const unavailableRanks = slotsLeft > numLogicalExperts ? [out] : [];
    const topology = topologyOf(failureDomains);
    return { fresh, current, topology, numGroups, unavailableRanks, maxMoves, pinned };
  });

describe('placement over failure domains', () => {
  it('is valid, deterministic, and costs no more balance than stated', () => {
    fc.assert(
      fc.property(clusters, ({ fresh, current, topology, maxMoves }) => {
        const request = { ...fresh, topology };
        const result = policy.rebalanceExperts(request);
        expectValid(request, result);
        expect(policy.rebalanceExperts(request).mapping.equals(result.mapping)).toBe(true);
        const loads = largest(request, result.mapping);
        const without = policy.rebalanceExperts(fresh);
        expectAtMost(loads, largest(fresh, without.mapping), spreadCostMax + searchNoise);
        const most = published(request);
        if (most !== null) expectAtMost(loads, most, 0);
        const bounded = { ...current, topology, maxMoves };
        expectValid(bounded, policy.rebalanceExperts(bounded));
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it('is valid with pinned slots and ranks that are out', () => {
    fc.assert(
      fc.property(clusters, ({ current, topology, numGroups, unavailableRanks, pinned }) => {
        for (const groups of [1, numGroups]) {
          const held = { ...current, topology, numGroups: groups, pinnedSlots: [pinned] };
          expectValid(held, policy.rebalanceExperts(held));
          const out = { ...current, topology, numGroups: groups, unavailableRanks };
          expectValid(out, policy.rebalanceExperts(out));
        }
      }),
      { seed: 2, numRuns: 25 },
    );
  });

  it('spreads every expert where there are ranks enough, from nothing and from a placement', () => {
    const loadsOf = fc.array(fc.integer({ min: 500, max: 1_500 }), {
      minLength: 24,
      maxLength: 24,
    });
    const shape = { numLayers: 1, numLogicalExperts: 24, slotOffsets: uniformSlotOffsets(32, 8) };
    const topology = topologyOf([0, 0, 1, 1, 2, 2, 3, 3]);
    let crowdedWithout = 0;
    fc.assert(
      fc.property(loadsOf, loadsOf, (first, then) => {
        const fresh = { ...shape, loads: Float64Array.from(first) };
        const { mapping, report } = policy.rebalanceExperts({ ...fresh, topology });
        expect(report.crowdedExperts).toBe(0);
        const drifted = { ...shape, topology, loads: Float64Array.from(then) };
        const next = policy.rebalanceExperts({ ...drifted, currentMapping: mapping });
        expect(next.report.crowdedExperts).toBe(0);
        const held = { ...drifted, moveCosts: Float64Array.of(Number.POSITIVE_INFINITY) };
        const unspread = policy.rebalanceExperts(fresh).mapping;
        const before = policy.rebalanceExperts({ ...held, currentMapping: unspread });
        crowdedWithout += before.report.crowdedExperts ?? 0;
      }),
      { seed: 3, numRuns: 8 },
    );
    expect(crowdedWithout).toBeGreaterThan(0);
  });

  // Every rank has load 20, and both copies of expert 0, and of 3, are in one domain.
  const crowded = {
    numLayers: 1,
    numLogicalExperts: 6,
    slotOffsets: uniformSlotOffsets(8, 4),
    loads: Float64Array.of(20, 10, 10, 20, 10, 10),
    topology: topologyOf([0, 0, 1, 1]),
    currentMapping: ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 6,
      slotOffsets: uniformSlotOffsets(8, 4),
      physicalToLogical: Int32Array.of(0, 1, 0, 2, 3, 4, 3, 5),
    }),
  };

  it('repairs what came crowded by an exchange', () => {
    const { report } = policy.rebalanceExperts(crowded);
    expect(report.crowdedExperts).toBe(0);
    expect(report.moves).toBe(2);
    expect(report.balancedness).toBe(1);
  });

  it.each([
    ['too few moves are left', { maxMoves: 1 }],
    ['the layer is held', { moveCosts: Float64Array.of(Number.POSITIVE_INFINITY) }],
    ['the copies are pinned', { pinnedSlots: [0, 2, 4, 6] }],
  ])('repairs nothing where %s', (_, limits) => {
    const { mapping, report } = policy.rebalanceExperts({ ...crowded, ...limits });
    expect(report.crowdedExperts).toBe(2);
    expect(mapping.equals(crowded.currentMapping)).toBe(true);
  });

  it('yields where spreading would cost balance', () => {
    const { report } = policy.rebalanceExperts({
      numLayers: 1,
      numLogicalExperts: 1,
      slotOffsets: uniformSlotOffsets(4, 4),
      loads: Float64Array.of(100),
      topology: topologyOf([0, 0, 0, 1]),
    });
    expect(report.balancedness).toBe(1);
    expect(report.crowdedExperts).toBe(1);
  });

  it('yields where a further copy beyond a part gains much', () => {
    const shape = { numLayers: 1, numLogicalExperts: 2, slotOffsets: uniformSlotOffsets(8, 4) };
    const { report } = policy.rebalanceExperts({
      ...shape,
      loads: Float64Array.of(120, 4),
      topology: topologyOf([0, 0, 0, 1]),
      currentMapping: ExpertMapping.create({
        ...shape,
        physicalToLogical: Int32Array.of(0, 1, -1, 1, -1, 1, 0, 1),
      }),
    });
    expect(report.balancedness).toBe(1);
    expect(report.crowdedExperts).toBeGreaterThan(0);
  });

  it('reports nothing of domains without a topology, and of groups with one', () => {
    const { topology, ...plain } = crowded;
    expect(policy.rebalanceExperts({ ...plain, numGroups: 2 }).report).toMatchObject({
      crowdedExperts: null,
      splitGroups: null,
    });
    expect(policy.rebalanceExperts({ ...plain, topology }).report.splitGroups).toBeNull();
  });
});

describe('expert groups in fast domains', () => {
  it('is valid, deterministic, and costs no more balance than stated', () => {
    fc.assert(
      fc.property(
        clusters,
        fc.constantFrom(0, 0.005, 0.1),
        ({ fresh, current, topology, numGroups, maxMoves }, balanceLossMax) => {
          const request = { ...fresh, topology, numGroups, balanceLossMax };
          const result = policy.rebalanceExperts(request);
          expectValid(request, result);
          expect(policy.rebalanceExperts(request).mapping.equals(result.mapping)).toBe(true);
          const loads = largest(request, result.mapping);
          const without = policy.rebalanceExperts({ ...fresh, topology });
          const share = balanceLossMax + searchNoise;
          expectAtMost(loads, largest(fresh, without.mapping), share);
          const most = published(request);
          if (most !== null) expectAtMost(loads, most, 0);
          const bounded = { ...current, topology, numGroups, maxMoves };
          expectValid(bounded, policy.rebalanceExperts(bounded));
        },
      ),
      { seed: 4, numRuns: 40 },
    );
  });

  // Three groups over two domains of two ranks: the first is as heavy as the others together.
  const groups = {
    numLayers: 1,
    numLogicalExperts: 12,
    numGroups: 3,
    slotOffsets: uniformSlotOffsets(16, 4),
    loads: Float64Array.of(2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1),
    topology: topologyOf([0, 0, 1, 1]),
  };

  it('keeps groups together that do not divide by domains', () => {
    const { mapping, report } = policy.rebalanceExperts(groups);
    expect(report.splitGroups).toBe(0);
    expect(report.balancedness).toBeCloseTo(1, 9);
    const domains = [...mapping.row(0)].map((expert, slot) => [Math.floor(expert / 4), slot >> 3]);
    expect(new Set(domains.map(String)).size).toBe(3);
  });

  it('lets go of the one group that is too heavy for a domain, and of no other', () => {
    const { report } = policy.rebalanceExperts({
      ...groups,
      slotOffsets: uniformSlotOffsets(20, 4),
      loads: Float64Array.of(3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1),
      topology: topologyOf([0, 1, 2, 3], [0, 0, 1, 1]),
    });
    expect(report.splitGroups).toBe(1);
    expect(report.balancedness).toBeGreaterThan(0.995);
  });

  it('tears no group that is together, and does where balance asks for it', () => {
    const currentMapping = policy.rebalanceExperts(groups).mapping;
    const loads = Float64Array.of(2.2, 2, 1.8, 2, 1, 1.3, 0.8, 1, 1, 1, 0.7, 1.2);
    const next = policy.rebalanceExperts({ ...groups, loads, currentMapping });
    expect(next.report.splitGroups).toBe(0);
    const heavy = Float64Array.of(9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1);
    const request = { ...groups, loads: heavy, currentMapping };
    const torn = policy.rebalanceExperts(request);
    expect(torn.report.splitGroups).toBeGreaterThan(0);
    const { numGroups, ...free } = request;
    const without = policy.rebalanceExperts(free);
    expect(torn.report.balancedness).toBeGreaterThan(without.report.balancedness * 0.99);
  });
});
