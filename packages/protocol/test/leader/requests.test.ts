import { IsobarError, type LeaderRequest } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf, fenceOf, type Group, settledGroup, timings } from '../support/group.js';
import { exchanged, exchanges, waveTo } from '../support/waves.js';

type Pairs = readonly (readonly [number, number])[];

function ask(
  group: Group,
  token: number,
  change: 'rebalance' | 'rollback',
  pairs: Pairs,
  fields: Partial<LeaderRequest> = {},
): void {
  const waves = exchanges(group.state.mapping, pairs, change);
  group.send({ kind: 'request', token, change, waves, base: group.state.swap.newest, ...fields });
}

function refusals(group: Group): { readonly token: number; readonly code: string }[] {
  return group
    .effectsOf('request-refused')
    .map(({ token, error }) => ({ token, code: error.code }));
}

describe('a request', () => {
  it('is refused where what it leads to could not be told, before anything is proposed', () => {
    const group = settledGroup(3);
    group.payloadBytesMax = 8_192;
    group.lead(2);
    group.settle();
    ask(group, 1, 'rebalance', [[0, 3]]);
    expect(refusals(group)).toEqual([{ token: 1, code: 'ISOBAR_COORDINATOR_TOO_LARGE' }]);
    group.settle();
    expect(group.version).toBe(1);
  });

  it('is accepted, begun wave after wave, and ends committed', () => {
    const group = settledGroup(3);
    ask(group, 1, 'rebalance', [
      [0, 3],
      [1, 4],
    ]);
    group.settle();
    expect(group.effectsOf('request-accepted')).toEqual([{ kind: 'request-accepted', token: 1 }]);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'committed' }]);
    expect(group.version).toBe(3);
  });

  it('is refused where it was made on another version, or on another mapping', () => {
    const group = settledGroup(3);
    const { digest } = group.state.swap.newest;
    ask(group, 1, 'rebalance', [[0, 3]], { base: { version: 0, digest } });
    ask(group, 2, 'rebalance', [[0, 3]], { base: { version: 1, digest: '0'.repeat(64) } });
    expect(refusals(group)).toEqual([
      { token: 1, code: 'ISOBAR_COORDINATOR_PLAN_OUTDATED' },
      { token: 2, code: 'ISOBAR_COORDINATOR_PLAN_OUTDATED' },
    ]);
  });

  it('is taken on whatever is in force where its waves are the leader’s own', () => {
    const group = settledGroup(3);
    const { digest } = group.state.swap.newest;
    const member = group.state.swap.members.find(({ rank }) => rank === 2);
    group.send({
      kind: 'request',
      token: 1,
      change: 'leave',
      ranks: [2],
      members: member === undefined ? [] : [member],
      base: { version: 0, digest },
    });
    expect(group.effectsOf('request-refused')).toEqual([]);
    group.settle();
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'committed' }]);
  });

  it('is refused while something of the same rank is under way', () => {
    const group = settledGroup(3);
    group.rank(0).isSilent = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    ask(group, 2, 'rebalance', [[0, 3]]);
    expect(refusals(group)).toEqual([{ token: 2, code: 'ISOBAR_COORDINATOR_SWAP_OPEN' }]);
  });

  it('is refused while something of higher rank waits', () => {
    const group = settledGroup(3, { numLogicalExperts: 6 });
    group.die(2);
    group.settle();
    ask(group, 1, 'rollback', [[0, 3]]);
    expect(refusals(group)).toEqual([{ token: 1, code: 'ISOBAR_COORDINATOR_SWAP_OPEN' }]);
    const [refused] = group.effectsOf('request-refused');
    expect(refused?.error.fields).toMatchObject({ before: 'evacuation' });
  });

  it('of higher rank stops one of lower between waves, which is told', () => {
    const group = settledGroup(3);
    group.rank(0).isSilent = true;
    ask(group, 1, 'rebalance', [
      [0, 3],
      [1, 4],
    ]);
    group.tick();
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 2, change: 'leave', ranks: [2], base: newest });
    expect(group.effectsOf('request-accepted').map(({ token }) => token)).toEqual([1, 2]);
    group.rank(0).isSilent = false;
    group.settle();
    const ends = group.effectsOf('request-ended').map(({ token, outcome }) => ({ token, outcome }));
    expect(ends).toEqual([
      { token: 1, outcome: 'superseded' },
      { token: 2, outcome: 'committed' },
    ]);
    const changes = [...group.store.values()].map(({ record }) =>
      record.outcome === 'committed' ? record.change : 'void',
    );
    expect(changes).toEqual(['start', 'rebalance', 'membership']);
  });

  it('that waited is outdated where another version came into force', () => {
    const group = settledGroup(3);
    group.rank(0).isSilent = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    ask(group, 2, 'rollback', [[1, 4]]);
    group.rank(0).isSilent = false;
    group.settle();
    const ends = group.effectsOf('request-ended').map(({ token, outcome }) => ({ token, outcome }));
    expect(ends).toEqual([
      { token: 1, outcome: 'committed' },
      { token: 2, outcome: 'outdated' },
    ]);
  });

  it('is refused while paused; a pause stops what is under way between waves', () => {
    const group = settledGroup(3);
    group.rank(0).isSilent = true;
    ask(group, 1, 'rebalance', [
      [0, 3],
      [1, 4],
    ]);
    group.send({ kind: 'control', control: controlOf({ paused: true }) });
    group.rank(0).isSilent = false;
    group.settle();
    expect(group.version).toBe(2);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'cancelled' }]);
    ask(group, 2, 'rollback', [[0, 3]]);
    expect(refusals(group)).toEqual([{ token: 2, code: 'ISOBAR_COORDINATOR_PAUSED' }]);
  });

  it('is seen to before a pause in what has happened to ranks', () => {
    const group = settledGroup(3);
    group.send({ kind: 'control', control: controlOf({ paused: true }) });
    group.die(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1]);
  });

  it('is refused where it places experts on ranks that are out or drained', () => {
    const group = settledGroup(4);
    group.die(3);
    group.settle();
    const rows = group.state.mapping.row(0).slice();
    rows[6] = 0;
    const misplaced = group.state.mapping.apply({ layers: Int32Array.of(0), rows });
    const base = group.state.swap.newest;
    const request = { kind: 'request', change: 'rebalance', base } as const;
    group.send({ ...request, token: 1, waves: [waveTo(group.state.mapping, misplaced)] });
    group.send({ ...request, token: 2, waves: [] });
    const drained = controlOf({ drained: [2], paused: false });
    group.rank(0).refusal = 'keeps the drain from being done';
    group.send({ kind: 'control', control: drained });
    group.settle();
    const after = exchanged(group.state.mapping, 2, 4);
    group.send({ ...request, token: 3, waves: [waveTo(group.state.mapping, after)] });
    expect(refusals(group)).toEqual([
      { token: 1, code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' },
      { token: 2, code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' },
      { token: 3, code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' },
    ]);
  });

  it('is refused beyond 4,096 waves', () => {
    const group = settledGroup(4);
    const [wave] = exchanges(group.state.mapping, [[0, 2]]);
    if (wave === undefined) throw new Error('no wave');
    const base = group.state.swap.newest;
    const request = { kind: 'request', change: 'rebalance', base } as const;
    group.send({ ...request, token: 1, waves: Array(4_097).fill(wave) });
    expect(group.effectsOf('request-refused')[0]?.error).toMatchObject({
      code: 'ISOBAR_COORDINATOR_REQUEST_INVALID',
      fields: { field: 'waves' },
    });
    group.send({ ...request, token: 2, waves: Array(4_096).fill(wave) });
    expect(group.effectsOf('request-accepted')).toMatchObject([{ token: 2 }]);
  });

  it('is given up where a wave is not what its digest says', () => {
    const group = settledGroup(3);
    const [wave] = exchanges(group.state.mapping, [[0, 3]]);
    if (wave === undefined) throw new Error('no wave');
    const waves = [{ ...wave, digest: 'f'.repeat(64) }];
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    group.settle();
    expect(group.version).toBe(1);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'void' }]);
  });

  it('is refused to leave or drain a rank that is no living member', () => {
    const group = settledGroup(3);
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'leave', ranks: [9], base });
    group.send({ kind: 'request', token: 2, change: 'drain', ranks: [1], base });
    expect(refusals(group)).toEqual([
      { token: 1, code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' },
      { token: 2, code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' },
    ]);
  });
});

