import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Bus, connectBus, type Records } from '@isobar/bus';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { connect, DiscardPolicy, type NatsConnection, type StreamAPI } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

const text = (value: string) => new TextEncoder().encode(value);
const guard = new ProcessGuard();
const timeoutMs = 500;
let directory: string;
let server: NatsServer;
let bus: Bus;
let onReconnected: () => void = () => undefined;
let records: Records;
let bucket = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-records-'));
  guard.removeAtEnd(directory);
  server = await startNatsServer({ directory, guard });
  bus = await connectBus({
    servers: [server.url],
    name: 'test',
    reconnectWaitMs: 50,
    onError: () => undefined,
    onStatus: (status) => {
      if (status === 'reconnected') onReconnected();
    },
  });
}, 60_000);

afterAll(async () => {
  await bus.close();
  await server.stop();
  await guard.close();
});

beforeEach(async () => {
  bucket += 1;
  records = await bus.openRecords({ bucket: `bucket-${bucket}`, timeoutMs });
});

function streamName(): string {
  return `KV_bucket-${bucket}`;
}

/** What an operator does to the store behind the back of the process. */
async function operate(act: (connection: NatsConnection) => Promise<unknown>): Promise<void> {
  const connection = await connect({ servers: server.url });
  await act(connection);
  await connection.close();
}

async function onStreams(act: (streams: StreamAPI) => Promise<unknown>): Promise<void> {
  await operate(async (connection) => act((await connection.jetstreamManager()).streams));
}

/** A stopped process may run on for a moment: its state says when it does not any more. */
async function pauseServer(): Promise<void> {
  server.process.pause();
  const { pid } = server.process;
  await vi.waitFor(async () => {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'state=', '-p', String(pid)]);
    expect(stdout.trim()).toMatch(/^T/);
  });
}

describe('a write', () => {
  it('is in doubt where no answer comes, lands late, and is settled by writing again', async () => {
    await pauseServer();
    const first = await records.compareAndSet('leader', text('late'), 0);
    server.process.resume();
    expect(first).toMatchObject({ kind: 'unknown', cause: { code: 'ISOBAR_BUS_TIMEOUT' } });
    expect(await records.compareAndSet('leader', text('again'), 0)).toEqual({ kind: 'conflict' });
    expect((await records.get('leader'))?.value).toEqual(text('late'));
  });

  it('is in doubt where the connection ends, and the same records serve after it is back', async () => {
    expect(await records.compareAndSet('leader', text('one'), 0)).toMatchObject({ kind: 'set' });
    await server.process.kill();
    const during = await records.compareAndSet('leader', text('two'), 1);
    expect(during).toMatchObject({ kind: 'unknown' });
    await expect(records.get('leader')).rejects.toMatchObject({ code: 'ISOBAR_BUS_TIMEOUT' });
    const reconnected = new Promise<void>((resolve) => {
      onReconnected = resolve;
    });
    server = await startNatsServer({ directory, guard, port: server.port });
    await reconnected;
    const revision = (await records.get('leader'))?.revision ?? 0;
    expect(await records.compareAndSet('leader', text('three'), revision)).toMatchObject({
      kind: 'set',
    });
  });

  it('is refused where there is no stream, whatever the client calls that', async () => {
    await onStreams((streams) => streams.delete(streamName()));
    expect(await records.compareAndSet('leader', text('one'), 0)).toMatchObject({
      kind: 'refused',
      cause: { code: 'ISOBAR_BUS_NO_RESPONDERS' },
    });
    expect(await records.createOnce('map.1', text('one'))).toMatchObject({ kind: 'refused' });
  });

  it('is refused where it is larger than the stream or the server takes', async () => {
    await onStreams((streams) => streams.update(streamName(), { max_msg_size: 16 }));
    expect(await records.compareAndSet('leader', new Uint8Array(64), 0)).toMatchObject({
      kind: 'refused',
      cause: { code: 'ISOBAR_BUS_FAILED' },
    });
    const large = new Uint8Array(bus.maxPayloadBytes + 1);
    expect(await records.compareAndSet('leader', large, 0)).toMatchObject({ kind: 'refused' });
    expect(await records.get('leader')).toBeNull();
  });

  it('is in doubt where the store itself fails', async () => {
    await onStreams((streams) =>
      streams.update(streamName(), { max_msgs: 1, discard: DiscardPolicy.New }),
    );
    expect(await records.createOnce('map.1', text('one'))).toEqual({ kind: 'created' });
    expect(await records.createOnce('map.2', text('two'))).toMatchObject({
      kind: 'unknown',
      cause: { code: 'ISOBAR_BUS_FAILED', message: expect.stringMatching(/JetStream 10077/) },
    });
  });
});

