import type { CommandRequest, LeaderRequest, OperationCommand } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { exchanges } from '../support/waves.js';
import { leadingWorld, settledTokens, TestCoordinator, testWorld } from './coordinator-world.js';

const alice = { verified: true, account: 'operators', user: 'alice', host: '10.0.0.1' };
const bob = { ...alice, user: 'bob' };

function command(id: string, more: Partial<OperationCommand> = {}): OperationCommand {
  return { id, digest: 'a'.repeat(64), command: 'rebalance', requester: alice, ...more };
}

type Request = Omit<LeaderRequest, 'kind' | 'token' | 'askedBy'>;

function rebalance(
  coordinator: TestCoordinator,
  change: 'rebalance' | 'rollback' = 'rebalance',
): Request {
  const { mapping, swap } = coordinator.leader;
  return { change, waves: exchanges(mapping, [[0, 3]], change), base: swap.newest };
}

function ask(
  coordinator: TestCoordinator,
  token: number,
  request: Request | null,
  given: OperationCommand,
): void {
  coordinator.send({ kind: 'operate', token, change: null, request, command: given });
}

function kept(coordinator: TestCoordinator): readonly CommandRequest[] {
  return coordinator.leader.control.requests;
}

function versions(coordinator: TestCoordinator): number[] {
  return coordinator.effectsOf('swap-finished').map(({ version }) => version);
}