describe('a cancel', () => {
  it('voids what is being prepared, with its reason', () => {
    const group = settledGroup(3);
    group.rank(0).isSilent = true;
    ask(group, 1, 'rebalance', [
      [0, 3],
      [1, 4],
    ]);
    group.send({ kind: 'cancel', reason: 'an operator changed her mind' });
    group.rank(0).isSilent = false;
    group.settle();
    expect(group.store.get(2)?.record.reason).toBe('an operator changed her mind');
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'cancelled' }]);
    expect(group.version).toBe(1);
  });

  it('takes nothing back that is committed', () => {
    const group = settledGroup(3);
    group.rank(0).missesOutcomes = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.tick();
    group.send({ kind: 'cancel', reason: 'too late' });
    group.rank(0).missesOutcomes = false;
    group.settle();
    expect(group.version).toBe(2);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'committed' }]);
  });
});

describe('after a void', () => {
  it('automatic rebalances wait, with the reason; an operator’s do not', () => {
    const group = settledGroup(3);
    group.rank(1).refusal = 'a source is gone';
    ask(group, 1, 'rebalance', [[0, 3]], { automatic: true });
    group.settle();
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'void' }]);
    group.rank(1).refusal = null;
    ask(group, 2, 'rebalance', [[0, 3]], { automatic: true });
    expect(refusals(group)).toEqual([{ token: 2, code: 'ISOBAR_COORDINATOR_BACKING_OFF' }]);
    const [refused] = group.effectsOf('request-refused');
    expect(refused?.error.fields).toMatchObject({ version: 2, reason: 'rank 1: a source is gone' });
    ask(group, 3, 'rebalance', [[0, 3]]);
    group.settle();
    expect(group.version).toBe(3);
  });

  it('they may begin again when the time is over', () => {
    const group = settledGroup(3);
    group.rank(1).refusal = 'a source is gone';
    ask(group, 1, 'rebalance', [[0, 3]], { automatic: true });
    group.settle();
    group.rank(1).refusal = null;
    group.tick(timings.backOffMs);
    ask(group, 2, 'rebalance', [[0, 3]], { automatic: true });
    group.settle();
    expect(group.version).toBe(3);
  });

  it('they wait twice as long with each further void, until a commit', () => {
    const group = settledGroup(3);
    group.rank(1).refusal = 'a source is gone';
    const waits = [1, 2, 3].map((token) => {
      ask(group, token, 'rebalance', [[0, 3]]);
      group.settle();
      return (group.state.backOff?.untilMs ?? 0) - group.nowMs;
    });
    expect(waits.map((wait) => Math.round(wait / timings.backOffMs))).toEqual([1, 2, 4]);
    group.rank(1).refusal = null;
    ask(group, 4, 'rebalance', [[0, 3]]);
    group.settle();
    group.rank(1).refusal = 'again';
    ask(group, 5, 'rebalance', [[0, 3]]);
    group.settle();
    const wait = (group.state.backOff?.untilMs ?? 0) - group.nowMs;
    expect(Math.round(wait / timings.backOffMs)).toBe(1);
  });

  it('automatic rebalances are refused while held', () => {
    const group = settledGroup(3);
    group.send({ kind: 'control', control: controlOf({ held: 'rolled back to 1' }) });
    ask(group, 1, 'rebalance', [[0, 3]], { automatic: true });
    expect(refusals(group)).toEqual([{ token: 1, code: 'ISOBAR_COORDINATOR_HELD' }]);
  });
});

