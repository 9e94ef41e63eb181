import {
  comparePlaces,
  formatTopology,
  parseTopology,
  topologyOfPlaces,
  uniformTopology,
} from '@isobar/topology';
import { describe, expect, it } from 'vitest';
import { place } from './place.js';
import { refused } from './refused.js';

const nodes = uniformTopology({ numRanks: 1, numNodes: 1 });
const racks = parseTopology(
  `levels:
  - { name: tray, bandwidth: 900 GB/s, latency: 2 us, failureDomain: true }
  - { name: rack, bandwidth: 900 GB/s, latency: 2 us, fastDomain: true }
  - { name: cluster, bandwidth: 400 Gb/s, latency: 5 us }
ranks: [{ ranks: 0, domains: { tray: a, rack: a } }]
`,
  'racks',
);
const inNvlink = (node: string, nvlinkDomain: string) =>
  place(node, { gpu: { index: 0, uuid: 'GPU-0', name: 'GB200', nvlinkDomain } });

describe('the topology of places', () => {
  it('has the ranks where they run, and contradicts none of them', () => {
    const places = ['b', 'a', 'b', 'a'].map((node) => place(node));
    const topology = topologyOfPlaces(places, nodes);
    expect(formatTopology(topology)).toContain('ranks: 0, 2\n    domains:\n      node: b');
    expect(comparePlaces(topology, new Map(places.entries()), 10)).toEqual([]);
    expect(topology.levels).toEqual(nodes.levels);
  });

  it('takes a fast domain by its name, else by NVLink', () => {
    const told = [inNvlink('x', 'n.1'), inNvlink('y', 'n.1'), inNvlink('z', 'n.2')];
    const topology = topologyOfPlaces(told, racks);
    expect([0, 1, 2].map((rank) => topology.domainName('rack', rank))).toEqual([
      'n.1',
      'n.1',
      'n.2',
    ]);
    const named = told.map((one) => ({ ...one, domains: { rack: 'r7' } }));
    expect(topologyOfPlaces(named, racks).numFastDomains).toBe(1);
  });

  it('is none where a rank does not tell what it takes, or domains do not nest', () => {
    const code = 'ISOBAR_TOPOLOGY_PLACES';
    const missing = refused(() => topologyOfPlaces([place('a'), null], nodes));
    expect(missing).toMatchObject({ code, fields: { rank: 1 } });
    const unnamed = refused(() => topologyOfPlaces([place('a')], racks));
    expect(unnamed).toMatchObject({ code, fields: { rank: 0, level: 'rack' } });
    const torn = [inNvlink('x', 'n.1'), inNvlink('x', 'n.2')];
    expect(refused(() => topologyOfPlaces(torn, racks)).code).toBe('ISOBAR_TOPOLOGY_INVALID');
  });
});
