import { decodeProposal, encodeMapRecord, readDecidedVersion } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { fenceOf, type Group, settledGroup } from '../support/group.js';
import { exchanges } from '../support/waves.js';

/** The next leader finds so many numbers that have come to nothing since version 1. */
function leadAfterVoids(group: Group, count: number, reason = ''): void {
  for (let version = 2; version < 2 + count; version += 1) {
    const fence = fenceOf(1);
    const record = { schema: 1, outcome: 'void', version, fence, reason } as const;
    group.store.set(version, readDecidedVersion(encodeMapRecord(record)));
  }
  group.lead(2);
  group.settle();
}

function proposed(group: Group) {
  const proposals = group
    .effectsOf('send-prepare')
    .filter(({ ranks }) => ranks === null)
    .map(({ message }) => decodeProposal(message.proposal));
  return proposals.filter(({ version }) => version > 1);
}

describe('a version after which too many numbers have come to nothing', () => {
  it('is committed again as it is, and they are forgotten', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    const digest = group.state.mapping.digest();
    leadAfterVoids(group, 256);
    expect(group.version).toBe(258);
    expect(group.state.mapping.digest()).toBe(digest);
    expect(group.memberRanks).toEqual([0, 1, 2]);
    expect(group.state.outcomes).toHaveLength(1);
    expect(proposed(group)).toMatchObject([
      { change: 'membership', layers: new Int32Array(0), transfers: new Int32Array(0) },
    ]);
    expect(group.rank(1).retiredUpTo).toBe(258);
    const waves = exchanges(group.state.mapping, [[0, 2]]);
    const { newest: base } = group.state.swap;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    group.settle();
    expect(proposed(group).at(-1)).toMatchObject({ change: 'rebalance', voided: [] });
    expect(group.version).toBe(259);
  });

  it('is left alone before', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    leadAfterVoids(group, 255);
    expect(group.version).toBe(1);
    expect(group.state.swap.voided).toHaveLength(255);
  });

  it('is sooner where their records take most of what a message holds', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.payloadBytesMax = 70_000;
    leadAfterVoids(group, 12, 'x'.repeat(1_000));
    expect(group.version).toBe(14);
    expect(group.state.swap.voided).toEqual([]);
  });

  it('leaves every second number to what else is due, where it comes to nothing too', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(0).refusal = 'never';
    group.die(1);
    leadAfterVoids(group, 256);
    for (let ticks = 0; ticks < 3_000 && proposed(group).length < 4; ticks += 1) group.tick(1_000);
    expect(proposed(group).map(({ change }) => change)).toEqual([
      'membership',
      'evacuation',
      'membership',
      'evacuation',
    ]);
    group.rank(0).refusal = null;
    for (let ticks = 0; ticks < 3_000 && group.memberRanks.length > 2; ticks += 1) {
      group.tick(1_000);
    }
    expect(group.memberRanks).toEqual([0, 2]);
  });
});
