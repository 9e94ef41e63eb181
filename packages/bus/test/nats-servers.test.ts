import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus, type Records } from '@isobar/bus';
import { loopbackPlacement, NatsServers, ProcessGuard } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

const text = (value: string) => new TextEncoder().encode(value);
const guard = new ProcessGuard();
let servers: NatsServers;
let bus: Bus;
let records: Records;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-servers-'));
  guard.removeAtEnd(directory);
  const placementOf = () => loopbackPlacement;
  servers = await NatsServers.prepare({ numServers: 3, directory, guard, placementOf });
  await servers.startAll();
  bus = await connectBus({ servers: servers.urls, name: 'test', onError: () => undefined });
  records = await untilDone(() => bus.openRecords({ bucket: 'kept', replicas: 3 }));
}, 60_000);

afterAll(async () => {
  await bus.close();
  await servers.stopAll();
  await guard.close();
});

/** Servers elect their leaders before they answer: refusals until then are part of the test. */
function untilDone<T>(attempt: () => Promise<T>): Promise<T> {
  return vi.waitFor(attempt, { timeout: 60_000, interval: 100 });
}

async function create(key: string): Promise<void> {
  await untilDone(async () => {
    const result = await records.createOnce(key, text(key));
    if (result.kind === 'unknown' || result.kind === 'refused') throw result.cause;
  });
}

describe('three servers', () => {
  it('can be left for one another', async () => {
    const own = await connectBus({
      servers: servers.urls,
      name: 'leaver',
      onError: () => undefined,
    });
    const seen = new Set([own.server]);
    for (let left = 0; left < 2; left += 1) {
      const before = own.server;
      await own.leaveServer();
      seen.add(
        await untilDone(async () => {
          if (!own.connected || own.server === before) throw new Error(`still at ${before}`);
          return own.server;
        }),
      );
    }
    expect(seen.size).toBe(3);
    await own.close();
  }, 60_000);

  it('keep records of three copies while any one of them is dead, paused or back', async () => {
    await create('before');
    for (const index of [0, 1, 2]) {
      await servers.process(index)?.kill();
      await create(`without-${index}`);
      await servers.start(index);
    }
    servers.process(1)?.pause();
    await create('paused');
    servers.process(1)?.resume();
    for (const key of ['before', 'without-0', 'without-1', 'without-2', 'paused']) {
      const stored = await untilDone(() => records.get(key));
      expect(stored?.value).toEqual(text(key));
    }
  }, 120_000);
});
