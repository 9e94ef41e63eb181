import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EngineClient,
  type EngineClientOptions,
  EngineServer,
  type EngineServerOptions,
  encodeFrame,
} from '@isobar/engine';
import { encode, type IsobarError } from '@isobar/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { description, stateAt } from './described-engine.js';
import { RawAgent } from './raw-agent.js';

let directory: string;
let path: string;
let told: string[];
const toClose: Array<() => void | Promise<void>> = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-greeting-'));
  path = join(directory, 'engine.sock');
  told = [];
});

afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close();
  await rm(directory, { recursive: true });
});

async function serve(options: Partial<EngineServerOptions> = {}): Promise<EngineServer> {
  const server = await EngineServer.listen({
    address: { path },
    hello: () => ({ description, state: stateAt(0) }),
    handle: () => undefined,
    onError: ({ code }) => told.push(code),
    ...options,
  });
  toClose.push(() => server.close());
  return server;
}

async function dial(): Promise<RawAgent> {
  const agent = await RawAgent.connect(path);
  toClose.push(() => agent.close());
  return agent;
}

function client(options: Partial<EngineClientOptions>): void {
  const dialling = new EngineClient({
    address: { path },
    identity: { deployment: 'test', rank: 0, agent: 'c'.repeat(16) },
    redialMs: 5,
    refusedRedialMs: 5,
    onHello: () => undefined,
    onLoad: () => undefined,
    onProgress: () => undefined,
    onActivated: () => undefined,
    onChanged: () => undefined,
    onReplaced: () => undefined,
    onRefused: () => undefined,
    onLost: () => undefined,
    onError: () => undefined,
    ...options,
  });
  toClose.push(() => dialling.stop());
  dialling.start();
}

/** An engine that answers each connection as the test says. */
async function listen(onConnection: (socket: Socket) => void): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => onConnection(socket));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  toClose.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
}

const refusedWith = (code: string) => [expect.objectContaining({ kind: 'refused', code })];
const [older, newer] = ['1'.repeat(16), '2'.repeat(16)];

