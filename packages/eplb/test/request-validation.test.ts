import {
  type ClusterShape,
  closedSlots,
  DefaultEplbPolicy,
  type DispatchTable,
  EplbError,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
  type RebalanceResult,
  type RouteSample,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const numLayers = 2;
const numLogicalExperts = 6;
const numRanks = 4;
const currentMapping = ExpertMapping.contiguous({
  numLayers,
  numLogicalExperts,
  numRanks,
  numPhysicalExperts: 8,
});
const topology: ClusterShape = {
  numRanks,
  fastDomains: Int32Array.of(0, 0, 1, 1),
  failureDomains: Int32Array.of(0, 1, 2, 3),
  cost: new Float64Array(numRanks * numRanks),
};
/** Three tokens of two windows; the last has but one expert a layer, and its source is unknown. */
const routes: RouteSample = {
  numRoutes: 3,
  topK: 2,
  experts: Int16Array.of(0, 5, 1, 2, 3, 4, 0, 1, 2, -1, 3, -1),
  sourceRanks: Int32Array.of(0, 3, -1),
  windowOffsets: Int32Array.of(0, 2, 3),
};
const sound: RebalanceRequest = {
  numLayers,
  numLogicalExperts,
  slotOffsets: currentMapping.slotOffsets,
  loads: Float64Array.from({ length: numLayers * numLogicalExperts }, (_, index) => index),
  loadDeviations: new Float64Array(numLayers * numLogicalExperts).fill(2),
  loadFactors: [Float64Array.from({ length: 12 }, (_, index) => index - 6)],
  sourceLoads: new Float64Array(numLayers * numRanks * numLogicalExperts).fill(1),
  routes,
  replicaChoice: 'weighted',
  trafficUnit: 'rank',
  balanceLossMax: 0.01,
  trafficMoveCost: 0.004,
  numNodes: 2,
  numGroups: 2,
  currentMapping,
  topology,
  rankCapacities: Float64Array.of(1, 1, 2, 1),
  maxMoves: 4,
  moveCosts: Float64Array.of(0, Number.POSITIVE_INFINITY),
  workBudget: 1_000,
  seed: 7,
  deadlineMs: 60_000,
};

function withRoutes(changes: Partial<RouteSample>): Partial<RebalanceRequest> {
  return { routes: { ...routes, ...changes } };
}

function filled(length: number, at: number, value: number): Float64Array {
  return new Float64Array(length).fill(1).fill(value, at, at + 1);
}

function contiguous(layers: number, experts: number, slots: number): ExpertMapping {
  return ExpertMapping.contiguous({
    numLayers: layers,
    numLogicalExperts: experts,
    numRanks,
    numPhysicalExperts: slots,
  });
}

const policies = [new DefaultEplbPolicy(), new LocalityAwarePolicy()];

function refusal(request: RebalanceRequest, policy = policies[1]): EplbError {
  try {
    policy?.rebalanceExperts(request);
  } catch (error) {
    if (error instanceof EplbError) return error;
    throw error;
  }
  throw new Error('the request was not refused');
}

/** What no count may be. */
const noCounts = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60];

