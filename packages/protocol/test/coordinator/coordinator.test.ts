import {
  type ControlChange,
  type ControlRecord,
  type CoordinatorEvent,
  encode,
  type LeaderRequest,
  readDecidedVersion,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { exchanges } from '../support/waves.js';
import { leaseTimings, TestCoordinator, testWorld } from './coordinator-world.js';

const other = 'f'.repeat(16);

function leadingWorld(numRanks = 3) {
  const world = testWorld(numRanks);
  world.a.lead();
  return world;
}

function operate(
  coordinator: TestCoordinator,
  token: number,
  change: ControlChange | null,
  request: Omit<LeaderRequest, 'kind' | 'token'> | null = null,
): void {
  coordinator.send({ kind: 'operate', token, change, request });
}

function rollback(coordinator: TestCoordinator): Omit<LeaderRequest, 'kind' | 'token'> {
  const { mapping, swap } = coordinator.leader;
  const waves = exchanges(mapping, [[0, 3]], 'rollback');
  return { change: 'rollback', waves, base: swap.newest };
}

function takeTurns(coordinators: readonly TestCoordinator[], forMs: number): void {
  for (let elapsedMs = 0; elapsedMs < forMs; elapsedMs += 100) {
    for (const coordinator of coordinators) coordinator.run(100);
  }
}

function settledTokens(coordinator: TestCoordinator): string[] {
  return coordinator.effects.flatMap((effect) => {
    if (effect.kind === 'operation-done') return [`done ${effect.token}`];
    if (effect.kind !== 'operation-refused') return [];
    return [`refused ${effect.token} ${effect.error.code}`];
  });
}

describe('a coordinator', () => {
  it('claims, reads, asks, takes control, and only then leads', () => {
    const { store, a } = leadingWorld();
    const order = a.effects.map(({ kind }) => kind);
    const first = (kind: (typeof order)[number]) => order.indexOf(kind);
    const steps = [
      'write-leader',
      'claimed',
      'read-records',
      'ask',
      'write-control',
      'led',
      'send-prepare',
      'create-record',
    ] as const;
    expect(steps.map(first)).toEqual(steps.map(first).toSorted((x, y) => x - y));
    expect(store.control).toMatchObject({ mode: 'automatic', fence: { term: 1 } });
    expect(a.leader.swap.newest.version).toBe(1);
  });

  it('waits for ranks, asking again, and says for whom', () => {
    const { group, a } = testWorld();
    group.rank(1).isSilent = true;
    a.run(2_000);
    expect(a.role).toBe('taking-over');
    expect(a.effectsOf('ask').length).toBeGreaterThan(4);
    expect(a.effectsOf('ask').at(-1)?.ranks).toEqual([1]);
    operate(a, 1, { kind: 'pause' });
    const [refused] = a.effectsOf('operation-refused');
    expect(refused?.error).toMatchObject({
      code: 'ISOBAR_COORDINATOR_NOT_LEADING',
      fields: { role: 'taking-over', members: [{ rank: 1 }] },
    });
    group.rank(1).isSilent = false;
    a.lead();
  });

  it('leads on under its lease, and another takes over within it once it is gone', () => {
    const { group, a, b } = leadingWorld();
    takeTurns([a, b], 10_000);
    expect([a.role, b.role]).toEqual(['leading', 'standby']);
    b.run(leaseTimings.leaseMs + leaseTimings.renewMs + 500, () => b.role === 'leading');
    expect(b.role).toBe('leading');
    expect(b.fence.term).toBe(2);
    expect(group.rank(0).fence?.term).toBe(2);
  });

  it('that gives up its lease is followed at once', () => {
    const { a, b } = leadingWorld();
    b.run(500);
    a.send({ kind: 'stop' });
    expect(a.role).toBe('stopped');
    expect(a.effects.slice(-2).map(({ kind }) => kind)).toEqual(['write-leader', 'released']);
    b.run(leaseTimings.retryMs + 200, () => b.role === 'leading');
    expect(b.role).toBe('leading');
  });

  it('that wakes from a pause does nothing of what it then hears', () => {
    const { a, b } = leadingWorld();
    b.sleep(a.nowMs);
    b.run(10_000, () => b.role === 'leading');
    a.sleep(leaseTimings.renewDeadlineMs);
    const before = a.effects.length;
    a.send({ kind: 'outcomes-question', token: 1, since: 0 });
    const after = a.effects.slice(before).map(({ kind }) => kind);
    expect(after).toEqual(['deposed', 'read-leader']);
    takeTurns([a, b], 20_000);
    expect([a.role, b.role]).toEqual(['standby', 'leading']);
  });

  it('that meets a higher term claims one above it, where the lease is its own', () => {
    const { group, a } = leadingWorld();
    group.rank(2).fence = { term: 7, nonce: other };
    a.run(200);
    expect(a.effectsOf('deposed')).toHaveLength(1);
    a.lead();
    expect(a.fence.term).toBe(8);
  });

  it('raises its term above that of any record before it asks anybody', () => {
    const { store, group, a } = leadingWorld();
    const newest = store.get('map.1');
    if (newest === null) throw new Error('no version');
    const { record } = readDecidedVersion(newest.bytes);
    store.put('map.1', encode({ ...record, fence: { term: 9, nonce: other } }));
    a.send({ kind: 'stop' });
    const next = new TestCoordinator(store, group, 'next');
    next.lead();
    expect(next.fence.term).toBe(10);
    expect(next.effectsOf('ask').every(({ fence }) => fence.term === 10)).toBe(true);
  });

  it('that can not read a record lets others lead, and tries again', () => {
    const { store, a } = testWorld();
    store.put('map.1', new TextEncoder().encode('of another world'));
    a.run(1_000);
    expect(a.role).toBe('standby');
    expect(a.effectsOf('alarm')).toMatchObject([
      { alarm: 'cannot-lead', fields: { code: 'ISOBAR_PROTOCOL_MALFORMED' } },
    ]);
    a.run(leaseTimings.leaseMs);
    expect(a.effectsOf('alarm')).toHaveLength(2);
    store.records.delete('map.1');
    a.run(leaseTimings.leaseMs);
    expect(a.role).toBe('leading');
  });

  it('does nothing more once it has stopped', () => {
    const { a } = testWorld();
    a.send({ kind: 'stop' });
    const { state } = a;
    a.run(5_000);
    expect(a.state).toBe(state);
  });
});

describe('answers of the store', () => {
  it('to an earlier leadership of the same process count for nothing', () => {
    const { store, group, a } = testWorld();
    a.fates.set('create-record', 'held');
    a.run(1_000, () => a.held.length > 0);
    const late = a.held[0];
    if (late === undefined) throw new Error('nothing was created');
    // Acknowledged, and lost; the next leadership creates the same number anew.
    store.records.delete('map.1');
    for (const rank of group.ranks) rank.fence = { term: 5, nonce: other };
    a.run(1_000, () => a.held.length > 1);
    expect([a.role, a.fence.term, a.held.length]).toEqual(['taking-over', 6, 2]);
    a.send(late);
    expect(a.role).toBe('taking-over');
    a.send(a.held[1] ?? late);
    expect(a.role).toBe('leading');
  });

  it('that never come are not waited for', () => {
    const { a } = testWorld();
    for (const kind of ['read-records', 'write-control', 'create-record'] as const) {
      a.fates.set(kind, 'held');
      a.run(2 * leaseTimings.leaseMs, () => a.effectsOf(kind).length > 1);
      expect(a.effectsOf(kind).length, kind).toBeGreaterThan(1);
      a.fates.delete(kind);
    }
    a.run(3_000);
    expect(a.leader.swap.newest.version).toBe(1);
  });

  it('that failed are asked for again', () => {
    const { a } = testWorld();
    a.fates.set('read-records', 'lost');
    a.run(1_000);
    expect(a.role).toBe('reading');
    a.fates.delete('read-records');
    a.lead();
  });
});

describe('the control record', () => {
  function taken(before: Partial<ControlRecord>, during?: CoordinatorEvent) {
    const world = testWorld();
    const fresh = { mode: 'approve', paused: false, held: null, drained: [], dead: [] };
    const fence = { term: 1, nonce: other };
    world.store.put('control', encode({ schema: 1, fence, ...fresh, ...before }));
    if (during !== undefined) world.a.send(during);
    return world;
  }

  it('is taken over as it is, under the new fence', () => {
    const { store, a } = taken({ paused: true, held: 'rolled back', drained: [2] });
    a.lead();
    expect(store.control).toMatchObject({
      fence: a.fence,
      mode: 'approve',
      paused: true,
      held: 'rolled back',
      drained: [2],
    });
    expect(a.fence.term).toBe(2);
  });

  it('is read again where a leader before has written it meanwhile', () => {
    const { store, group, a } = taken({});
    group.rank(0).isSilent = true;
    a.run(1_000);
    expect(a.role).toBe('taking-over');
    const fence = { term: 1, nonce: other };
    store.put('control', encode({ ...store.control, fence, mode: 'observe' }));
    group.rank(0).isSilent = false;
    a.lead();
    expect(store.control).toMatchObject({ mode: 'observe', fence: { term: 2 } });
  });

  it('under a higher fence ends the leadership that finds it', () => {
    const { store, a } = leadingWorld();
    const fence = { term: 40, nonce: other };
    store.put('control', encode({ ...store.control, fence }));
    operate(a, 1, { kind: 'pause' });
    a.run(100);
    expect(a.effectsOf('deposed')).toHaveLength(1);
    expect(settledTokens(a)).toEqual(['refused 1 ISOBAR_COORDINATOR_DEPOSED']);
    a.lead();
    expect(a.fence.term).toBe(41);
    expect(store.control.paused).toBe(false);
  });

  it('is written again where the write was in doubt, and where the store went back', () => {
    const { store, a } = leadingWorld();
    a.fates.set('write-control', 'lost');
    operate(a, 1, { kind: 'pause' });
    a.run(100);
    expect(settledTokens(a)).toEqual([]);
    a.fates.delete('write-control');
    a.run(1_000);
    expect(settledTokens(a)).toEqual(['done 1']);
    expect(store.control.paused).toBe(true);
    store.records.delete('control');
    operate(a, 2, { kind: 'mode', mode: 'observe' });
    a.run(1_000);
    expect(store.control).toMatchObject({ paused: true, mode: 'observe' });
  });

  it('says observe, with an alarm, where the store is behind what ranks know', () => {
    const { store, group, a, b } = leadingWorld();
    store.records.delete('map.1');
    a.send({ kind: 'stop' });
    b.lead();
    expect(store.get('map.1')).not.toBeNull();
    expect(store.control.mode).toBe('observe');
    expect(b.effectsOf('alarm').map((effect) => effect.alarm)).toContain('store-behind');
    expect(group.rank(0).base.version).toBe(1);
  });
});

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
    operate(a, 2, { kind: 'undrain', rank: 1 });
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
    expect(store.get('control')).toBe(before);
  });

  it('are refused by whoever does not lead', () => {
    const { b } = testWorld();
    b.fates.set('read-leader', 'held');
    operate(b, 1, { kind: 'pause' });
    b.send({ kind: 'cancel', token: 2, reason: 'no' });
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

  it('that name a rank or an incarnation that is no member are refused', () => {
    const { a } = leadingWorld();
    operate(a, 1, { kind: 'drain', rank: 9 });
    operate(a, 2, { kind: 'declare-dead', member: { rank: 1, incarnation: other } });
    const codes = a.effectsOf('operation-refused').map(({ error }) => [error.code, error.fields]);
    expect(codes).toMatchObject([
      ['ISOBAR_COORDINATOR_UNKNOWN_MEMBER', { field: 'rank' }],
      ['ISOBAR_COORDINATOR_UNKNOWN_MEMBER', { field: 'incarnation' }],
    ]);
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
    operate(a, 1, { kind: 'drain', rank: 1 }, { change: 'drain', rank: 1, base: newest });
    a.run(5_000);
    expect(settledTokens(a)).toEqual(['done 1']);
    expect(store.control.drained).toEqual([1]);
    expect(a.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'committed' }]);
  });

  it('that is refused is taken back', () => {
    const { store, a } = leadingWorld();
    operate(a, 1, { kind: 'pause' });
    const { newest } = a.leader.swap;
    operate(a, 2, { kind: 'drain', rank: 1 }, { change: 'drain', rank: 1, base: newest });
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
    a.send({ kind: 'cancel', token: 2, reason: 'not now' });
    a.run(500);
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
    expect(a.effectsOf('swap-finished').at(-1)).toMatchObject({
      outcome: 'void',
      reason: 'not now',
    });
  });

  it('is refused where nothing is open, or all is decided', () => {
    const { a } = leadingWorld();
    a.send({ kind: 'cancel', token: 1, reason: 'not now' });
    a.fates.set('create-record', 'held');
    operate(a, 2, null, rollback(a));
    a.run(200);
    a.send({ kind: 'cancel', token: 3, reason: 'not now' });
    expect(settledTokens(a)).toEqual([
      'refused 1 ISOBAR_COORDINATOR_NO_SWAP',
      'done 2',
      'refused 3 ISOBAR_COORDINATOR_DECIDED',
    ]);
  });
});
