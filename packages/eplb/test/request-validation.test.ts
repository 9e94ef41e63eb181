import {
  type ClusterShape,
  DefaultEplbPolicy,
  EplbError,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
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
const sound: RebalanceRequest = {
  numLayers,
  numLogicalExperts,
  slotOffsets: currentMapping.slotOffsets,
  loads: Float64Array.from({ length: numLayers * numLogicalExperts }, (_, index) => index),
  loadDeviations: new Float64Array(numLayers * numLogicalExperts).fill(2),
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
 * on ranks that are out.
 */
function assertAnswers(request: RebalanceRequest, mapping: ExpertMapping): void {
  expect(mapping.numLayers).toBe(request.numLayers);
  expect(mapping.numLogicalExperts).toBe(request.numLogicalExperts);
  expect([...mapping.slotOffsets]).toEqual([...request.slotOffsets]);
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    for (let expert = 0; expert < mapping.numLogicalExperts; expert += 1) {
      const served = mapping
        .getPhysicalExperts(layer, expert)
        .some((slot) => !request.unavailableRanks?.includes(mapping.rankOfSlot(slot)));
      expect(served).toBe(true);
    }
    for (const slot of request.pinnedSlots ?? []) {
      const isOut = request.unavailableRanks?.includes(mapping.rankOfSlot(slot)) ?? false;
      expect(mapping.getLogicalExpert(layer, slot)).toBe(
        isOut ? -1 : request.currentMapping?.getLogicalExpert(layer, slot),
      );
    }
  }
}

describe('whatever is asked', () => {
  it.each(policies)('$name answers with a valid mapping or a coded refusal', (policy) => {
    let answered = 0;
    fc.assert(
      fc.property(requests, (request) => {
        let mapping: ExpertMapping;
        try {
          ({ mapping } = policy.rebalanceExperts(request));
        } catch (error) {
          expect(error).toBeInstanceOf(EplbError);
          const { code, fields } = error as EplbError;
          expect(code).toMatch(/^ISOBAR_EPLB_(REQUEST_INVALID|SIZES)$/);
          expect(fields.field).toBeTypeOf('string');
          return;
        }
        answered += 1;
        assertAnswers(request, mapping);
      }),
      { seed: 11, numRuns: 3_000 },
    );
    expect(answered).toBeGreaterThan(100);
  });
});
