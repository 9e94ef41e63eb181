import { parseTopology } from '@isobar/topology';
import { expect, it } from 'vitest';
import { topologyTold } from '../src/commands/topology-command.js';
import { rankOf, statusOf } from './support/status.js';

it('the topology that ranks tell of is one that a configuration takes', () => {
  const topology = parseTopology(topologyTold(statusOf(8)), 'told');
  expect(topology.numRanks).toBe(8);
  expect([0, 4].map((rank) => topology.domainName('node', rank))).toEqual(['hgx-0', 'hgx-1']);
  const ranks = [rankOf(0), rankOf(1, { place: null })];
  expect(() => topologyTold(statusOf(2, { ranks }))).toThrow('rank 1 does not tell where it runs');
});
