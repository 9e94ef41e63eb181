import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CommandOutcome,
  type EngineAddress,
  EngineClient,
  type EngineClientOptions,
  type EngineCommandMessage,
  EngineServer,
} from '@isobar/engine';
import { type EngineState, IsobarError } from '@isobar/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { description, stateAt } from './described-engine.js';
import { RawAgent } from './raw-agent.js';

const fence = { term: 1, nonce: '0123456789abcdef' };
const member = { rank: 3, incarnation: 'abcdef0123456789' };
const query: EngineCommandMessage = { kind: 'query', fence };

let directory: string;
let address: EngineAddress;
let step = 0;
const toClose: Array<() => void | Promise<void>> = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-port-'));
  address = { path: join(directory, 'engine.sock') };
  step = 0;
});

afterEach(async () => {
  for (const close of toClose.splice(0).reverse()) await close();
  await rm(directory, { recursive: true });
});

async function serve(
  handle: (command: EngineCommandMessage) => void | Promise<void>,
): Promise<{ server: EngineServer; errors: IsobarError[] }> {
  const errors: IsobarError[] = [];
  const server = await EngineServer.listen({
    address,
    hello: () => ({ description, state: stateAt(step) }),
    handle,
    onError: (error) => errors.push(error),
  });
  toClose.push(() => server.close());
  return { server, errors };
}

/** A client that has been greeted. */
function dial(options: Partial<EngineClientOptions> = {}): Promise<EngineClient> {
  return new Promise((resolve) => {
    const client = new EngineClient({
      address,
      identity: { deployment: 'test', rank: 0, agent: 'c'.repeat(16) },
      redialMs: 10,
      onLoad: () => undefined,
      onProgress: () => undefined,
      onActivated: () => undefined,
      onChanged: () => undefined,
      onReplaced: () => undefined,
      onRefused: () => undefined,
      onLost: () => undefined,
      onError: () => undefined,
      ...options,
      onHello: (hello) => {
        options.onHello?.(hello);
        resolve(client);
      },
    });
    toClose.push(() => client.stop());
    client.start();
  });
}

function path(): string {
  if ('path' in address) return address.path;
  throw new Error('a Unix socket was expected');
}

function outcomeOf(client: EngineClient, timeoutMs = 10_000): Promise<CommandOutcome> {
  return new Promise((resolve) => client.command(query, timeoutMs, resolve));
}