const invalid: readonly (readonly [string, string, Partial<RebalanceRequest>])[] = [
  ...(['numLayers', 'numLogicalExperts', 'numNodes', 'numGroups', 'workBudget'] as const).flatMap(
    (field) => noCounts.map((value) => [field, `${value}`, { [field]: value }] as const),
  ),
  ['numNodes', 'more than ranks', { numNodes: 5 }],
  ['numGroups', 'more than experts', { numGroups: 7 }],
  ['slotOffsets', 'empty', { slotOffsets: new Int32Array(0) }],
  ['slotOffsets', 'no rank', { slotOffsets: Int32Array.of(0) }],
  ['slotOffsets', 'not from 0', { slotOffsets: Int32Array.of(1, 3, 5, 7, 9) }],
  ['slotOffsets', 'falling', { slotOffsets: Int32Array.of(0, 4, 3, 7, 9) }],
  ['slotOffsets', 'negative', { slotOffsets: Int32Array.of(0, -2, 3, 7, 9) }],
  ['loads', 'too short', { loads: new Float64Array(11) }],
  ['loads', 'too long', { loads: new Float64Array(13) }],
  ['loadDeviations', 'too short', { loadDeviations: new Float64Array(11) }],
  ...(['loads', 'loadDeviations'] as const).flatMap((field) =>
    [-1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300].map(
      (value) => [field, `${value}`, { [field]: filled(12, 11, value) }] as const,
    ),
  ),
  ['loadFactors', 'three', { loadFactors: [0, 1, 2].map(() => new Float64Array(12)) }],
  [
    'loadFactors',
    'the second too short',
    { loadFactors: [12, 11].map((n) => new Float64Array(n)) },
  ],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1e300].map(
    (value) => ['loadFactors', `${value}`, { loadFactors: [filled(12, 11, value)] }] as const,
  ),
  ['sourceLoads', 'without ranks', { sourceLoads: new Float64Array(12) }],
  ...[-1, Number.NaN, Number.POSITIVE_INFINITY, 1e300].map(
    (value) => ['sourceLoads', `${value}`, { sourceLoads: filled(48, 47, value) }] as const,
  ),
  ...(['balanceLossMax', 'trafficMoveCost'] as const).flatMap((field) =>
    [-1, Number.NaN, Number.NEGATIVE_INFINITY].map(
      (value) => [field, `${value}`, { [field]: value }] as const,
    ),
  ),
  ...[1.01, Number.POSITIVE_INFINITY].map(
    (value) => ['balanceLossMax', `${value}`, { balanceLossMax: value }] as const,
  ),
  ...(['replicaChoice', 'trafficUnit'] as const).flatMap((field) =>
    ['nearest', '', 'toString', null, 1].map(
      (value) =>
        [field, `${value}`, { [field]: value } as unknown as Partial<RebalanceRequest>] as const,
    ),
  ),
  ...[-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 20 + 1].map(
    (value) => ['routes.numRoutes', `${value}`, withRoutes({ numRoutes: value })] as const,
  ),
  ...[0, -1, 1.5, 7, Number.NaN, Number.POSITIVE_INFINITY].map(
    (value) => ['routes.topK', `${value}`, withRoutes({ topK: value })] as const,
  ),
  ['routes.experts', 'too short', withRoutes({ experts: new Int16Array(11) })],
  ['routes.experts', 'of more experts a token', withRoutes({ topK: 3 })],
  ...[-2, 6].map(
    (value) =>
      [
        'routes.experts',
        `${value}`,
        withRoutes({ experts: routes.experts.map((expert, at) => (at === 11 ? value : expert)) }),
      ] as const,
  ),
  ['routes.sourceRanks', 'too long', withRoutes({ sourceRanks: new Int32Array(4) })],
  ...[-2, 4].map(
    (value) =>
      [
        'routes.sourceRanks',
        `${value}`,
        withRoutes({ sourceRanks: Int32Array.of(0, 0, value) }),
      ] as const,
  ),
  ...[[], [0], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3], [0, -1, 3], [0, 4, 3]].map(
    (offsets) =>
      [
        'routes.windowOffsets',
        `[${offsets}]`,
        withRoutes({ windowOffsets: Int32Array.from(offsets) }),
      ] as const,
  ),
  ['rankCapacities', 'too short', { rankCapacities: new Float64Array(3).fill(1) }],
  ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-300, 1e300].map(
    (value) => ['rankCapacities', `${value}`, { rankCapacities: filled(4, 3, value) }] as const,
  ),
  ['moveCosts', 'too long', { moveCosts: new Float64Array(3) }],
  ...[-1, Number.NaN, Number.NEGATIVE_INFINITY].map(
    (value) => ['moveCosts', `${value}`, { moveCosts: filled(2, 1, value) }] as const,
  ),
  ...[-1, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 60].map(
    (value) => ['maxMoves', `${value}`, { maxMoves: value }] as const,
  ),
  ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32].map(
    (value) => ['seed', `${value}`, { seed: value }] as const,
  ),
  ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31].map(
    (value) => ['deadlineMs', `${value}`, { deadlineMs: value }] as const,
  ),
  ...[4, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map(
    (value) => ['unavailableRanks', `${value}`, { unavailableRanks: [value] }] as const,
  ),
  ['unavailableRanks', 'every rank', { unavailableRanks: [3, 1, 0, 2] }],
  ...[8, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map(
    (value) => ['pinnedSlots', `${value}`, { pinnedSlots: [0, value] }] as const,
  ),
  ['topology', 'fewer ranks', { topology: { ...topology, numRanks: 3 } }],
  ...(['fastDomains', 'failureDomains'] as const).flatMap((level) => [
    [
      `topology.${level}`,
      'too short',
      { topology: { ...topology, [level]: new Int32Array(3) } },
    ] as const,
    ...[-1, 4].map(
      (domain) =>
        [
          `topology.${level}`,
          `${domain}`,
          { topology: { ...topology, [level]: Int32Array.of(0, 0, 0, domain) } },
        ] as const,
    ),
  ]),
  ['topology.cost', 'too short', { topology: { ...topology, cost: new Float64Array(15) } }],
  ...[-1, Number.NaN, Number.POSITIVE_INFINITY].map(
    (value) =>
      [
        'topology.cost',
        `${value}`,
        { topology: { ...topology, cost: filled(16, 15, value) } },
      ] as const,
  ),
  ['currentMapping', 'other layers', { currentMapping: contiguous(3, 6, 8) }],
  ['currentMapping', 'other experts', { currentMapping: contiguous(2, 5, 8) }],
  ['currentMapping', 'other slots', { currentMapping: contiguous(2, 6, 9) }],
];

const unplaceable: readonly (readonly [string, string, Partial<RebalanceRequest>])[] = [
  ['numLayers', 'over 1,024', { numLayers: 1_025 }],
  ['numLogicalExperts', 'over 65,536', { numLogicalExperts: 65_537 }],
  ['slotOffsets', 'over 4,096 ranks', { slotOffsets: new Int32Array(4_098) }],
  ['slotOffsets', 'over 65,536 slots', { slotOffsets: Int32Array.of(0, 65_537) }],
  ['numGroups', 'not dividing the experts', { numGroups: 4 }],

  ['slotOffsets', 'too few slots on serving ranks', { unavailableRanks: [1, 2] }],
  ['usableSlots', 'too few usable slots', { usableSlots: Int32Array.of(1, 1, 0, 1) }],
  [
    'pinnedSlots',
    'what stays pinned leaves too few',
    { pinnedSlots: [0, 1, 2, 6, 7, 3], unavailableRanks: [2] },
  ],
];

describe('a request for a placement', () => {
  it('may say all that there is to say', () => {
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts(sound);
    expect(mapping.sameShape(currentMapping)).toBe(true);
    const others = {
      ...sound,
      pinnedSlots: [0, 1, 6, 7],
      unavailableRanks: [3],
      maxMoves: Infinity,
    };
    expect(new LocalityAwarePolicy().rebalanceExperts(others).mapping.getLogicalExpert(1, 0)).toBe(
      0,
    );
  });

  it.each(invalid)('is refused by its field %s: %s', (field, _, change) => {
    const { code, fields, message } = refusal({ ...sound, ...change });
    expect({ code, fields }).toEqual({ code: 'ISOBAR_EPLB_REQUEST_INVALID', fields: { field } });
    expect(message.startsWith(field)).toBe(true);
  });

  it.each(unplaceable)('is refused by its sizes, %s: %s', (field, _, change) => {
    expect(refusal({ ...sound, ...change })).toMatchObject({
      code: 'ISOBAR_EPLB_SIZES',
      fields: { field },
    });
  });

  it('is refused where slots are fewer than experts', () => {
    const { currentMapping: _, ...without } = sound;
    expect(refusal({ ...without, slotOffsets: Int32Array.of(0, 1, 2, 3, 5) })).toMatchObject({
      code: 'ISOBAR_EPLB_SIZES',
      fields: { field: 'slotOffsets', availableSlots: 5, numLogicalExperts: 6 },
    });
  });

  it('is refused where slots are pinned to experts that nothing names', () => {
    const { currentMapping: _, ...without } = sound;
    expect(refusal({ ...without, pinnedSlots: [0] })).toMatchObject({
      code: 'ISOBAR_EPLB_REQUEST_INVALID',
      fields: { field: 'pinnedSlots' },
    });
  });

  it('may give a rank that is out no capacity', () => {
    const request = { ...sound, unavailableRanks: [0], rankCapacities: filled(4, 0, 0) };
    expect(new LocalityAwarePolicy().rebalanceExperts(request)).toBeDefined();
  });

  it.each([
    ['uneven slots', 'slotOffsets', { slotOffsets: Int32Array.of(0, 3, 5, 7, 9) }],
    ['ranks that do not divide by nodes', 'numNodes', { numNodes: 3, numGroups: 3 }],
    ['pinned slots', 'pinnedSlots', { pinnedSlots: [0], currentMapping }],
  ])('with %s is none for the default policy', (_, field, change) => {
    const { currentMapping: __, ...without } = sound;
    expect(refusal({ ...without, ...change }, policies[0])).toMatchObject({
      code: 'ISOBAR_EPLB_SIZES',
      fields: { field },
    });
  });
});

const oddNumbers = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 9 }) },
  { weight: 1, arbitrary: fc.double() },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-0, -1, 0.5, Number.MIN_VALUE, Number.MAX_VALUE, 2 ** 31, 2 ** 53),
  },
);