describe('the greeting, at an engine', () => {
  it.each([
    ['of another deployment', { deployment: 'west' }, 'ISOBAR_ENGINE_WRONG_AGENT'],
    ['of another rank', { rank: 7 }, 'ISOBAR_ENGINE_WRONG_AGENT'],
    ['that speaks later versions only', { portVersions: [2, 9] }, 'ISOBAR_ENGINE_PORT_VERSION'],
    ['with versions in no order', { portVersions: [1, 0] }, 'ISOBAR_PROTOCOL_MALFORMED'],
    ['of another schema', { schema: 2 }, 'ISOBAR_PROTOCOL_SCHEMA_VERSION'],
  ])('refuses an agent %s, and tells both', async (_, fields, code) => {
    await serve();
    const agent = await dial();
    agent.greet(fields);
    expect(await agent.ended()).toEqual(refusedWith(code));
    expect(told).toEqual([code]);
  });

  it('chooses the highest version that both speak', async () => {
    await serve();
    const agent = await dial();
    agent.greet({ portVersions: [1, 65_535] });
    expect(await agent.hears('hello')).toMatchObject({ portVersion: 1 });
  });

  it('comes first: who does not greet is refused, and takes the engine from nobody', async () => {
    const server = await serve({ greetingDeadlineMs: 50 });
    const served = await dial();
    served.greet();
    await served.hears('hello');
    const [silent, rubbish, oversized, hasty] = await Promise.all([dial(), dial(), dial(), dial()]);
    rubbish.write(Buffer.of(0, 0, 0, 2, 0xc1, 0xc1));
    // Before the greeting far less is read than a frame may have.
    oversized.write(Buffer.of(0, 0, 0x10, 1));
    hasty.say({ id: 0, command: { kind: 'query', fence: { term: 1, nonce: '0'.repeat(16) } } });
    expect(await silent.ended()).toEqual(refusedWith('ISOBAR_ENGINE_TIMEOUT'));
    expect(await rubbish.ended()).toEqual(refusedWith('ISOBAR_PROTOCOL_MALFORMED'));
    expect(await oversized.ended()).toEqual(refusedWith('ISOBAR_ENGINE_FRAME_TOO_LARGE'));
    expect(await hasty.ended()).toEqual(refusedWith('ISOBAR_PROTOCOL_MALFORMED'));
    expect(server.hasAgent).toBe(true);
    server.sendChanged(stateAt(7));
    expect(await served.hears('changed')).toMatchObject({ state: { step: 7 } });
  });

  it('is not waited for on any number of connections', async () => {
    await serve({ greetingDeadlineMs: 600_000 });
    const first = await dial();
    for (let count = 0; count < 16; count += 1) await dial();
    expect(await first.ended()).toEqual([]);
    const agent = await dial();
    agent.greet();
    await agent.hears('hello');
  });

  it('of an agent that is refused again and again is told once, until one is served', async () => {
    await serve();
    const refused = async () => {
      const agent = await dial();
      agent.greet({ rank: 7 });
      await agent.ended();
    };
    await refused();
    await refused();
    expect(told).toHaveLength(1);
    const served = await dial();
    served.greet();
    await served.hears('hello');
    await refused();
    expect(told).toHaveLength(2);
  });

  it('of the agent that connected later wins, though the other comes after it (S3)', async () => {
    await serve();
    const first = await dial();
    const second = await dial();
    second.greet({ agent: newer });
    await second.hears('hello');
    first.greet({ agent: older });
    expect(await first.ended()).toEqual([{ schema: 1, kind: 'replaced', by: newer }]);
    expect(told).toEqual(['ISOBAR_AGENT_REPLACED']);
    second.say({ id: 3, command: { kind: 'query', fence: { term: 1, nonce: '0'.repeat(16) } } });
    expect(await second.hears('result')).toMatchObject({ id: 3, ok: true });
  });

  it('of an agent that connected earlier is taken once the later one is gone', async () => {
    const server = await serve();
    const first = await dial();
    const second = await dial();
    second.greet({ agent: newer });
    await second.hears('hello');
    second.close();
    await expect.poll(() => server.hasAgent).toBe(false);
    first.greet({ agent: older });
    await first.hears('hello');
  });

  it('of an agent that has dialled again ends its older connection, and is no news', async () => {
    await serve();
    const first = await dial();
    first.greet();
    await first.hears('hello');
    const second = await dial();
    second.greet();
    await second.hears('hello');
    await first.ended();
    expect(told).toEqual([]);
  });
});

describe('the greeting, at an agent', () => {
  it('that is refused tells of it once, and dials again', async () => {
    let connections = 0;
    await listen((socket) => {
      connections += 1;
      const refusal = { schema: 1, kind: 'refused', code: 'ISOBAR_ENGINE_PORT_VERSION' };
      socket.end(encodeFrame(encode({ ...refusal, message: 'speak up' })));
    });
    const refusals: IsobarError[] = [];
    client({ onRefused: (error) => refusals.push(error) });
    await expect.poll(() => connections).toBeGreaterThan(3);
    expect(refusals).toMatchObject([{ code: 'ISOBAR_ENGINE_PORT_VERSION', message: 'speak up' }]);
  });

  it('is answered with a version that it speaks, or the engine is left', async () => {
    await listen((socket) => {
      const hello = { schema: 1, kind: 'hello', portVersion: 2, description, state: stateAt(0) };
      socket.write(encodeFrame(encode(hello)));
    });
    const error = await new Promise<IsobarError>((resolve) => client({ onError: resolve }));
    expect(error).toMatchObject({
      code: 'ISOBAR_ENGINE_DISCONNECTED',
      cause: { code: 'ISOBAR_PROTOCOL_MALFORMED', fields: { field: 'portVersion' } },
    });
  });

  it('that comes too late ends the agent, which is told by whom it was replaced', async () => {
    await listen((socket) => {
      socket.end(encodeFrame(encode({ schema: 1, kind: 'replaced', by: newer })));
    });
    let lost = 0;
    const onLost = () => {
      lost += 1;
    };
    const by = await new Promise<string>((resolve) => client({ onReplaced: resolve, onLost }));
    expect({ by, lost }).toEqual({ by: newer, lost: 0 });
  });
});