describe('deadlines', () => {
  it('void what is not voted for in time, naming the rank', () => {
    const group = settledGroup(3);
    group.rank(2).isSilent = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.tick(timings.prepareDeadlineMs);
    expect(group.store.get(2)?.record).toMatchObject({
      outcome: 'void',
      reason: 'no vote in time from rank 2',
    });
  });

  it('of deciding, activating and retiring alarm, once each, and take nothing back', () => {
    const group = settledGroup(3);
    group.storeIsDown = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    for (let ticks = 0; ticks < 80; ticks += 1) group.tick();
    group.rank(1).missesOutcomes = true;
    group.storeIsDown = false;
    for (let ticks = 0; ticks < 80; ticks += 1) group.tick();
    group.rank(1).missesOutcomes = false;
    group.rank(2).isSilent = true;
    for (let ticks = 0; ticks < 80; ticks += 1) group.tick();
    const slow = group.effectsOf('alarm').map(({ fields }) => [fields.phase, fields.missingRanks]);
    expect(slow).toEqual([
      ['deciding', []],
      ['activating', [1]],
      ['retiring', [2]],
    ]);
    group.rank(2).isSilent = false;
    group.settle();
    expect(group.version).toBe(2);
  });
});

describe('a wave that is not what it says', () => {
  it('ends its request with the reason', () => {
    const group = settledGroup(4);
    const { newest: base } = group.state.swap;
    const waves = exchanges(group.state.mapping, [[0, 2]]).map((wave) => ({
      ...wave,
      digest: 'f'.repeat(64),
    }));
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    expect(group.effectsOf('request-ended')).toMatchObject([
      { token: 1, outcome: 'void', reason: 'wave that is not what it says' },
    ]);
  });
});

