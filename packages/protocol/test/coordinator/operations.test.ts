import {
  forgetDeaths,
  type LeaderRequest,
  type ParameterChanges,
  type Parameters,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf } from '../support/group.js';
import { exchanges } from '../support/waves.js';
import {
  cancel,
  leadingWorld,
  operate,
  settledTokens,
  type TestCoordinator,
  testWorld,
} from './coordinator-world.js';

const other = 'f'.repeat(16);

function rollback(coordinator: TestCoordinator): Omit<LeaderRequest, 'kind' | 'token'> {
  const { mapping, swap } = coordinator.leader;
  const waves = exchanges(mapping, [[0, 3]], 'rollback');
  return { change: 'rollback', waves, base: swap.newest };
}

describe('operations', () => {
  it('are done one after the other, each answered once it is durable', () => {
    const { store, a } = leadingWorld();
    a.fates.set('write-control', 'held');
    operate(a, 1, { kind: 'pause' });
    operate(a, 2, { kind: 'mode', mode: 'approve' });
    expect(settledTokens(a)).toEqual([]);
    expect(a.held).toHaveLength(1);
    a.fates.delete('write-control');
    for (const event of a.held.splice(0)) a.send(event);
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
    expect(store.control).toMatchObject({ paused: true, mode: 'approve' });
    expect(a.leader.control).toEqual(store.control);
  });

  it('that change nothing write nothing', () => {
    const { store, a } = leadingWorld();
    const before = store.get('control');
    operate(a, 1, { kind: 'resume' });
    operate(a, 2, { kind: 'undrain', ranks: [1] });
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
    expect(store.get('control')).toBe(before);
  });

  it('are refused by whoever does not lead', () => {
    const { b } = testWorld();
    b.fates.set('read-leader', 'held');
    operate(b, 1, { kind: 'pause' });
    cancel(b, 2, 'no');
    expect(settledTokens(b)).toEqual([
      'refused 1 ISOBAR_COORDINATOR_NOT_LEADING',
      'refused 2 ISOBAR_COORDINATOR_NOT_LEADING',
    ]);
  });

  it('beyond a limit are refused', () => {
    const { a } = leadingWorld();
    a.fates.set('write-control', 'held');
    for (let token = 1; token <= 65; token += 1) operate(a, token, { kind: 'pause' });
    expect(settledTokens(a)).toEqual(['refused 65 ISOBAR_COORDINATOR_BUSY']);
  });

  it('that would make a record that nobody can read are refused, and write nothing', () => {
    const { store, a } = leadingWorld();
    const before = store.get('control');
    operate(a, 1, { kind: 'hold', reason: 'x'.repeat(2_001) }, rollback(a));
    operate(a, 2, { kind: 'undrain', ranks: [0] });
    expect(settledTokens(a)).toEqual(['refused 1 ISOBAR_COORDINATOR_REQUEST_INVALID', 'done 2']);
    expect(a.effectsOf('operation-refused')[0]?.error.fields).toMatchObject({ field: 'held' });
    expect(store.get('control')).toBe(before);
  });

  it('of a death is taken for whoever an engine has lost, though no record lists it', () => {
    const { store, group, a } = leadingWorld();
    const member = { rank: 1, incarnation: other };
    group.rank(0).brokenPeers = [member];
    a.run(2_000);
    operate(a, 1, { kind: 'declare-dead', member });
    expect(settledTokens(a)).toEqual(['done 1']);
    expect(store.control.dead).toEqual([member]);
  });

  it('that name a rank or an incarnation that is no member are refused', () => {
    const { a } = leadingWorld();
    operate(a, 1, { kind: 'drain', ranks: [9] });
    operate(a, 2, { kind: 'declare-dead', member: { rank: 1, incarnation: other } });
    const codes = a.effectsOf('operation-refused').map(({ error }) => [error.code, error.fields]);
    expect(codes).toMatchObject([
      ['ISOBAR_COORDINATOR_UNKNOWN_MEMBER', { field: 'rank' }],
      ['ISOBAR_COORDINATOR_UNKNOWN_MEMBER', { field: 'incarnation' }],
    ]);
  });
});

