import { connect } from 'node:net';
import { flagReading, Metrics, numberReading, openProbes, ProbeServer } from '@isobar/telemetry';
import { afterEach, describe, expect, it } from 'vitest';

const address = { host: '127.0.0.1', port: 0 };
const servers: ProbeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const noMetrics = new Metrics({}, () => null, []);

async function listening(options: {
  readonly lacking?: () => readonly string[];
  readonly metrics?: Metrics<never> | Metrics;
  readonly onError?: (cause: unknown) => void;
  readonly requestTimeoutMs?: number;
}): Promise<string> {
  const unexpected = (cause: unknown) => {
    throw cause;
  };
  const { lacking = () => [], metrics = noMetrics, onError = unexpected } = options;
  const given = { ...options, lacking, metrics, onError };
  const server = await ProbeServer.listen({ address, ...given });
  servers.push(server);
  return `http://127.0.0.1:${server.port}`;
}

describe('the probes of a process', () => {
  it('tell that it lives, and whether it is ready or what it lacks', async () => {
    let lacks: string[] = ['a NATS server', 'its engine'];
    const url = await listening({ lacking: () => lacks });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    const before = await fetch(`${url}/readyz`);
    expect([before.status, await before.text()]).toEqual([
      503,
      'lacks a NATS server\nlacks its engine\n',
    ]);
    lacks = [];
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
  });

  it('answer nothing else', async () => {
    const url = await listening({});
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect((await fetch(`${url}/livez/..`)).status).toBe(404);
    expect((await fetch(`${url}/livez`, { method: 'POST', body: 'x' })).status).toBe(405);
    expect((await fetch(`${url}/livez`, { headers: { x: 'x'.repeat(8_000) } })).status).toBe(431);
  });

  it('tell of metrics that can’t be read, and live on', async () => {
    const failures: unknown[] = [];
    const metrics = {
      contentType: 'text/plain',
      text: () => Promise.reject(new Error('unreadable')),
    };
    const url = await listening({
      metrics: metrics as unknown as Metrics,
      onError: (cause) => void failures.push(cause),
    });
    expect((await fetch(`${url}/metrics`)).status).toBe(500);
    expect(failures).toMatchObject([{ message: 'unreadable' }]);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  it('end although somebody stays connected', async () => {
    const url = new URL(await listening({}));
    const socket = connect(Number(url.port), url.hostname);
    await new Promise((resolve) => socket.once('connect', resolve));
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await servers.pop()?.close();
    await ended;
  });

  it('are not kept from others by connections that say nothing', async () => {
    const url = new URL(await listening({ requestTimeoutMs: 200 }));
    const silent = Array.from({ length: 64 }, () => connect(Number(url.port), url.hostname));
    await Promise.all(
      silent.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve))),
    );
    expect((await fetch(new URL('/livez', url))).status).toBe(200);
  });

  it('are refused where the port is taken', async () => {
    const url = new URL(await listening({}));
    const taken = { host: url.hostname, port: Number(url.port) };
    const options = { address: taken, lacking: () => [], metrics: noMetrics, onError: () => {} };
    await expect(ProbeServer.listen(options)).rejects.toMatchObject({
      code: 'ISOBAR_TELEMETRY_LISTEN',
      fields: taken,
      cause: { code: 'EADDRINUSE' },
    });
  });

  it('are none where no address is given', async () => {
    const logger = { info: () => {}, error: () => {} } as never;
    expect(await openProbes(null, { lacking: () => [], metrics: noMetrics, logger })).toBeNull();
  });
});

describe('metrics', () => {
  it('are read anew for each answer, all from one snapshot', async () => {
    let taken = 0;
    const take = () => {
      taken += 1;
      return { taken, ranks: [0.5, 1.5] };
    };
    const metrics = new Metrics({ deployment: 'prod' }, take, [
      {
        name: 'isobar_test_total',
        help: 'Counts.',
        kind: 'counter',
        read: (at) => numberReading(at.taken),
      },
      { name: 'isobar_absent', help: 'Unknown.', kind: 'gauge', read: () => numberReading(null) },
      { name: 'isobar_is', help: 'Is.', kind: 'gauge', read: () => flagReading(true) },
      {
        name: 'isobar_rank',
        help: 'By rank.',
        kind: 'gauge',
        labels: ['rank'],
        read: ({ ranks }) => ranks.map((value, rank) => ({ labels: { rank }, value })),
      },
    ]);
    const before = taken;
    await metrics.text();
    const lines = (await metrics.text()).split('\n');
    expect(taken).toBe(before + 2);
    expect(lines).toContain(`isobar_test_total{deployment="prod"} ${taken}`);
    expect(lines).toContain('isobar_is{deployment="prod"} 1');
    expect(lines).toContain('isobar_rank{rank="1",deployment="prod"} 1.5');
    expect(lines.filter((line) => line.startsWith('isobar_absent'))).toEqual([]);
    expect(lines.some((line) => line.startsWith('process_cpu_seconds_total{'))).toBe(true);
  });
});
