import { ExpertMapping } from '@isobar/eplb';
import {
  type EngineDescription,
  largestMessageBytes,
  mappingFromWhole,
  roomForWave,
  wholeMapping,
} from '@isobar/protocol';
import { uniformTopology } from '@isobar/topology';
import { expect, it } from 'vitest';
import { wavesTo } from '../src/rebalance-plan.js';

const numRanks = 1_024;
const numLayers = 58;
/** The server's own limit of a message. */
const payloadBytesMax = 1_048_576;

const current = ExpertMapping.contiguous({
  numLayers,
  numLogicalExperts: numRanks,
  numRanks,
  numPhysicalExperts: numRanks,
});
const members = Array.from({ length: numRanks }, (_, rank) => ({
  rank,
  incarnation: rank.toString(16).padStart(16, '0'),
}));
const base = { members, voided: [] };
const topology = uniformTopology({ numRanks, numNodes: 128 }).toClusterShape(65_536);
const engines = members.map(
  ({ rank }) => ({ rank, spareBuffers: 64, reserveBuffers: 0 }) as unknown as EngineDescription,
);

it('cuts a move of every expert of 1,024 ranks × 58 layers into waves that messages can hold', () => {
  const rows = current.physicalToLogical.map((expert) => (expert + numRanks / 2) % numRanks);
  const layers = Int32Array.from({ length: numLayers }, (_, layer) => layer);
  const target = current.apply({ layers, rows });
  const options = { change: 'rebalance', engines, topology, reason: 'test' } as const;
  const largest = (waves: ReturnType<typeof wavesTo>) =>
    Math.max(...waves.map((wave) => largestMessageBytes(wave, base, 0)));

  const unlimited = { bytesMax: Number.MAX_SAFE_INTEGER, layerBytes: 1, moveBytes: 1 };
  const whole = wavesTo(current, target, { ...options, room: unlimited });
  expect(whole.length).toBe(1);
  expect(largest(whole)).toBeGreaterThan(payloadBytesMax);

  const room = roomForWave(wholeMapping(current), base, 0, payloadBytesMax);
  const waves = wavesTo(current, target, { ...options, room });
  expect(largest(waves)).toBeLessThanOrEqual(payloadBytesMax);
  expect(waves.length).toBeLessThanOrEqual(8);
  const last = waves.at(-1);
  expect(last && mappingFromWhole(last.mapping).digest()).toBe(target.digest());
});