describe.each(['delete', 'purge'] as const)('a record after a %s', (deletion) => {
  async function removeRecord(key: string): Promise<void> {
    await operate(async (connection) => {
      const store = await connection.jetstream().views.kv(`bucket-${bucket}`);
      await store[deletion](key);
    });
  }

  it('is absent, not empty', async () => {
    await records.createOnce('map.1', text('one'));
    await removeRecord('map.1');
    expect(await records.get('map.1')).toBeNull();
    expect(await records.getAll(['map.1'])).toEqual([]);
  });

  it('is created again, once', async () => {
    await records.createOnce('map.1', text('one'));
    await removeRecord('map.1');
    const created = await Promise.all(
      ['two', 'three'].map((value) => records.createOnce('map.1', text(value))),
    );
    expect(created.filter(({ kind }) => kind === 'created')).toHaveLength(1);
    const value = (await records.get('map.1'))?.value;
    expect([text('two'), text('three')]).toContainEqual(value);
    expect(await records.createOnce('map.1', text('four'))).toEqual({ kind: 'exists', value });
  });

  it('is written by who expects none, and by nobody who expects the revision it had', async () => {
    const first = await records.compareAndSet('leader', text('one'), 0);
    if (first.kind !== 'set') throw new Error('not written');
    await removeRecord('leader');
    const renewed = await records.compareAndSet('leader', text('two'), first.revision);
    expect(renewed).toEqual({ kind: 'conflict' });
    expect(await records.compareAndSet('leader', text('two'), 0)).toMatchObject({ kind: 'set' });
    expect((await records.get('leader'))?.value).toEqual(text('two'));
  });
});

describe('a store that has gone back', () => {
  it('refuses the revision that it has lost', async () => {
    const first = await records.compareAndSet('leader', text('one'), 0);
    const second = await records.compareAndSet('leader', text('two'), 1);
    if (first.kind !== 'set' || second.kind !== 'set') throw new Error('not written');
    await onStreams((streams) => streams.delete(streamName()));
    records = await bus.openRecords({ bucket: `bucket-${bucket}`, timeoutMs });
    expect(await records.compareAndSet('leader', text('three'), second.revision)).toEqual({
      kind: 'conflict',
    });
    expect(await records.get('leader')).toBeNull();
  });
});

describe('a purged record', () => {
  it('leaves nothing behind: no key, and no space that it takes', async () => {
    for (const key of ['map.1', 'map.2', 'map.10']) await records.createOnce(key, text(key));
    await records.purge('map.1');
    expect(await records.get('map.1')).toBeNull();
    expect((await records.keys('map.')).sort()).toEqual(['map.10', 'map.2']);
    await onStreams(async (streams) => {
      expect((await streams.info(streamName())).state.messages).toBe(2);
    });
    await records.purge('map.1');
    expect((await records.get('map.10'))?.value).toEqual(text('map.10'));
  });
});

describe('keys', () => {
  it('are listed by whole tokens, and read many at a time', async () => {
    const names = Array.from({ length: 40 }, (_, index) => `map.${index}`);
    for (const key of [...names, 'mapping.3']) await records.createOnce(key, text(key));
    const keys = await records.keys('map.');
    expect(keys.sort()).toEqual([...names].sort());
    const stored = await records.getAll([...names, 'map.999']);
    expect(stored.map(({ key }) => key)).toEqual(names);
  });
});