describe('a command', () => {
  it('is refused where the record of all commands would be more than the server takes', () => {
    const { store, group } = testWorld(3);
    const payloadBytesMax = 64 * 2_048 + 8_192;
    const a = new TestCoordinator(store, group, 'a', { payloadBytesMax });
    a.lead();
    const emptied = Array.from({ length: 4_096 }, () => 65_535);
    ask(a, 1, { change: 'leave', ranks: emptied, base: a.leader.swap.newest }, command('one'));
    a.run(1_000);
    const [refused] = a.effectsOf('operation-refused');
    expect(refused?.error.code).toBe('ISOBAR_COORDINATOR_TOO_LARGE');
    expect(store.control.requests).toEqual([]);
    ask(a, 2, rebalance(a), command('two'));
    a.run(3_000);
    expect(store.control.requests).toMatchObject([{ id: 'two', outcome: 'committed' }]);
  });

  it('is kept before it is begun, with who asked, and with what became of it', () => {
    const { store, a } = leadingWorld();
    ask(a, 1, rebalance(a), command('one'));
    const order = a.effects.map(({ kind }) => kind);
    expect(order.lastIndexOf('write-control')).toBeLessThan(order.lastIndexOf('send-prepare'));
    const begun = { id: 'one', requester: alice, outcome: null, baseVersion: 1, version: null };
    expect(store.control.requests).toMatchObject([begun]);
    a.run(3_000);
    const ended = { ...begun, outcome: 'committed', version: 2 };
    expect(store.control.requests).toMatchObject([ended]);
    expect(a.effectsOf('operation-done')).toMatchObject([{ token: 1, request: begun }]);
  });

  it('that is sent again is not done again, while it runs and afterwards', () => {
    const { a } = leadingWorld();
    ask(a, 1, rebalance(a), command('one'));
    ask(a, 2, rebalance(a), command('one'));
    a.run(3_000);
    expect(versions(a)).toEqual([1, 2]);
    ask(a, 3, rebalance(a), command('one'));
    a.run(3_000);
    expect(versions(a)).toEqual([1, 2]);
    expect(a.effectsOf('operation-done')).toMatchObject([
      { token: 1, request: { outcome: null } },
      { token: 2, request: { outcome: null } },
      { token: 3, request: { outcome: 'committed', version: 2 } },
    ]);
  });

  it('that is sent again while it is being written is not done again', () => {
    const { a } = leadingWorld();
    a.fates.set('write-control', 'held');
    ask(a, 1, rebalance(a), command('one'));
    ask(a, 2, rebalance(a), command('one'));
    a.fates.delete('write-control');
    for (const event of a.held.splice(0)) a.send(event);
    a.run(3_000);
    expect(versions(a)).toEqual([1, 2]);
    expect(settledTokens(a)).toEqual(['done 1', 'done 2']);
  });

  it('is refused under an id that stands for another question', () => {
    const { store, a } = leadingWorld();
    ask(a, 1, null, command('one'));
    ask(a, 2, null, command('one', { digest: 'b'.repeat(64) }));
    expect(settledTokens(a)).toEqual(['done 1', 'refused 2 ISOBAR_COORDINATOR_REQUEST_ID_REUSED']);
    expect(store.control.requests).toHaveLength(1);
  });

  it('that is refused is not kept, and may be sent again', () => {
    const { store, a } = leadingWorld();
    a.send({ kind: 'operate', token: 1, change: { kind: 'pause' }, request: null });
    ask(a, 2, rebalance(a), command('one'));
    expect(settledTokens(a).at(-1)).toBe('refused 2 ISOBAR_COORDINATOR_PAUSED');
    expect(store.control.requests).toEqual([]);
    a.send({ kind: 'operate', token: 3, change: { kind: 'resume' }, request: null });
    ask(a, 4, rebalance(a), command('one'));
    a.run(3_000);
    expect(store.control.requests).toMatchObject([{ id: 'one', outcome: 'committed' }]);
  });

  it('that is refused while it is being written is taken back', () => {
    const { group, store, a } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    ask(a, 1, rebalance(a), command('one'));
    // Until just before it is sent again.
    a.run(800);
    a.fates.set('write-control', 'held');
    const cancelled = { kind: 'operate', token: 2, change: null, request: null } as const;
    a.send({
      ...cancelled,
      cancel: { reason: 'no' },
      command: command('two', { command: 'cancel' }),
    });
    a.fates.set('create-record', 'held');
    // The record is being created by the time that the cancel is durable.
    group.rank(0).refusal = null;
    a.run(300);
    a.fates.delete('write-control');
    for (const event of a.held.splice(0, 1)) a.send(event);
    a.run(300);
    expect(settledTokens(a)).toEqual(['done 1', 'refused 2 ISOBAR_COORDINATOR_DECIDED']);
    expect(store.control.requests.map(({ id }) => id)).toEqual(['one']);
  });

  it('that changes the record alone is done with the write', () => {
    const { store, a } = leadingWorld();
    const operation = { kind: 'operate', token: 1, request: null } as const;
    a.send({ ...operation, change: { kind: 'pause' }, command: command('one') });
    expect(store.control).toMatchObject({
      paused: true,
      requests: [{ id: 'one', outcome: 'done', baseVersion: null }],
    });
  });

  it('is forgotten for a new one once it is done, and never while it runs', () => {
    const { group, store, a } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    ask(a, 1, rebalance(a), command('running'));
    for (let token = 2; token <= 70; token += 1) ask(a, token, null, command(`c${token}`));
    const ids = store.control.requests.map(({ id }) => id);
    expect(ids).toHaveLength(64);
    expect(ids.slice(0, 2)).toEqual(['running', 'c8']);
  });

  it('that cancels ends with the swap that was open', () => {
    const { group, store, a } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    ask(a, 1, rebalance(a), command('one'));
    a.run(200);
    const cancelled = { kind: 'operate', token: 2, change: null, request: null } as const;
    const given = command('two', { command: 'cancel', requester: bob });
    a.send({ ...cancelled, cancel: { reason: 'not now' }, command: given });
    a.run(1_000);
    expect(store.control.requests).toMatchObject([
      { id: 'one', outcome: 'cancelled', reason: 'not now, cancel of bob (request two)' },
      { id: 'two', outcome: 'cancelled', reason: 'version 2 is void' },
    ]);
  });
});