/** Values of each shape that a field may have, some of them sound. */
function floats(length: number): fc.Arbitrary<Float64Array> {
  const sizes = fc.oneof(
    { weight: 40, arbitrary: fc.constant(length) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 20 }) },
  );
  const values = fc.oneof(
    { weight: 40, arbitrary: fc.constant(fc.double({ min: 0, max: 1e6, noNaN: true })) },
    { weight: 1, arbitrary: fc.constant(oddNumbers) },
  );
  return fc
    .tuple(sizes, values)
    .chain(([size, value]) => fc.array(value, { minLength: size, maxLength: size }))
    .map((array) => Float64Array.from(array));
}

function integers(length: number): fc.Arbitrary<Int32Array> {
  return floats(length).map((values) => Int32Array.from(values, (value) => Math.min(value, 8)));
}

function count(most: number): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 40, arbitrary: fc.integer({ min: 1, max: most }) },
    { weight: 1, arbitrary: oddNumbers },
  );
}

const shapes = fc.record({
  numLayers: fc.integer({ min: 1, max: 3 }),
  numLogicalExperts: fc.integer({ min: 1, max: 6 }),
  slotsByRank: fc.oneof(
    fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 }),
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }))
      .map(([ranks, slots]) => new Array<number>(ranks).fill(slots)),
  ),
});

