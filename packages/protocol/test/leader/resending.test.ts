import { describe, expect, it } from 'vitest';
import { type Group, settledGroup } from '../support/group.js';
import { exchanges } from '../support/waves.js';

const numRanks = 4;

/** A rebalance whose first messages rank 2 does not hear. */
function rebalancing(misses: 'prepare' | 'outcome'): Group {
  const group = settledGroup(numRanks);
  group.effects.length = 0;
  const from = group.rank(2);
  if (misses === 'prepare') from.isSilent = true;
  else from.missesOutcomes = true;
  const waves = exchanges(group.state.mapping, [[0, 2]]);
  const { newest: base } = group.state.swap;
  group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
  return group;
}

/** To whom messages went after the first, and when. */
function resent(group: Group, kind: 'send-prepare' | 'send-outcome', untilMs: number) {
  const sent: { readonly atMs: number; readonly ranks: readonly number[] | null }[] = [];
  const beganMs = group.nowMs;
  while (group.nowMs - beganMs < untilMs) {
    const before = group.effectsOf(kind).length;
    group.tick();
    for (const { ranks } of group.effectsOf(kind).slice(before)) {
      sent.push({ atMs: group.nowMs - beganMs, ranks });
    }
  }
  return sent;
}

describe('what ranks have not followed', () => {
  it('is sent again to them alone, ever more rarely, up to a limit', () => {
    const group = rebalancing('outcome');
    expect(group.effectsOf('send-outcome')).toMatchObject([{ ranks: null }]);
    const sent = resent(group, 'send-outcome', 16_000);
    expect(sent.every(({ ranks }) => ranks?.join() === '2')).toBe(true);
    expect(sent.map(({ atMs }) => atMs)).toEqual([1_000, 3_000, 7_000, 11_000, 15_000]);
  });

  it('is sent at once to a rank that comes back', () => {
    const group = rebalancing('prepare');
    expect(resent(group, 'send-prepare', 1_500)).toEqual([{ atMs: 1_000, ranks: [2] }]);
    const { engine } = group.report(2);
    group.send({ kind: 'report', report: { ...group.report(2), engine: null } });
    group.send({ kind: 'report', report: { ...group.report(2), engine } });
    group.rank(2).isSilent = false;
    expect(resent(group, 'send-prepare', 500)).toEqual([{ atMs: 100, ranks: [2] }]);
    group.settle();
    expect(group.version).toBe(2);
  });

  it('is not sent to a rank that says it is staging', () => {
    const group = rebalancing('prepare');
    const progress = { version: 2, staged: 1, total: 2 };
    group.send({ kind: 'report', report: { ...group.report(2), progress } });
    expect(resent(group, 'send-prepare', 1_500)).toEqual([]);
    // Its vote was lost.
    group.rank(2).isSilent = false;
    expect(resent(group, 'send-prepare', 500)).toEqual([{ atMs: 200, ranks: [2] }]);
    group.settle();
    expect(group.version).toBe(2);
  });

  it('goes to all where the one that lacks it is of before single ranks were told', () => {
    const group = rebalancing('prepare');
    group.rank(2).isOlder = true;
    group.send({ kind: 'report', report: group.report(2) });
    group.rank(2).isSilent = false;
    expect(resent(group, 'send-prepare', 1_000)).toEqual([{ atMs: 1_000, ranks: null }]);
    group.settle();
    expect(group.version).toBe(2);
  });

  it('goes to all where such a one lacks the outcome', () => {
    const group = settledGroup(numRanks);
    group.rank(2).isOlder = true;
    group.rank(2).missesOutcomes = true;
    group.tick();
    const waves = exchanges(group.state.mapping, [[0, 2]]);
    const { newest: base } = group.state.swap;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    expect(group.state.swap.open?.phase).toBe('activating');
    group.rank(2).missesOutcomes = false;
    expect(resent(group, 'send-outcome', 1_000)).toEqual([{ atMs: 1_000, ranks: null }]);
    group.settle();
    expect(group.rank(2).activatedVersion).toBe(2);
  });

  it('goes to all at once where many have not', () => {
    const group = settledGroup(24);
    for (const rank of group.ranks) rank.missesOutcomes = rank.rank > 0;
    const waves = exchanges(group.state.mapping, [[0, 2]]);
    const { newest: base } = group.state.swap;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    expect(resent(group, 'send-outcome', 2_000)).toEqual([{ atMs: 1_000, ranks: null }]);
  });
});