describe('two commands at once', () => {
  it('of the same order: the second is refused, and told by whom', () => {
    const { group, a } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    ask(a, 1, rebalance(a, 'rollback'), command('one', { command: 'rollback' }));
    ask(a, 2, rebalance(a, 'rollback'), command('two', { command: 'rollback', requester: bob }));
    const [refused] = a.effectsOf('operation-refused');
    expect(refused?.error).toMatchObject({
      code: 'ISOBAR_COORDINATOR_SWAP_OPEN',
      fields: { by: { id: 'one', command: 'rollback', requester: alice } },
    });
  });

  it('of which one goes first: the other is superseded, and told by whom', () => {
    const { group, store, a } = leadingWorld();
    const { mapping, swap } = a.leader;
    group.rank(0).refusal = 'it takes its time';
    const waves = exchanges(mapping, [
      [0, 3],
      [1, 4],
    ]);
    ask(a, 1, { change: 'rebalance', waves, base: swap.newest }, command('one'));
    const drain = { change: 'drain', ranks: [2], base: swap.newest } as const;
    a.send({
      kind: 'operate',
      token: 2,
      change: { kind: 'drain', ranks: [2] },
      request: drain,
      command: command('two', { requester: bob, command: 'drain' }),
    });
    group.rank(0).refusal = null;
    a.run(5_000);
    expect(store.control.requests).toMatchObject([
      {
        id: 'one',
        outcome: 'superseded',
        reason: 'a drain comes first, drain of bob (request two)',
      },
      { id: 'two', outcome: 'committed' },
    ]);
  });
});

describe('the next leader', () => {
  it('knows a command that is done, and does not do it again', () => {
    const { a, b } = leadingWorld();
    ask(a, 1, rebalance(a), command('one'));
    a.run(3_000);
    a.send({ kind: 'stop' });
    b.lead();
    ask(b, 1, rebalance(b), command('one'));
    b.run(3_000);
    expect(versions(b)).not.toContain(3);
    expect(b.effectsOf('operation-done')).toMatchObject([
      { request: { id: 'one', outcome: 'committed', version: 2 } },
    ]);
    ask(b, 2, null, command('one', { digest: 'b'.repeat(64) }));
    expect(settledTokens(b).at(-1)).toBe('refused 2 ISOBAR_COORDINATOR_REQUEST_ID_REUSED');
  });

  it('tells from the records that a command was done whose leader went before it could say so', () => {
    const { a, b } = leadingWorld();
    a.fates.set('write-control', 'done');
    ask(a, 1, rebalance(a), command('one'));
    a.fates.set('write-control', 'held');
    a.run(3_000);
    expect(kept(a)).toMatchObject([{ outcome: null }]);
    a.sleep(10_000);
    b.lead();
    expect(kept(b)).toMatchObject([{ id: 'one', outcome: 'committed', version: 2 }]);
    ask(b, 1, rebalance(b), command('one'));
    b.run(3_000);
    expect(b.leader.swap.newest.version).toBe(2);
  });

  it('says of a command that it can not tell of that it is unknown, and does not begin it again', () => {
    const { group, a, b } = leadingWorld();
    group.rank(0).refusal = 'it takes its time';
    ask(a, 1, rebalance(a), command('one'));
    a.run(200);
    a.send({ kind: 'stop' });
    group.rank(0).refusal = null;
    b.lead();
    expect(kept(b)).toMatchObject([{ id: 'one', outcome: 'unknown', version: 1 }]);
    const { newest } = b.leader.swap;
    ask(b, 1, rebalance(b), command('one'));
    b.run(3_000);
    expect(b.leader.swap.newest).toEqual(newest);
    expect(b.effectsOf('operation-done')).toMatchObject([{ request: { outcome: 'unknown' } }]);
  });

  it('is told of a death once, though the word comes again', () => {
    const { store, group, a, b } = leadingWorld();
    const dead = group.member(2);
    group.rank(2).isSilent = true;
    a.send({ kind: 'stop' });
    b.run(2_000);
    expect(b.role).toBe('taking-over');
    const given = command('one', { command: 'declare-dead' });
    const word = { kind: 'operate', request: null, command: given } as const;
    const change = { kind: 'declare-dead', member: dead } as const;
    b.send({ ...word, token: 1, change });
    b.send({ ...word, token: 2, change });
    b.run(5_000);
    expect(settledTokens(b)).toEqual(['done 1', 'done 2']);
    expect(store.control).toMatchObject({
      dead: [dead],
      requests: [{ id: 'one', outcome: 'done' }],
    });
  });
});

describe('whoever does not lead', () => {
  it('knows no command', () => {
    const { a } = testWorld();
    ask(a, 1, null, command('one'));
    expect(settledTokens(a)).toEqual(['refused 1 ISOBAR_COORDINATOR_NOT_LEADING']);
  });
});