const requests: fc.Arbitrary<RebalanceRequest> = shapes.chain((shape) => {
  const ranks = shape.slotsByRank.length;
  const offsets = Int32Array.from([0, ...shape.slotsByRank]);
  for (let rank = 1; rank <= ranks; rank += 1) {
    offsets[rank] = (offsets[rank] ?? 0) + (offsets[rank - 1] ?? 0);
  }
  const slots = offsets[ranks] ?? 0;
  const rarely = <T>(sane: fc.Arbitrary<T>, odd: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 40, arbitrary: sane }, { weight: 1, arbitrary: odd });
  const perExpert = floats(shape.numLayers * shape.numLogicalExperts);
  return fc.record(
    {
      numLayers: rarely(fc.constant(shape.numLayers), oddNumbers),
      numLogicalExperts: rarely(fc.constant(shape.numLogicalExperts), oddNumbers),
      slotOffsets: rarely(fc.constant(offsets), integers(ranks + 1)),
      loads: perExpert,
      loadDeviations: perExpert,
      loadFactors: fc.array(perExpert, { maxLength: 2 }),
      sourceLoads: floats(shape.numLayers * ranks * shape.numLogicalExperts),
      routes: routeSamples(shape.numLayers, shape.numLogicalExperts, ranks),
      replicaChoice: fc.constantFrom('uniform', 'weighted', 'weighted'),
      trafficUnit: fc.constantFrom('domain', 'rank', 'expert'),
      balanceLossMax: rarely(fc.double({ min: 0, max: 1, noNaN: true }), oddNumbers),
      trafficMoveCost: rarely(fc.double({ min: 0, max: 1, noNaN: true }), oddNumbers),
      numNodes: count(2),
      numGroups: count(3),
      currentMapping: currentMappings(shape.numLayers, shape.numLogicalExperts, offsets),
      topology: fc.record({
        numRanks: rarely(fc.constant(ranks), oddNumbers),
        fastDomains: rarely(
          fc.constant(Int32Array.from({ length: ranks }, (_, rank) => rank >> 1)),
          integers(ranks),
        ),
        failureDomains: rarely(fc.constant(new Int32Array(ranks)), integers(ranks)),
        cost: floats(ranks * ranks),
      }),
      unavailableRanks: fc.array(rarely(fc.integer({ min: 0, max: ranks - 1 }), oddNumbers), {
        maxLength: 2,
      }),
      usableSlots: fc
        .array(rarely(fc.integer({ min: 0, max: 9 }), oddNumbers), {
          minLength: ranks,
          maxLength: ranks,
        })
        .map((all) => Int32Array.from(all)),
      rankCapacities: floats(ranks).map((values) => values.map((value) => value + 1)),
      pinnedSlots: fc.array(
        rarely(fc.integer({ min: 0, max: Math.max(0, slots - 1) }), oddNumbers),
        { maxLength: 4 },
      ),
      maxMoves: rarely(fc.integer({ min: 0, max: 9 }), oddNumbers),
      moveCosts: floats(shape.numLayers),
      workBudget: count(100_000),
      seed: count(9),
      deadlineMs: rarely(fc.constant(60_000), oddNumbers),
    },
    { requiredKeys: ['numLayers', 'numLogicalExperts', 'slotOffsets', 'loads'] },
  ) as fc.Arbitrary<RebalanceRequest>;
});