describe('an outcome', () => {
  it('is told at once and announced only when a rank has taken it', () => {
    const group = settledGroup(3);
    for (const rank of group.ranks) rank.missesOutcomes = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.effects.length = 0;
    for (let ticks = 0; ticks < 5; ticks += 1) group.tick(300);
    expect(group.effectsOf('send-outcome').length).toBeGreaterThan(0);
    expect(group.effectsOf('decided')).toEqual([]);
    group.rank(1).missesOutcomes = false;
    group.tick(2_000);
    expect(group.effectsOf('decided')).toMatchObject([{ record: { version: 2 } }]);
  });

  it('is not announced by reports under another fence, or of engines that had no vote', () => {
    const group = settledGroup(3);
    for (const rank of group.ranks) rank.missesOutcomes = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.effects.length = 0;
    const report = group.report(1);
    if (report.engine === null) throw new Error('rank 1 has no engine');
    const engine = { ...report.engine, committedVersion: 2, openVote: null };
    group.send({ kind: 'report', report: { ...report, fence: null, engine } });
    const stranger = { ...engine, incarnation: 'ffffffffffffffff' };
    group.send({ kind: 'report', report: { ...report, engine: stranger } });
    expect(group.effectsOf('decided')).toEqual([]);
  });

  it('of a void is not announced while every voter may still be asked to commit it', () => {
    const group = settledGroup(3);
    for (const rank of group.ranks) rank.missesOutcomes = true;
    group.rank(2).isSilent = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.effects.length = 0;
    group.tick(timings.prepareDeadlineMs);
    for (let ticks = 0; ticks < 30; ticks += 1) group.tick();
    expect(group.store.get(2)?.record.outcome).toBe('void');
    expect(group.effectsOf('decided')).toEqual([]);
    expect(group.effectsOf('swap-finished')).toEqual([]);
    group.rank(0).missesOutcomes = false;
    group.tick(4_000);
    expect(group.effectsOf('decided')).toMatchObject([{ record: { version: 2, outcome: 'void' } }]);
    group.settle();
    expect(group.effectsOf('swap-finished')).toMatchObject([{ version: 2, outcome: 'void' }]);
  });

  it('that a later leader has created deposes', () => {
    const group = settledGroup(3);
    group.storeIsDown = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    const voided = { schema: 1, outcome: 'void', version: 2, reason: '' } as const;
    const record = { ...voided, fence: fenceOf(2) };
    const known = { version: 2, outcome: 'void', record: new Uint8Array([1]) } as const;
    group.send({ kind: 'record-exists', existing: { known, record } });
    expect(group.effectsOf('deposed')).toEqual([{ kind: 'deposed', by: fenceOf(2) }]);
    group.effects.length = 0;
    group.tick();
    expect(group.effects).toEqual([]);
  });

  it('that an earlier leader’s late write has made void is void', () => {
    const group = settledGroup(3);
    group.lead(3);
    group.settle();
    const voided = { schema: 1, outcome: 'void', version: 2, reason: 'late' } as const;
    const record = { ...voided, fence: fenceOf(2) };
    const known = { version: 2, outcome: 'void', record: new Uint8Array([1]) } as const;
    group.store.set(2, { known, record });
    for (const rank of group.ranks) rank.missesOutcomes = true;
    ask(group, 1, 'rebalance', [[0, 3]]);
    expect(group.state.swap.voided).toEqual([2]);
    expect(group.effectsOf('send-outcome').at(-1)?.message.record).toEqual(known.record);
  });

  it('is told to ranks that ask', () => {
    const group = settledGroup(3);
    group.send({ kind: 'outcomes-question', token: 5, since: 0 });
    group.send({ kind: 'outcomes-question', token: 6, since: 1 });
    const answers = group.effectsOf('outcomes-answer');
    expect(
      answers.map(({ token, outcomes }) => [token, outcomes.map(({ version }) => version)]),
    ).toEqual([
      [5, [1]],
      [6, []],
    ]);
  });
});