describe('declared deaths', () => {
  it('are forgotten beyond a limit, the oldest first, but for those of members', () => {
    const dead = Array.from({ length: 1_027 }, (_, rank) => ({ rank, incarnation: other }));
    const needed = dead.slice(0, 2);
    const { dead: kept } = forgetDeaths(controlOf({ dead }), needed);
    expect(kept).toEqual([...needed, ...dead.slice(5)]);
    expect(forgetDeaths(controlOf({ dead }), dead).dead).toEqual(dead);
  });

  it('that a leader forgets are told', () => {
    const { store, group, a } = leadingWorld();
    const declare = (rank: number, token: number) => {
      const member = { rank, incarnation: other };
      group.rank(0).brokenPeers = [member];
      a.run(1_000);
      operate(a, token, { kind: 'declare-dead', member });
    };
    declare(1, 1);
    const old = Array.from({ length: 1_023 }, (_, rank) => ({
      rank: 100 + rank,
      incarnation: other,
    }));
    const { role } = a.state;
    if (role.kind !== 'leading') throw new Error('it does not lead');
    const record = { ...role.control.record, dead: [...old, ...role.control.record.dead] };
    a.state = { ...a.state, role: { ...role, control: { ...role.control, record } } };
    declare(2, 2);
    expect(store.control.dead.length).toBe(1_024);
    const told = a
      .effectsOf('refused')
      .filter(({ what }) => what === 'keeping old declared deaths');
    expect(told.map(({ fields }) => fields)).toEqual([{ members: [old[0]] }]);
  });
});

describe('parameters', () => {
  const set = (changes: ParameterChanges, checkedOver: Parameters = {}) =>
    ({ kind: 'parameters', changes, checkedOver }) as const;

  it('are kept for every leader to come, and forgotten where they are reset', () => {
    const { store, a, b } = leadingWorld();
    operate(a, 1, set({ 'x.b': 2, 'x.a': 'text', 'x.c': null }));
    const both = { 'x.a': 'text', 'x.b': 2 };
    expect(store.control.parameters).toEqual(both);
    a.sleep(20_000);
    b.run(20_000, () => b.role === 'leading');
    expect(b.leader.control.parameters).toEqual(both);
    operate(b, 1, set({ 'x.b': null }, both));
    expect(store.control.parameters).toEqual({ 'x.a': 'text' });
  });

  it('are refused over others than they were checked over', () => {
    const { store, a } = leadingWorld();
    a.fates.set('write-control', 'held');
    operate(a, 1, set({ 'x.a': 1 }));
    operate(a, 2, set({ 'x.b': 2 }));
    a.fates.delete('write-control');
    for (const event of a.held.splice(0)) a.send(event);
    expect(settledTokens(a)).toEqual(['done 1', 'refused 2 ISOBAR_COORDINATOR_PARAMETERS_CHANGED']);
    expect(store.control.parameters).toEqual({ 'x.a': 1 });
  });

  it('that could not be read are not written', () => {
    const { store, a } = leadingWorld();
    operate(a, 1, set({ __proto__x: 1 }));
    operate(a, 2, set({ a: 'x'.repeat(257) }));
    const code = 'ISOBAR_COORDINATOR_REQUEST_INVALID';
    expect(settledTokens(a)).toEqual([`refused 1 ${code}`, `refused 2 ${code}`]);
    expect(store.control.parameters).toEqual({});
  });
});

describe('timings of leading', () => {
  it('hold at once, also for the swap that is open', () => {
    const { group, a } = leadingWorld();
    group.rank(1).isSilent = true;
    operate(a, 1, null, rollback(a));
    a.run(500);
    expect(a.leader.swap.open?.phase).toBe('preparing');
    const timings = { ...a.leader.timings, prepareDeadlineMs: 300, backOffMs: 77_000 };
    a.send({ kind: 'timings', timings });
    a.run(200);
    expect(a.leader.swap.open?.phase).not.toBe('preparing');
    expect((a.leader.backOff?.untilMs ?? 0) - a.nowMs).toBeGreaterThan(70_000);
  });

  it('hold for a coordinator that comes to lead', () => {
    const { a } = testWorld();
    const timings = { ...a.state.options.timings.leader, backOffMs: 77_000 };
    a.send({ kind: 'timings', timings });
    a.lead();
    expect(a.leader.timings.backOffMs).toBe(77_000);
  });
});

