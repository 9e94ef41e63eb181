import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CoordinatorClient,
  type HistoryOptions,
  readHistory,
  renderEvent,
} from '@isobar/operator-cli';
import { type AuditEvent, encode, eventStreamName, subjectsOf } from '@isobar/protocol';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../src/program.js';

const guard = new ProcessGuard();
const subjects = subjectsOf('d');
let server: NatsServer;
let client: CoordinatorClient;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-history-'));
  guard.removeAtEnd(directory);
  server = await startNatsServer({ directory, guard });
  client = await CoordinatorClient.connect({
    servers: [server.url],
    context: null,
    deployment: 'd',
    timeoutMs: 5_000,
  });
}, 60_000);

afterAll(async () => {
  await client.close();
  await server.stop();
  await guard.close();
});

async function collect(options: Partial<HistoryOptions>): Promise<AuditEvent[]> {
  const told: AuditEvent[] = [];
  const all = { deployment: 'd', last: 50, follow: false, ...options };
  for await (const event of readHistory(client, all, new AbortController().signal)) {
    told.push(event);
  }
  return told;
}

describe('isobar history', () => {
  it('says where nothing is kept', async () => {
    await expect(collect({})).rejects.toMatchObject({ code: 'ISOBAR_BUS_NO_STREAM' });
  });

  it('tells the last events, or those of one version', async () => {
    const stream = eventStreamName('d');
    const events = await client.bus.openEventStream({ stream, subjects: subjects.event('>') });
    await events.ensure();
    for (const [at, version] of [4, 5, 5].entries()) {
      const payload = encode({ schema: 1, at, kind: 'decided', version });
      await events.append(subjects.event('decided'), payload, String(at));
    }
    expect((await collect({ last: 2 })).map(({ at }) => at)).toEqual([1, 2]);
    expect((await collect({ version: 5, last: 1 })).map(({ at }) => at)).toEqual([1, 2]);
    expect(await collect({ version: 6 })).toEqual([]);
  });

  it('refuses an event that it can not read, naming it', async () => {
    const stream = eventStreamName('d');
    const events = await client.bus.openEventStream({ stream, subjects: subjects.event('>') });
    await events.append(subjects.event('odd'), new Uint8Array([0xc1]), 'odd');
    await expect(collect({})).rejects.toMatchObject({
      code: 'ISOBAR_CLI_ANSWER',
      fields: { subject: subjects.event('odd'), sequence: 4 },
    });
  });

  it('is read by people', () => {
    const at = Date.UTC(2026, 0, 2, 3, 4, 5);
    const line = renderEvent({
      schema: 1,
      at,
      kind: 'decided',
      version: 7,
      reason: 'rank 3 died',
      gain: 0.123456,
      ranks: [1, 2],
      balancedness: { before: 0.7325431679484771, after: 1 },
    });
    expect(line).toBe(
      '2026-01-02T03:04:05.000Z  decided             version=7  reason="rank 3 died"  gain=0.1235  ranks=[1,2]  balancedness={"before":0.7325,"after":1}',
    );
  });
});

describe('a deployment that nobody named', () => {
  const ask = (...words: string[]) =>
    createProgram().parseAsync(['node', 'isobar', '--server', server.url, ...words]);

  it('is told of where nobody answers for it, with an example', async () => {
    await expect(ask('status')).rejects.toMatchObject({
      code: 'ISOBAR_BUS_NO_RESPONDERS',
      message: expect.stringContaining(
        "No deployment was named, so 'default' was asked: name yours, as in isobar -d my-model status",
      ),
    });
    const named = await ask('-d', 'd', 'status').catch((error: unknown) => error);
    expect(String(named)).not.toContain('No deployment was named');
  });
});