/** Of the shape, with tokens that ask for none, or for an expert twice; rarely one entry is odd. */
function routeSamples(layers: number, experts: number, ranks: number): fc.Arbitrary<RouteSample> {
  const sizes = fc.record({
    numRoutes: fc.integer({ min: 0, max: 12 }),
    topK: fc.integer({ min: 1, max: Math.min(3, experts) }),
  });
  return sizes.chain(({ numRoutes, topK }) => {
    const entries = (length: number, most: number) => {
      const odd = fc.integer({ min: -3, max: most + 2 });
      const sane = fc.integer({ min: -1, max: most });
      const values = fc.oneof(
        { weight: 20, arbitrary: fc.constant(sane) },
        { weight: 1, arbitrary: fc.constant(odd) },
      );
      return values.chain((value) => fc.array(value, { minLength: length, maxLength: length }));
    };
    const inner = fc.array(fc.integer({ min: 0, max: numRoutes }), { maxLength: 4 });
    return fc.record(
      {
        numRoutes: fc.constant(numRoutes),
        topK: fc.constant(topK),
        experts: entries(numRoutes * layers * topK, experts - 1).map((all) => Int16Array.from(all)),
        sourceRanks: entries(numRoutes, ranks - 1).map((all) => Int32Array.from(all)),
        windowOffsets: inner.map((all) =>
          Int32Array.from([0, ...all.sort((a, b) => a - b), numRoutes]),
        ),
      },
      { requiredKeys: ['numRoutes', 'topK', 'experts', 'sourceRanks'] },
    );
  });
}

/** A mapping of the shape, with duplicates and empty slots; another's where none fits. */
function currentMappings(
  layers: number,
  experts: number,
  slotOffsets: Int32Array,
): fc.Arbitrary<ExpertMapping> {
  const slots = slotOffsets[slotOffsets.length - 1] ?? 0;
  if (slots < experts) return fc.constant(currentMapping);
  const spare = fc.array(fc.integer({ min: -1, max: experts - 1 }), {
    minLength: slots - experts,
    maxLength: slots - experts,
  });
  const row = spare.chain((more) =>
    fc.shuffledSubarray([...Array.from({ length: experts }, (_, expert) => expert), ...more], {
      minLength: slots,
      maxLength: slots,
    }),
  );
  return fc.array(row, { minLength: layers, maxLength: layers }).map((rows) =>
    ExpertMapping.create({
      numLayers: layers,
      numLogicalExperts: experts,
      slotOffsets,
      physicalToLogical: Int32Array.from(rows.flat()),
    }),
  );
}

