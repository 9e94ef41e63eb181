import { comparePlaces, type Place, parseTopology, uniformTopology } from '@isobar/topology';
import { describe, expect, it } from 'vitest';
import { place } from './place.js';

const withNvlink = (node: string, nvlinkDomain: string) =>
  place(node, { gpu: { index: 0, uuid: 'GPU-0', name: 'H100', nvlinkDomain } });
const placesOf = (...places: readonly Place[]) => new Map(places.entries());
const twoNodes = uniformTopology({ numRanks: 4, numNodes: 2 });

describe('places and a topology', () => {
  it('agree where ranks share machines as it says, whatever these are called', () => {
    const places = placesOf(place('b'), place('b'), place('a'), place('a'));
    expect(comparePlaces(twoNodes, places, 10)).toEqual([]);
  });

  it('agree where nothing is told', () => {
    expect(comparePlaces(twoNodes, new Map(), 10)).toEqual([]);
    expect(comparePlaces(twoNodes, new Map([[3, place('a')]]), 10)).toEqual([]);
  });

  it('contradict each other where a domain is two machines, or a machine two domains', () => {
    const places = placesOf(place('a'), place('b'), place('b'), place('c'));
    expect(comparePlaces(twoNodes, places, 10)).toEqual([
      {
        level: 'node',
        ranks: [0, 1],
        what: 'rank 0 and 1 are in one node, node-0, by the topology, and tell of node a and b',
      },
      {
        level: 'node',
        ranks: [1, 2],
        what: 'rank 1 and 2 are in node node-0 and node-1 by the topology, and tell of one node, b',
      },
      {
        level: 'node',
        ranks: [2, 3],
        what: 'rank 2 and 3 are in one node, node-1, by the topology, and tell of node b and c',
      },
    ]);
    expect(comparePlaces(twoNodes, places, 1)).toHaveLength(1);
  });

  it('are compared by the levels that places tell of', () => {
    const racks = parseTopology(
      `levels:
  - { name: tray, bandwidth: 900 GB/s, latency: 2 us, failureDomain: true }
  - { name: rack, bandwidth: 900 GB/s, latency: 2 us, fastDomain: true }
  - { name: cluster, bandwidth: 400 Gb/s, latency: 5 us }
ranks:
  - { ranks: 0, domains: { tray: a-0, rack: a } }
  - { ranks: 1, domains: { tray: a-1, rack: a } }
  - { ranks: 2, domains: { tray: b-0, rack: b } }
`,
      'racks',
    );
    const domains = (rack: string) => ({ domains: { rack } });
    const named = placesOf(place('x', domains('1')), place('y', domains('2')), place('z'));
    expect(comparePlaces(racks, named, 10)).toMatchObject([{ level: 'rack', ranks: [0, 1] }]);
    const joined = placesOf(withNvlink('x', 'n.1'), withNvlink('y', 'n.1'), withNvlink('z', 'n.1'));
    expect(comparePlaces(racks, joined, 10)).toEqual([
      {
        level: 'rack',
        ranks: [0, 2],
        what: 'rank 0 and 2 are in rack a and b by the topology, and tell of one NVLink domain, n.1',
      },
    ]);
  });

  it('leave out ranks that the topology has not', () => {
    expect(comparePlaces(twoNodes, new Map([[9, place('a')]]), 10)).toEqual([]);
  });
});
