import { ExpertMapping } from '@isobar/eplb';
import {
  encode,
  encodeMapRecord,
  encodeProposal,
  largestMessageBytes,
  type Wave,
  wholeMapping,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const numRanks = 64;
const digest = 'a'.repeat(64);
const fence = { term: 2 ** 40, nonce: 'f'.repeat(16) };
const members = Array.from({ length: numRanks }, (_, rank) => ({
  rank: rank + 60_000,
  incarnation: 'e'.repeat(16),
}));
const mapping = ExpertMapping.contiguous({
  numLayers: 16,
  numLogicalExperts: 128,
  numRanks,
  numPhysicalExperts: 128,
});
const voided = Array.from({ length: 100 }, (_, index) => 2 ** 40 + index);

function waveOf(reason: string): Wave {
  return {
    change: 'rebalance',
    reason,
    mapping: wholeMapping(mapping),
    digest,
    layers: new Int32Array(16),
    rows: new Int32Array(16 * 128),
    transfers: new Int32Array(5 * 512),
  };
}

/** A rank's answer whose agent knows the new version, and whose engine does not yet. */
function answerBytes({ reason, layers, rows, transfers }: Wave): number {
  const version = 2 ** 40;
  const base = { version, digest };
  const content = { schema: 1, version, base, digest, members, voided, reason } as const;
  const change = 'rebalance';
  const record = encodeMapRecord({
    ...content,
    outcome: 'committed',
    fence,
    change,
    mapping: wholeMapping(mapping),
  });
  const proposal = encodeProposal({ ...content, change, layers, rows, transfers });
  const known = { version, outcome: 'committed', record };
  const { slotOffsets } = mapping;
  const description = { slotOffsets, modelLayerIds: new Int32Array(16), engine: 'x'.repeat(200) };
  const state = { vote: { ...base, base, proposal }, outcomes: [known], cuts: members };
  const engine = { description, state: { ...state, brokenPeers: members } };
  return encode({ fence, outcomes: [known], exited: [], engine }).byteLength;
}

describe('the bound of what a wave leads ranks to tell', () => {
  it.each(['test', '漢'.repeat(1_000)])('is one, and not far off', (reason) => {
    const wave = waveOf(reason);
    const bound = largestMessageBytes(wave, { members, voided }, 0);
    const actual = answerBytes(wave);
    expect(bound).toBeGreaterThanOrEqual(actual);
    expect(bound).toBeLessThan(1.25 * actual + 16_384);
  });
});