/**
 * Of the shape asked for, every expert on a rank that serves, pinned slots as they were, and nothing
 * on ranks that are out or in closed slots.
 */
function assertAnswers(request: RebalanceRequest, mapping: ExpertMapping): void {
  expect(mapping.numLayers).toBe(request.numLayers);
  expect(mapping.numLogicalExperts).toBe(request.numLogicalExperts);
  expect([...mapping.slotOffsets]).toEqual([...request.slotOffsets]);
  const closed = closedSlots(request);
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    for (const slot of closed) expect(mapping.getLogicalExpert(layer, slot)).toBe(-1);
    for (let expert = 0; expert < mapping.numLogicalExperts; expert += 1) {
      const served = mapping
        .getPhysicalExperts(layer, expert)
        .some((slot) => !request.unavailableRanks?.includes(mapping.rankOfSlot(slot)));
      expect(served).toBe(true);
    }
    for (const slot of request.pinnedSlots ?? []) {
      const isOut =
        closed.includes(slot) ||
        (request.unavailableRanks?.includes(mapping.rankOfSlot(slot)) ?? false);
      expect(mapping.getLogicalExpert(layer, slot)).toBe(
        isOut ? -1 : request.currentMapping?.getLogicalExpert(layer, slot),
      );
    }
  }
}

/** Of every source rank, an expert's shares sum to 1, and no rank that is out has any. */
function assertShares(
  request: RebalanceRequest,
  mapping: ExpertMapping,
  { shares, numPhysicalExperts }: DispatchTable,
): void {
  const { numLayers: layers, numRanks: ranks, numLogicalExperts: experts } = mapping;
  expect(shares).toHaveLength(layers * ranks * numPhysicalExperts);
  const out = new Set(request.unavailableRanks);
  for (let row = 0; row < layers * ranks; row += 1) {
    const sums = new Float64Array(experts);
    for (let slot = 0; slot < numPhysicalExperts; slot += 1) {
      const share = shares[row * numPhysicalExperts + slot] ?? Number.NaN;
      const expert = mapping.getLogicalExpert(Math.floor(row / ranks), slot);
      expect(share).toBeGreaterThanOrEqual(0);
      if (expert < 0 || out.has(mapping.rankOfSlot(slot))) expect(share).toBe(0);
      else sums[expert] = (sums[expert] ?? 0) + share;
    }
    for (const sum of sums) expect(sum).toBeCloseTo(1, 5);
  }
}

function assertReport({ report }: RebalanceResult): void {
  const { balancedness, crossNodeFraction, crossNodeTraffic } = report;
  for (const share of [balancedness, crossNodeFraction ?? 0]) {
    expect(share).toBeGreaterThanOrEqual(0);
    expect(share).toBeLessThanOrEqual(1 + 1e-6);
  }
  expect(crossNodeTraffic ?? 0).toBeGreaterThanOrEqual(0);
}

describe('whatever is asked', () => {
  it.each(policies)('$name answers with a valid mapping or a coded refusal', (policy) => {
    let answered = 0;
    let dispatched = 0;
    fc.assert(
      fc.property(requests, (request) => {
        let result: RebalanceResult;
        try {
          result = policy.rebalanceExperts(request);
        } catch (error) {
          expect(error).toBeInstanceOf(EplbError);
          const { code, fields } = error as EplbError;
          expect(code).toMatch(/^ISOBAR_EPLB_(REQUEST_INVALID|SIZES)$/);
          expect(fields.field).toBeTypeOf('string');
          return;
        }
        answered += 1;
        assertAnswers(request, result.mapping);
        assertReport(result);
        if (result.dispatch === null) return;
        dispatched += 1;
        assertShares(request, result.mapping, result.dispatch);
      }),
      { seed: 11, numRuns: 3_000 },
    );
    expect(answered).toBeGreaterThan(100);
    if (policy instanceof LocalityAwarePolicy) expect(dispatched).toBeGreaterThan(100);
  });
});
