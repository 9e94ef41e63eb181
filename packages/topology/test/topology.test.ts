import { Topology, type TopologySpec, uniformTopology } from '@isobar/topology';
import { describe, expect, it } from 'vitest';
import { refused } from './refused.js';

const spec: TopologySpec = {
  levels: [
    {
      name: 'node',
      bandwidthBytesPerSecond: 100,
      latencySeconds: 1,
      fastDomain: true,
      failureDomain: false,
    },
    {
      name: 'rack',
      bandwidthBytesPerSecond: 400,
      latencySeconds: 2,
      fastDomain: false,
      failureDomain: true,
    },
    {
      name: 'zone',
      bandwidthBytesPerSecond: 10,
      latencySeconds: 4,
      fastDomain: false,
      failureDomain: false,
    },
  ],
  domains: [
    ['n2', 'n2', 'n0', 'n1'],
    ['r', 'r', 'r', 'q'],
    ['z', 'z', 'z', 'z'],
  ],
  rails: ['a', 'b', 'a', undefined],
};

function changed(level: number, change: object): TopologySpec {
  return {
    ...spec,
    levels: spec.levels.map((kept, index) => (index === level ? { ...kept, ...change } : kept)),
  };
}

describe('Topology', () => {
  const topology = Topology.create(spec);

  it('numbers domains in order of their first ranks', () => {
    const ranks = [0, 1, 2, 3];
    expect(ranks.map((rank) => topology.domainOf(0, rank))).toEqual([0, 0, 1, 2]);
    expect(ranks.map((rank) => topology.domainOf('rack', rank))).toEqual([0, 0, 0, 1]);
    expect(ranks.map((rank) => topology.domainName('node', rank))).toEqual(spec.domains[0]);
    expect(ranks.map((rank) => topology.fastDomainOf(rank))).toEqual([0, 0, 1, 2]);
    expect(ranks.map((rank) => topology.failureDomainOf(rank))).toEqual([0, 0, 0, 1]);
    expect(ranks.map((rank) => topology.rail(rank))).toEqual(['a', 'b', 'a', undefined]);
    expect([topology.numRanks, topology.numFastDomains]).toEqual([4, 3]);
  });

  it('costs the latency of the shared level and the narrowest bandwidth up to it', () => {
    expect([0, 1, 2, 3].map((to) => topology.sharedLevel(0, to))).toEqual([0, 0, 1, 2]);
    expect(topology.costSeconds(0, 0, 200)).toBe(0);
    expect(topology.costSeconds(0, 1, 200)).toBe(3);
    // The rack's 400 are behind the node's 100.
    expect(topology.costSeconds(0, 2, 200)).toBe(4);
    expect(topology.costSeconds(3, 0, 200)).toBe(24);
    expect(topology.costSeconds(3, 0, 0)).toBe(4);
  });

  it('gives the plain shape that placement asks for', () => {
    const shape = topology.toClusterShape(200);
    expect(shape.numRanks).toBe(4);
    expect(shape.fastDomains).toEqual(Int32Array.of(0, 0, 1, 2));
    expect(shape.failureDomains).toEqual(Int32Array.of(0, 0, 0, 1));
    expect(Array.from(shape.cost)).toEqual([0, 3, 4, 24, 3, 0, 4, 24, 4, 4, 0, 24, 24, 24, 24, 0]);
  });

  it('does not change when what it was made of, or gave, does', () => {
    const levels = spec.levels.map((level) => ({ ...level }));
    const made = Topology.create({ ...spec, levels });
    for (const level of levels) level.bandwidthBytesPerSecond = 1;
    made.toClusterShape(1).fastDomains.fill(9);
    expect(made.toClusterShape(200)).toEqual(topology.toClusterShape(200));
    expect(Object.isFrozen(made.levels) && Object.isFrozen(made.levels[0])).toBe(true);
  });

  it('refuses ranks, levels and sizes that are not there', () => {
    for (const rank of [-1, 4, 0.5]) {
      expect(refused(() => topology.domainOf(0, rank)).code).toBe('ISOBAR_TOPOLOGY_RANKS');
      expect(refused(() => topology.rail(rank)).fields).toMatchObject({ rank, described: 4 });
      expect(refused(() => topology.costSeconds(0, rank, 1)).code).toBe('ISOBAR_TOPOLOGY_RANKS');
    }
    for (const level of [3, -1, 'row']) {
      const error = refused(() => topology.domainOf(level, 0));
      expect([error.code, error.fields.level]).toEqual(['ISOBAR_TOPOLOGY_INVALID', level]);
    }
    for (const bytes of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(refused(() => topology.costSeconds(0, 1, bytes)).fields.field).toBe('bytes');
      expect(refused(() => topology.toClusterShape(bytes)).fields.field).toBe('bytes');
    }
  });

  it('fits only a cluster of as many ranks', () => {
    topology.assertFits(4);
    const error = refused(() => topology.assertFits(5));
    expect([error.code, error.fields]).toEqual([
      'ISOBAR_TOPOLOGY_RANKS',
      { described: 4, numRanks: 5 },
    ]);
  });

  it.each<[string, object, TopologySpec]>([
    ['no levels', {}, { levels: [], domains: [] }],
    ['a name twice', { level: 1, property: 'name' }, changed(1, { name: 'node' })],
    ['no name', { level: 0, property: 'name' }, changed(0, { name: '' })],
    [
      'no bandwidth',
      { level: 0, property: 'bandwidth' },
      changed(0, { bandwidthBytesPerSecond: 0 }),
    ],
    ['latency below 0', { level: 2, property: 'latency' }, changed(2, { latencySeconds: -1 })],
    ['two fast levels', { level: 2, property: 'fastDomain' }, changed(2, { fastDomain: true })],
    ['no failure level', {}, changed(1, { failureDomain: false })],
    ['no ranks', {}, { ...spec, domains: [[], [], []] }],
    ['domains for too few levels', {}, { ...spec, domains: spec.domains.slice(1) }],
    ['rails for too few ranks', {}, { ...spec, rails: ['a'] }],
    ['a nameless rail', { rank: 1 }, { ...spec, rails: ['a', '', 'a', 'b'] }],
    [
      'a node in two racks',
      { rank: 1 },
      { ...spec, domains: [spec.domains[0] ?? [], ['r', 'q', 'r', 'q'], spec.domains[2] ?? []] },
    ],
    [
      'ranks without a common domain',
      { rank: 3 },
      { ...spec, domains: [...spec.domains.slice(0, 2), ['z', 'z', 'z', 'y']] },
    ],
  ])('refuses %s', (_, fields, wrong) => {
    const error = refused(() => Topology.create(wrong));
    expect(error.code).toBe('ISOBAR_TOPOLOGY_INVALID');
    expect(error.fields).toEqual(fields);
  });
});