describe('a rollback', () => {
  it('holds balancing before it begins, and after it is in force, until resumed', () => {
    const { store, a } = leadingWorld();
    operate(a, 1, { kind: 'hold', reason: 'rolled back to version 1' }, rollback(a));
    const order = a.effects.map(({ kind }) => kind);
    expect(order.lastIndexOf('write-control')).toBeLessThan(order.lastIndexOf('send-prepare'));
    a.run(3_000);
    expect(settledTokens(a)).toEqual(['done 1']);
    expect(a.leader.swap.newest.version).toBe(2);
    expect(store.control.held).toBe('rolled back to version 1');
    const automatic = { ...rollback(a), change: 'rebalance', automatic: true } as const;
    const waves = exchanges(a.leader.mapping, [[0, 4]]);
    operate(a, 2, null, { ...automatic, waves });
    operate(a, 3, { kind: 'resume' });
    operate(a, 4, null, { ...automatic, waves });
    expect(settledTokens(a).slice(1)).toEqual([
      'refused 2 ISOBAR_COORDINATOR_HELD',
      'done 3',
      'done 4',
    ]);
  });

  it('that is refused holds nothing', () => {
    const { store, a } = leadingWorld();
    const request = { ...rollback(a), base: { version: 0, digest: '0'.repeat(64) } };
    operate(a, 1, { kind: 'hold', reason: 'rolled back to version 1' }, request);
    a.run(500);
    expect(settledTokens(a)).toEqual(['refused 1 ISOBAR_COORDINATOR_PLAN_OUTDATED']);
    expect(store.control.held).toBeNull();
  });

  it('that a leader did not live to begin leaves balancing held', () => {
    const { a, b, store } = leadingWorld();
    a.fates.set('write-control', 'lost');
    operate(a, 1, { kind: 'hold', reason: 'rolled back to version 1' }, rollback(a));
    b.run(10_000, () => b.role === 'leading');
    expect(b.leader.control.held).toBe('rolled back to version 1');
    expect(store.control.held).toBe('rolled back to version 1');
  });
});

describe('a drain', () => {
  it('is written, begun, and over once the rank holds nothing', () => {
    const { store, a } = leadingWorld();
    const { newest } = a.leader.swap;
    operate(a, 1, { kind: 'drain', ranks: [1] }, { change: 'drain', ranks: [1], base: newest });
    a.run(5_000);
    expect(settledTokens(a)).toEqual(['done 1']);
    expect(store.control.drained).toEqual([1]);
    expect(a.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'committed' }]);
  });

  it('that is refused is taken back', () => {
    const { store, a } = leadingWorld();
    operate(a, 1, { kind: 'pause' });
    const { newest } = a.leader.swap;
    operate(a, 2, { kind: 'drain', ranks: [1] }, { change: 'drain', ranks: [1], base: newest });
    a.run(500);
    expect(settledTokens(a)).toEqual(['done 1', 'refused 2 ISOBAR_COORDINATOR_PAUSED']);
    expect(store.control.drained).toEqual([]);
  });
});

describe("an operator's word of a death", () => {
  it('lets a takeover go on that waits for the dead', () => {
    const { store, group, a, b } = leadingWorld();
    const dead = group.member(2);
    group.rank(2).isSilent = true;
    a.send({ kind: 'stop' });
    b.run(2_000);
    expect(b.role).toBe('taking-over');
    operate(b, 1, { kind: 'declare-dead', member: dead });
    b.run(5_000);
    expect(settledTokens(b)).toEqual(['done 1']);
    expect(b.role).toBe('leading');
    expect(store.control.dead).toEqual([dead]);
    expect(b.leader.swap.members.map(({ rank }) => rank)).toEqual([0, 1]);
  });

  it('removes a member while it leads', () => {
    const { group, a } = leadingWorld();
    const dead = group.member(0);
    group.rank(0).isSilent = true;
    operate(a, 1, { kind: 'declare-dead', member: dead });
    a.run(5_000);
    expect(a.leader.swap.members.map(({ rank }) => rank)).toEqual([1, 2]);
  });
});

describe('a cancel', () => {
  it('voids the open version with its reason', () => {
    const { group, a } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    operate(a, 1, null, rollback(a));
    a.run(200);
    expect(a.leader.swap.open?.phase).toBe('preparing');
    cancel(a, 2, 'not now');
    a.run(500);
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
    expect(a.effectsOf('swap-finished').at(-1)).toMatchObject({
      outcome: 'void',
      reason: 'not now',
    });
  });

  it('is refused where nothing is open, or all is decided', () => {
    const { a } = leadingWorld();
    cancel(a, 1, 'not now');
    a.fates.set('create-record', 'held');
    operate(a, 2, null, rollback(a));
    a.run(200);
    cancel(a, 3, 'not now');
    expect(settledTokens(a)).toEqual([
      'refused 1 ISOBAR_COORDINATOR_NO_SWAP',
      'done 2',
      'refused 3 ISOBAR_COORDINATOR_DECIDED',
    ]);
  });
});
