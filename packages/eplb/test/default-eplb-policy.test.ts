import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { DefaultEplbPolicy, EplbError, type ExpertMapping, uniformSlotOffsets } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

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

  it('the case of its README', () => {
    const loads = [
      [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
      [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ];
    expect(rows(place(loads, [16, 4, 2, 8]))).toEqual([
      [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
      [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]);
  });
});

describe('properties that vLLM tests of it', () => {
  it('places every expert on one rank', () => {
    expect(rows(place([[10, 20, 30, 40]], [4, 1, 1, 1]))[0]?.sort()).toEqual([0, 1, 2, 3]);
  });

  it('gives equal experts one copy each', () => {
    expect(counts(place([new Array(8).fill(50)], [8, 2, 2, 4]), 0)).toEqual(new Array(8).fill(1));
  });

  it('gives an extreme expert most copies', () => {
    const [hot = 0, cold = 0] = counts(place([[1000, 1, 1, 1, 1, 1, 1, 1]], [12, 2, 2, 4]), 0);
    expect(hot).toBeGreaterThan(cold);
  });

  it('falls back to one group and one node where groups do not divide by nodes', () => {
    expect(rows(place([[10, 20, 30, 40]], [8, 3, 2, 4]))[0]).toHaveLength(8);
  });

  it('gives the hottest expert of each mirrored layer a second copy', () => {
    const loads = [
      [200, 150, 100, 50, 25, 12],
      [12, 25, 50, 100, 150, 200],
    ];
    const mapping = place(loads, [10, 3, 1, 2]);
    expect(mapping.replicaCount(0, 0)).toBeGreaterThanOrEqual(2);
    expect(mapping.replicaCount(1, 5)).toBeGreaterThanOrEqual(2);
  });

  it('refuses slots that do not divide by ranks', () => {
    expect(() => place([[10, 20, 30, 40]], [7, 2, 2, 4])).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_SIZES', fields: { field: 'slotOffsets' } }),
    );
  });
});

it.each([
  ['a negative load', [1, -1]],
  ['a load that is no number', [1, Number.NaN]],
])('refuses %s', (_, loads) => {
  expect(() => place([loads], [2, 1, 1, 1])).toThrow(EplbError);
});