describe('uniformTopology', () => {
  it('gives the first nodes one rank more', () => {
    const topology = uniformTopology({ numRanks: 8, numNodes: 3 });
    const shape = topology.toClusterShape(50e9);
    expect(Array.from(shape.fastDomains)).toEqual([0, 0, 0, 1, 1, 1, 2, 2]);
    expect(shape.failureDomains).toEqual(shape.fastDomains);
    expect(topology.numFastDomains).toBe(3);
    expect(topology.domainName('node', 7)).toBe('node-2');
  });

  it('has NVLink within a node and InfiniBand between, unless told', () => {
    const topology = uniformTopology({ numRanks: 4, numNodes: 2 });
    expect(topology.costSeconds(0, 1, 450e9)).toBeCloseTo(1 + 2e-6, 9);
    expect(topology.costSeconds(0, 2, 50e9)).toBeCloseTo(1 + 5e-6, 9);
    const told = uniformTopology({
      numRanks: 4,
      numNodes: 2,
      nodeBandwidthBytesPerSecond: 100,
      nodeLatencySeconds: 0,
      networkBandwidthBytesPerSecond: 10,
      networkLatencySeconds: 3,
    });
    expect([told.costSeconds(0, 1, 100), told.costSeconds(0, 2, 100)]).toEqual([1, 13]);
  });

  it.each([
    ['numRanks', { numRanks: 0, numNodes: 1 }],
    ['numRanks', { numRanks: 4097, numNodes: 1 }],
    ['numNodes', { numRanks: 4, numNodes: 5 }],
    ['numNodes', { numRanks: 4, numNodes: 1.5 }],
  ])('refuses a wrong %s: %j', (field, options) => {
    const error = refused(() => uniformTopology(options));
    expect([error.code, error.fields.field]).toEqual(['ISOBAR_TOPOLOGY_INVALID', field]);
  });

  it('holds the most ranks there may be', () => {
    const topology = uniformTopology({ numRanks: 4096, numNodes: 512 });
    expect(topology.fastDomainOf(4095)).toBe(511);
  });
});
