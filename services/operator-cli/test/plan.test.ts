import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AbstractEplbPolicy, ExpertMapping } from '@isobar/eplb';
import { type PlanCommandOptions, plan } from '@isobar/operator-cli';
import { formatTopology, uniformTopology } from '@isobar/topology';
import { generateTrace, writeTrace } from '@isobar/trace';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { renderPlanDocument } from '../src/plan/plan-document.js';
import { writeFileAtomically } from '../src/write-file-atomically.js';

const numLayers = 2;
const numExperts = 8;
const loads = [
  [600, 560, 120, 120, 20, 10, 10, 10],
  [5, 5, 5, 5, 5, 5, 5, 400],
];

let folder = '';
let base: PlanCommandOptions;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-plan-'));
  const path = await fileOf('loads.json', { loads });
  base = { loads: path, ranks: 4, nodes: 2, slots: 12, groups: 1, policy: 'locality-aware' };
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function fileOf(name: string, value: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
}

/** Largest rank load of a layer, from what a plan's JSON says and nothing else. */
function largestRankLoad(document: Awaited<ReturnType<typeof plan>>, layer: number): number {
  const { slot_offsets: offsets, replica_count: counts } = document;
  const row = document.physical_to_logical_map[layer] ?? [];
  const shares = row.map(
    (expert) => (loads[layer]?.[expert] ?? 0) / (counts[layer]?.[expert] ?? 0),
  );
  const sums = offsets
    .slice(1)
    .map((end, rank) => shares.slice(offsets[rank], end).reduce((sum, share) => sum + share, 0));
  return Math.max(...sums);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('a plan from files', () => {
  it.each(['default', 'locality-aware'])(
    '%s: has in its JSON all that scores it',
    async (policy) => {
      const document = JSON.parse(JSON.stringify(await plan({ ...base, policy })));
      const { report } = document;
      expect(document.slot_offsets).toEqual([0, 3, 6, 9, 12]);
      for (let layer = 0; layer < numLayers; layer += 1) {
        const row: number[] = document.physical_to_logical_map[layer];
        const counts = Array.from(
          { length: numExperts },
          (_, expert) => row.filter((held) => held === expert).length,
        );
        expect(document.replica_count[layer]).toEqual(counts);
        expect(Math.min(...counts)).toBeGreaterThan(0);
        const largest = largestRankLoad(document, layer);
        expect(report.largestRankLoad[layer]).toBeCloseTo(largest, 9);
        const mean = sum(loads[layer] ?? []) / 4;
        expect(report.lowerBound[layer]).toBeGreaterThanOrEqual(mean - 1e-9);
        expect(report.lowerBound[layer]).toBeLessThanOrEqual(largest + 1e-9);
      }
      const mean = sum(loads.flat()) / 4;
      expect(report.balancedness).toBeCloseTo(mean / sum(report.largestRankLoad), 9);
      expect(report.balancednessBound).toBeCloseTo(Math.min(1, mean / sum(report.lowerBound)), 9);
      expect(report).toMatchObject({
        policy,
        planMillis: expect.any(Number),
        balancednessBefore: null,
        moves: 24,
        crossNodeFraction: 0.5,
        forecast: { method: 'given' },
        deadlineCut: false,
      });
    },
  );

  it('is made for the sum of a trace, and says so', async () => {
    const path = join(folder, 'trace.jsonl');
    await writeTrace(path, generateTrace({ numLayers: 2, numExperts: 16, numSteps: 6, seed: 1 }));
    const { report } = await plan({ ...base, loads: path, slots: 20 });
    expect(report.forecast).toEqual({ method: 'sum', steps: 6 });
  });

  it('needs no divisible numbers', async () => {
    const document = await plan({ ...base, ranks: 3, nodes: 2, slots: 11 });
    expect(document.slot_offsets).toEqual([0, 4, 8, 11]);
    const fraction = document.report.crossNodeFraction;
    expect(fraction).toBeGreaterThan(1 / 3);
    expect(fraction).toBeLessThan(2 / 3);
  });

  it('of no load at all is a mapping', async () => {
    const path = await fileOf('idle.csv', '0,0,0\n0,0,0\n');
    const { report } = await plan({ ...base, loads: path, ranks: 2, slots: 4 });
    expect(report).toMatchObject({ balancedness: 0, balancednessBound: 0, crossNodeFraction: 0 });
  });

  it('is told to a person', async () => {
    const text = renderPlanDocument(await plan(base));
    expect(text).toContain('2 layers, 8 experts in 12 slots on 4 ranks');
    expect(text).toMatch(/balancedness {2}0\.\d{4}, no placement above [01]\.\d{4}/);
    expect(text).toContain('50.0 %');
  });

  it('takes the cluster of a topology, which must have as many ranks', async () => {
    const yaml = formatTopology(uniformTopology({ numRanks: 4, numNodes: 4 }));
    const topology = await fileOf('topology.yaml', yaml);
    const { nodes: _, ...rest } = base;
    expect((await plan({ ...rest, topology })).report.crossNodeFraction).toBe(0.75);
    await expect(plan({ ...rest, topology, ranks: 6 })).rejects.toMatchObject({
      code: 'ISOBAR_TOPOLOGY_RANKS',
    });
  });

  it('passes on what the options say', async () => {
    const asked = vi.spyOn(AbstractEplbPolicy.prototype, 'rebalanceExperts');
    await plan({ ...base, groups: 2, budget: 1_000, seed: 7, deadlineMs: 60_000 });
    await plan(base);
    const [given, byDefault] = asked.mock.calls.map(([request]) => request);
    asked.mockRestore();
    expect(given).toMatchObject({
      numNodes: 2,
      numGroups: 2,
      workBudget: 1_000,
      seed: 7,
      deadlineMs: 60_000,
    });
    expect(byDefault).not.toHaveProperty('workBudget');
    expect(byDefault).not.toHaveProperty('seed');
    expect(byDefault).not.toHaveProperty('deadlineMs');
  });

  it('is refused for loads that are none, by name and place', async () => {
    const path = await fileOf('negative.json', {
      loads: [
        [1, 2],
        [3, -4],
      ],
    });
    await expect(plan({ ...base, loads: path })).rejects.toMatchObject({
      code: 'ISOBAR_TRACE_INVALID',
      fields: { file: path, field: 'loads.1.1', layer: 1, expert: 1 },
    });
  });
});

describe('the mapping that a plan starts from', () => {
  const start = () =>
    ExpertMapping.contiguous({
      numLayers,
      numLogicalExperts: numExperts,
      numRanks: 4,
      numPhysicalExperts: 12,
    });
  const rows = () => [0, 1].map((layer) => [...start().row(layer)]);
  const withSlot = (layer: number, slot: number, expert: unknown) =>
    rows().map((row, at) => (at === layer ? row.with(slot, expert as number) : row));

  it.each<[string, () => unknown]>([
    ["SGLang's", () => ({ physical_to_logical_map: rows() })],
    [
      "Isobar's export",
      () => ({
        version: 3,
        digest: start().digest(),
        numLogicalExperts: numExperts,
        modelLayerIds: [3, 4],
        slotOffsets: [...start().slotOffsets],
        physicalToLogical: rows(),
      }),
    ],
  ])('is read from %s JSON', async (_, value) => {
    const current = await fileOf('current.json', value());
    const { report } = await plan({ ...base, current });
    const before = start().balancedness(Float64Array.from(loads.flat()));
    expect(report.balancednessBefore).toBeCloseTo(before, 12);
    expect(report.balancedness).toBeGreaterThan(before);
    expect(report.moves).toBeGreaterThan(0);
    expect(report.moves).toBeLessThan(24);
  });

  it('may be a plan, and keeps its slots where they are uneven', async () => {
    const uneven = { physical_to_logical_map: rows(), slot_offsets: [0, 2, 5, 8, 12] };
    const first = await plan({ ...base, current: await fileOf('uneven.json', uneven) });
    expect(first.slot_offsets).toEqual([0, 2, 5, 8, 12]);
    const second = await plan({ ...base, current: await fileOf('plan.json', first) });
    expect(second.report.balancednessBefore).toBeCloseTo(first.report.balancedness, 12);
  });

  it.each<[string, () => unknown, Record<string, unknown>]>([
    [
      'an expert that is none',
      () => ({ physical_to_logical_map: withSlot(1, 5, 8) }),
      { layer: 1, slot: 5 },
    ],
    [
      'an expert below −1',
      () => ({ physicalToLogical: withSlot(0, 2, -2) }),
      { layer: 0, slot: 2, field: 'physicalToLogical' },
    ],
    [
      'half an expert',
      () => ({ physical_to_logical_map: withSlot(1, 0, 0.5) }),
      { layer: 1, slot: 0 },
    ],
    ['a string', () => ({ physical_to_logical_map: withSlot(1, 11, '3') }), { layer: 1, slot: 11 }],
    [
      'an expert nowhere',
      () => ({ physical_to_logical_map: withSlot(1, 6, 5) }),
      { layer: 1, expert: 6 },
    ],
    ['a short row', () => ({ physical_to_logical_map: [rows()[0], [0, 1]] }), { layer: 1 }],
    ['a row that is none', () => ({ physical_to_logical_map: [rows()[0], 7] }), { layer: 1 }],
    [
      'too few layers',
      () => ({ physical_to_logical_map: [rows()[0]] }),
      { field: 'physical_to_logical_map' },
    ],
    [
      'other experts',
      () => ({ physicalToLogical: rows(), numLogicalExperts: 9 }),
      { field: 'numLogicalExperts' },
    ],
    [
      'other ranks',
      () => ({ physicalToLogical: rows(), slotOffsets: [0, 6, 12] }),
      { field: 'slotOffsets' },
    ],
    [
      'falling ranks',
      () => ({ physicalToLogical: rows(), slotOffsets: [0, 6, 5, 8, 12] }),
      { field: 'slotOffsets' },
    ],
    ['no rows', () => ({ slots: 12 }), { field: 'physical_to_logical_map' }],
    ['no object', () => 'null', { field: 'physical_to_logical_map' }],
    ['no JSON', () => '{"physical_to_logical_map": [[0, 1', {}],
  ])('is refused: %s', async (_, value, fields) => {
    const current = await fileOf('refused.json', value());
    await expect(plan({ ...base, current })).rejects.toMatchObject({
      code: 'ISOBAR_CLI_CURRENT_MAPPING',
      message: expect.stringContaining(current),
      fields: { file: current, ...fields },
    });
  });

  it('is refused where there is none', async () => {
    await expect(plan({ ...base, current: join(folder, 'none') })).rejects.toMatchObject({
      code: 'ISOBAR_CLI_CURRENT_MAPPING',
    });
  });
});

describe('writing a file whole', () => {
  it('replaces it, also through a link, and leaves nothing beside it', async () => {
    const place = await mkdtemp(join(folder, 'out-'));
    const path = join(place, 'plan.json');
    const link = join(place, 'link.json');
    await writeFileAtomically(path, 'one');
    await symlink(path, link);
    await writeFileAtomically(link, 'two');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await readdir(place)).sort()).toEqual(['link.json', 'plan.json']);
  });

  it('writes into what is no ordinary file', async () => {
    await writeFileAtomically('/dev/null', 'gone');
    expect((await stat('/dev/null')).isFile()).toBe(false);
  });

  it('says which file it could not write', async () => {
    const path = join(folder, 'no-such-folder', 'plan.json');
    await expect(writeFileAtomically(path, '')).rejects.toMatchObject({
      code: 'ISOBAR_CLI_OUTPUT',
      fields: { file: path },
    });
  });
});