describe('the engine port', () => {
  it('hands states over in the order in which the engine had them', async () => {
    const told: number[] = [];
    const { server } = await serve(() => {
      step = 1;
      // Told right behind the answer, mostly in one chunk with it.
      queueMicrotask(() => {
        step = 2;
        server.sendActivated(stateAt(step));
      });
    });
    await new Promise<void>((resolve) => {
      void dial({
        onActivated: (state) => {
          told.push(state.step);
          resolve();
        },
      }).then((client) =>
        client.command(query, 10_000, (outcome) => {
          if (outcome.ok) told.push(outcome.state.step);
        }),
      );
    });
    expect(told).toEqual([1, 2]);
  });

  it("carries the engine's refusal with its code", async () => {
    await serve(() => {
      throw new IsobarError('ISOBAR_ENGINE_FENCED', 'no');
    });
    expect(await outcomeOf(await dial())).toMatchObject({
      ok: false,
      explicit: true,
      error: { code: 'ISOBAR_ENGINE_FENCED' },
    });
  });

  it('says that nothing is known of a command where the engine is gone or silent', async () => {
    const { server } = await serve(() => new Promise(() => undefined));
    const client = await dial();
    expect(await outcomeOf(client, 20)).toMatchObject({
      explicit: false,
      error: { code: 'ISOBAR_ENGINE_TIMEOUT' },
    });
    const outcome = outcomeOf(client);
    await server.close();
    expect(await outcome).toMatchObject({
      explicit: false,
      error: { code: 'ISOBAR_ENGINE_DISCONNECTED' },
    });
  });

  it('serves the agent that connected last, and the older one dials no more (S3)', async () => {
    await serve(() => undefined);
    const story: string[] = [];
    const older = await new Promise<EngineClient>((resolve) => {
      const greeted = dial({
        onLost: () => story.push('lost'),
        onReplaced: (by) => {
          story.push(`replaced by ${by}`);
          void greeted.then(resolve);
        },
      });
      const identity = { deployment: 'test', rank: 0, agent: 'd'.repeat(16) };
      void greeted.then(() => dial({ identity }));
    });
    expect(story).toEqual(['lost', `replaced by ${'d'.repeat(16)}`]);
    expect(await outcomeOf(older)).toMatchObject({
      explicit: false,
      error: { code: 'ISOBAR_ENGINE_DISCONNECTED' },
    });
  });

  it('leaves what an older agent still sends without effect (S3)', async () => {
    const terms: number[] = [];
    const { server } = await serve(({ fence: { term } }) => {
      terms.push(term);
    });
    // An older agent that stops reading, and so does not know that it was replaced.
    const older = await RawAgent.connect(path());
    toClose.push(() => older.close());
    older.greet();
    await older.hears('hello');
    older.pause();
    // More than the socket takes in: the goodbye waits behind it.
    server.sendChanged({ ...stateAt(0), physicalToLogical: new Int32Array(1_000_000) });
    const newer = await dial();
    const command = { kind: 'query', fence: { ...fence, term: 9 } };
    older.say({ id: 0, command });
    for (let times = 0; times < 3; times += 1) await outcomeOf(newer);
    expect(terms).toEqual([1, 1, 1]);
  });

  it('tells of changes that the agent did not ask for', async () => {
    const { server } = await serve(() => undefined);
    const state = await new Promise<EngineState>((resolve) => {
      void dial({ onChanged: resolve }).then(() => {
        server.sendChanged({ ...stateAt(7), standing: 'stopped', brokenPeers: [member] });
      });
    });
    expect(state).toMatchObject({ step: 7, standing: 'stopped', brokenPeers: [member] });
  });

  it.each<EngineCommandMessage>([
    { kind: 'adopt', fence, record: Uint8Array.of(1, 2) },
    { kind: 'cut', fence, member },
  ])('carries the command $kind', async (command) => {
    const heard: EngineCommandMessage[] = [];
    await serve((each) => {
      heard.push(each);
    });
    const client = await dial();
    await new Promise((resolve) => client.command(command, 10_000, resolve));
    expect(heard).toEqual([command]);
  });

  it('begins anew where the agent asks for it', async () => {
    await serve(() => undefined);
    const greetings: Array<() => void> = [];
    const greeted = [0, 1].map(() => new Promise<void>((resolve) => greetings.push(resolve)));
    let lost = 0;
    const onLost = () => {
      lost += 1;
    };
    const client = await dial({ onHello: () => greetings.shift()?.(), onLost });
    client.reset();
    await greeted[1];
    expect(lost).toBe(1);
  });

  it('finds an engine that was restarted', async () => {
    const { server } = await serve(() => undefined);
    const greetings: Array<() => void> = [];
    const greeted = [0, 1].map(() => new Promise<void>((resolve) => greetings.push(resolve)));
    let lost = 0;
    const onLost = () => {
      lost += 1;
    };
    void dial({ onHello: () => greetings.shift()?.(), onLost });
    await greeted[0];
    await server.close();
    await serve(() => undefined);
    await greeted[1];
    expect(lost).toBe(1);
  });

  it('ends the connection of an agent that sends rubbish, and serves on', async () => {
    const { errors } = await serve(() => undefined);
    const rubbish = await RawAgent.connect(path());
    toClose.push(() => rubbish.close());
    rubbish.greet();
    await rubbish.hears('hello');
    rubbish.write(Buffer.from([0, 0, 0, 2, 0xc1, 0xc1]));
    expect((await rubbish.ended()).at(-1)).toMatchObject({
      kind: 'refused',
      code: 'ISOBAR_PROTOCOL_MALFORMED',
    });
    expect(errors).toMatchObject([{ code: 'ISOBAR_PROTOCOL_MALFORMED' }]);
    expect((await outcomeOf(await dial())).ok).toBe(true);
  });

  it('leaves an engine that does not say hello', async () => {
    const mute = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => mute.listen(path(), resolve));
    toClose.push(() => new Promise<void>((resolve) => mute.close(() => resolve())));
    const error = await new Promise<IsobarError>((resolve) => {
      void dial({ helloDeadlineMs: 20, onError: resolve });
    });
    expect(error).toMatchObject({ cause: { code: 'ISOBAR_ENGINE_TIMEOUT' } });
  });
});
