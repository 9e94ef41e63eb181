import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus, type EventRange, type EventStream } from '@isobar/bus';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const bytes = (value: string) => new TextEncoder().encode(value);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const guard = new ProcessGuard();
let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-events-'));
  guard.removeAtEnd(directory);
  server = await startNatsServer({ directory, guard });
  bus = await connectBus({
    servers: [server.url],
    name: 'test',
    onError: (error) => {
      throw error;
    },
  });
}, 60_000);

afterAll(async () => {
  await bus.close();
  await server.stop();
  await guard.close();
});

async function streamOf(name: string, limits: { bytesMax?: number } = {}): Promise<EventStream> {
  const options = { stream: name, subjects: `${name}.>`, ...limits };
  const events = await bus.openEventStream(options);
  await events.ensure();
  return events;
}

async function read(events: EventStream, range: EventRange): Promise<string[]> {
  const told: string[] = [];
  for await (const { payload } of events.read(range)) told.push(text(payload));
  return told;
}

describe('an event stream', () => {
  it('gives back every event in its order, or the last of them', async () => {
    const events = await streamOf('order');
    for (const name of ['a', 'b', 'c']) await events.append(`order.${name}`, bytes(name), name);
    expect(await read(events, { follow: false })).toEqual(['a', 'b', 'c']);
    expect(await read(events, { follow: false, last: 2 })).toEqual(['b', 'c']);
    expect(await read(events, { follow: false, last: 9 })).toEqual(['a', 'b', 'c']);
    expect(await read(events, { follow: false, last: 1, before: 3 })).toEqual(['b']);
    expect(await read(events, { follow: false, before: 1 })).toEqual([]);
  });

  it('gives back more than are asked for at once', async () => {
    const events = await streamOf('many');
    const names = Array.from({ length: 150 }, (_, index) => String(index));
    await Promise.all(names.map((name) => events.append('many.x', bytes(name), name)));
    const told = await read(events, { follow: false });
    expect(told).toHaveLength(150);
    expect(new Set(told)).toEqual(new Set(names));
    expect(await read(events, { follow: false, last: 100 })).toEqual(told.slice(50));
  });

  it('stores an event once that is appended again under its id', async () => {
    const events = await streamOf('once');
    for (const id of ['1', '1', '2']) await events.append('once.x', bytes(id), id);
    expect(await read(events, { follow: false })).toEqual(['1', '2']);
  });

  it('is read on as events come, until the reader has enough', async () => {
    const events = await streamOf('follow');
    await events.append('follow.x', bytes('old'), 'old');
    const enough = new AbortController();
    const told: string[] = [];
    for await (const { payload } of events.read({ follow: true }, enough.signal)) {
      told.push(text(payload));
      if (told.length === 1) await events.append('follow.x', bytes('new'), 'new');
      else enough.abort();
    }
    expect(told).toEqual(['old', 'new']);
  });

  it('is read on after the server was away', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-events-'));
    guard.removeAtEnd(directory);
    const first = await startNatsServer({ directory, guard });
    const client = await connectBus({
      servers: [first.url],
      name: 'follower',
      reconnectWaitMs: 50,
      onError: () => undefined,
    });
    const options = { stream: 'away', subjects: 'away.>', timeoutMs: 300 };
    const events = await client.openEventStream(options);
    await events.ensure();
    await events.append('away.x', bytes('before'), 'before');
    const following = events.read({ follow: true });
    expect((await following.next()).value).toMatchObject({ sequence: 1 });
    const second = following.next();
    await first.stop();
    // As long as it takes that the follower's own question is not answered either.
    for (let asked = 0; asked < 4; asked += 1) {
      await expect(read(events, { follow: false })).rejects.toMatchObject({
        code: 'ISOBAR_BUS_TIMEOUT',
      });
    }
    const again = await startNatsServer({ directory, guard, port: first.port });
    const writer = await connectBus({
      servers: [again.url],
      name: 'writer',
      onError: () => undefined,
    });
    await (await writer.openEventStream({ ...options, timeoutMs: 5_000 })).append(
      'away.x',
      bytes('after'),
      'after',
    );
    expect((await second).value).toMatchObject({ sequence: 2 });
    await following.return(undefined);
    await Promise.all([client.close(), writer.close()]);
    await again.stop();
  }, 30_000);

  it('keeps to its limits, and takes new ones', async () => {
    const events = await streamOf('limits', { bytesMax: 4_096 });
    const payload = new Uint8Array(1_024);
    for (let id = 0; id < 10; id += 1) await events.append('limits.x', payload, String(id));
    expect((await read(events, { follow: false })).length).toBeLessThan(4);
    await streamOf('limits', { bytesMax: 65_536 });
    for (let id = 10; id < 20; id += 1) await events.append('limits.x', payload, String(id));
    expect((await read(events, { follow: false })).length).toBeGreaterThanOrEqual(10);
  });

  it('is empty where nothing was stored, and says where it does not exist', async () => {
    expect(await read(await streamOf('empty'), { follow: false })).toEqual([]);
    const absent = await bus.openEventStream({ stream: 'absent', subjects: 'absent.>' });
    await expect(read(absent, { follow: false })).rejects.toMatchObject({
      code: 'ISOBAR_BUS_NO_STREAM',
      fields: { stream: 'absent' },
    });
  });
});