describe('a leader', () => {
  it('stops at a report of a higher fence', () => {
    const group = settledGroup(3);
    group.send({ kind: 'report', report: { ...group.report(0), fence: fenceOf(7) } });
    expect(group.effectsOf('deposed')).toEqual([{ kind: 'deposed', by: fenceOf(7) }]);
    group.effects.length = 0;
    group.tick();
    expect(group.effects).toEqual([]);
  });

  it('stops at a record that it can not read', () => {
    const group = settledGroup(3);
    const error = new IsobarError('ISOBAR_PROTOCOL_MALFORMED', 'a record of another time');
    group.send({ kind: 'unreadable', error });
    expect(group.effectsOf('failed')).toEqual([{ kind: 'failed', error }]);
    group.effects.length = 0;
    group.tick();
    expect(group.effects).toEqual([]);
  });

  it('numbers on above what any engine has voted for', () => {
    const group = settledGroup(3);
    group.rank(1).votedUpTo = 20;
    group.tick();
    ask(group, 1, 'rebalance', [[0, 3]]);
    group.settle();
    expect(group.version).toBe(21);
  });

  it('settles a number that only a stranger has voted for, so that it is bound no longer', () => {
    const group = settledGroup(3);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.adopt(2);
    const proposal = new Uint8Array(0);
    const { digest } = group.state.swap.newest;
    const base = group.state.swap.newest;
    const { incarnation } = group.rank(2);
    group.rank(2).vote = { version: 9, digest, base, incarnation, proposal };
    group.rank(2).votedUpTo = 9;
    group.settle();
    expect(group.store.get(9)?.record.outcome).toBe('void');
    expect(group.memberRanks).toEqual([0, 1, 2]);
    expect(group.version).toBe(10);
  });
});
