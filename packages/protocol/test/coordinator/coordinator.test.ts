import {
  type ControlRecord,
  type CoordinatorEvent,
  encode,
  readDecidedVersion,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import {
  leadingWorld,
  leaseTimings,
  operate,
  settledTokens,
  TestCoordinator,
  takeTurns,
  testWorld,
} from './coordinator-world.js';

const other = 'f'.repeat(16);

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
    a.run(2 * leaseTimings.leaseMs);
    // Tried again, and told once.
    expect(a.effectsOf('claimed').length).toBeGreaterThan(1);
    expect(a.effectsOf('alarm')).toHaveLength(1);
    store.records.delete('map.1');
    a.run(leaseTimings.leaseMs);
    expect(a.role).toBe('leading');
  });

  it('does not lead a group of other ranks than it knows of, nor proposes anything to it', () => {
    const { store, group } = testWorld(3);
    const a = new TestCoordinator(store, group, 'a', { configuredRanks: [0, 1] });
    a.run(1_000);
    expect(a.role).toBe('standby');
    expect(a.effectsOf('alarm')).toMatchObject([
      { alarm: 'cannot-lead', fields: { code: 'ISOBAR_TOPOLOGY_RANKS', rank: 0 } },
    ]);
    expect(a.effectsOf('send-prepare')).toEqual([]);
    expect(store.get('control')).toBeNull();
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
    // Without parameters: as an older version wrote it.
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
      parameters: {},
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
