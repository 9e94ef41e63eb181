import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { DefaultEplbPolicy, type ExpertMapping, uniformSlotOffsets } from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { publishedPlacement } from './published-placement.js';

interface Case {
  readonly name: string;
  readonly numReplicas: number;
  readonly numGroups: number;
  readonly numNodes: number;
  readonly numGpus: number;
  readonly loads: readonly (readonly number[])[];
  readonly physicalToLogical: readonly (readonly number[])[];
  readonly replicaCount: readonly (readonly number[])[];
}

const fixture = new URL('./fixtures/deepseek-eplb.json.gz', import.meta.url);
const { cases } = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as { cases: Case[] };

function place(
  loads: readonly (readonly number[])[],
  [slots, numGroups, numNodes, numRanks]: readonly [number, number, number, number],
): ExpertMapping {
  return new DefaultEplbPolicy().rebalanceExperts({
    numLayers: loads.length,
    numLogicalExperts: loads[0]?.length ?? 0,
    slotOffsets: uniformSlotOffsets(slots, numRanks),
    numNodes,
    numGroups,
    loads: Float64Array.from(loads.flat()),
  }).mapping;
}

function rows(mapping: ExpertMapping): number[][] {
  return Array.from({ length: mapping.numLayers }, (_, layer) => [...mapping.row(layer)]);
}

function counts(mapping: ExpertMapping, layer: number): number[] {
  return Array.from({ length: mapping.numLogicalExperts }, (_, expert) =>
    mapping.replicaCount(layer, expert),
  );
}

describe('the published DeepSeek placement', () => {
  it.each(cases)('$name, slot for slot', (vector) => {
    const mapping = place(vector.loads, [
      vector.numReplicas,
      vector.numGroups,
      vector.numNodes,
      vector.numGpus,
    ]);
    expect(rows(mapping)).toEqual(vector.physicalToLogical);
    expect(vector.loads.map((_, layer) => counts(mapping, layer))).toEqual(vector.replicaCount);
  });
});

describe('DefaultEplbPolicy', () => {
  it('places on the ranks that serve as if there were no others', () => {
    const loads = [[9, 1, 4, 4]];
    const [row = []] = rows(place(loads, [6, 1, 1, 3]));
    const { mapping } = new DefaultEplbPolicy().rebalanceExperts({
      numLayers: 1,
      numLogicalExperts: 4,
      slotOffsets: Int32Array.of(0, 2, 7, 9, 11),
      numNodes: 2,
      numGroups: 2,
      loads: Float64Array.from(loads.flat()),
      unavailableRanks: [1],
    });
    expect([...mapping.row(0)]).toEqual([...row.slice(0, 2), -1, -1, -1, -1, -1, ...row.slice(2)]);
  });

  it('takes a load of -0 for one of 0', () => {
    const loads = (idle: number) => [[1, 3, idle, 2, idle, 3]];
    expect(rows(place(loads(-0), [6, 1, 1, 3]))).toEqual(rows(place(loads(0), [6, 1, 1, 3])));
  });

  const count = (max: number) => fc.integer({ min: 1, max });
  const load = fc.oneof(
    fc.constantFrom(0, -0, 1, 2),
    fc.nat(100_000),
    fc.integer({ min: 2 ** 24, max: 2 ** 24 + 9 }),
    fc.double({ min: 0, max: 1e-38, noNaN: true }),
  );
  const instance = fc
    .record({
      nodes: count(3),
      groups: count(3),
      experts: count(5),
      ranks: count(9),
      spare: fc.nat(4),
    })
    .chain(({ nodes, groups, experts, ranks, spare }) => {
      const numExperts = nodes * groups * experts;
      const slotsPerRank = Math.ceil(numExperts / (nodes * ranks)) + spare;
      return fc.record({
        sizes: fc.constant({
          slots: slotsPerRank * nodes * ranks,
          groups: nodes * groups,
          nodes,
          ranks: nodes * ranks,
        }),
        loads: fc.array(fc.array(load, { minLength: numExperts, maxLength: numExperts }), {
          minLength: 1,
          maxLength: 3,
        }),
      });
    });

  it('places as the published algorithm does when written plainly, ties and tiny loads too', () => {
    fc.assert(
      fc.property(instance, ({ sizes, loads }) => {
        const { slots, groups, nodes, ranks } = sizes;
        const placed = rows(place(loads, [slots, groups, nodes, ranks]));
        expect(placed).toEqual(loads.map((row) => publishedPlacement(row, sizes)));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('places 1,024 slots on 256 ranks likewise', () => {
    const loads = [0, 1].map((layer) =>
      Array.from({ length: 512 }, (_, expert) => ((expert + layer) * 7_919) % 127),
    );
    const sizes = { slots: 1_024, groups: 1, nodes: 1, ranks: 256 };
    const placed = rows(place(loads, [1_024, 1, 1, 256]));
    expect(placed).toEqual(loads.map((row) => publishedPlacement(row, sizes)));
  });
});
