import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus } from '@isobar/bus';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const guard = new ProcessGuard();
let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-description-'));
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

describe('a description', () => {
  it('of the server has its version and what it can take', async () => {
    expect(await bus.describeServer()).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      hasJetStream: true,
      maxPayloadBytes: bus.maxPayloadBytes,
      cluster: null,
      isEncrypted: false,
      roundTripMs: expect.any(Number),
    });
  });

  it('of a stream has its limits; of none there is none', async () => {
    const events = await bus.openEventStream({
      stream: 'kept',
      subjects: 'kept.>',
      ageMaxMs: 60_000,
      bytesMax: 65_536,
    });
    await events.ensure();
    await events.append('kept.one', new Uint8Array(8), 'one');
    expect(await bus.describeStream('kept', 5_000)).toMatchObject({
      replicas: 1,
      replicasCurrent: null,
      onDisk: true,
      messages: 1,
      bytesMax: 65_536,
      ageMaxMs: 60_000,
    });
    expect(await bus.describeStream('missing', 5_000)).toBeNull();
  });

  it('of what is kept without limits says so', async () => {
    await bus.openRecords({ bucket: 'unlimited' });
    const { bytesMax, ageMaxMs } = (await bus.describeStream('KV_unlimited', 5_000)) ?? {};
    expect([bytesMax, ageMaxMs]).toEqual([null, null]);
    expect(await bus.storeLimits(5_000)).toMatchObject({
      streams: expect.any(Number),
      streamsMax: null,
    });
  });
});
