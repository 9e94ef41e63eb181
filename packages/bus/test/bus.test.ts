import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const text = (value: string) => new TextEncoder().encode(value);
const guard = new ProcessGuard();
const errors: IsobarError[] = [];
let server: NatsServer;
let bus: Bus;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-bus-'));
  guard.removeAtEnd(directory);
  server = await startNatsServer({ directory, guard });
  const onError = (error: IsobarError) => errors.push(error);
  bus = await connectBus({ servers: [server.url], name: 'test', onError });
}, 60_000);

afterAll(async () => {
  await bus.close();
  await server.stop();
  await guard.close();
});

describe('records', () => {
  it('are created once, never a second time', async () => {
    const records = await bus.openRecords({ bucket: 'once' });
    const results = await Promise.all(
      ['a', 'b', 'c'].map((value) => records.createOnce('map.1', text(value))),
    );
    expect(results.map(({ kind }) => kind).sort()).toEqual(['created', 'exists', 'exists']);
    const stored = await records.get('map.1');
    for (const result of results) {
      if (result.kind === 'exists') expect(result.value).toEqual(stored?.value);
    }
  });

  it('change only from the revision that the writer has seen', async () => {
    const records = await bus.openRecords({ bucket: 'compare' });
    const first = await records.compareAndSet('leader', text('one'), 0);
    if (first.kind !== 'set') throw new Error(first.kind);
    expect((await records.compareAndSet('leader', text('two'), first.revision)).kind).toBe('set');
    expect(await records.compareAndSet('leader', text('late'), first.revision)).toEqual({
      kind: 'conflict',
    });
    expect((await records.get('leader'))?.value).toEqual(text('two'));
    expect(await records.get('absent')).toBeNull();
  });
});

describe('commands', () => {
  it('are answered, and refused with the code of the refusal', async () => {
    await bus.serveCommands(
      { name: 'test', version: '1.0.0', description: 'test', subjectPrefix: 'commands' },
      [
        { name: 'echo', description: 'gives back', handle: (payload) => payload },
        {
          name: 'refuse',
          description: 'refuses',
          handle: () => {
            throw new IsobarError('ISOBAR_TEST_REFUSED', 'not\nnow');
          },
        },
      ],
    );
    await bus.flush();
    const echoed = await bus.request('commands.echo', text('x'), 5_000);
    expect(new TextDecoder().decode(echoed)).toBe('x');
    await expect(bus.request('commands.refuse', text(''), 5_000)).rejects.toMatchObject({
      code: 'ISOBAR_BUS_SERVICE_ERROR',
      fields: { serviceCode: 'ISOBAR_TEST_REFUSED', serviceMessage: 'not now' },
    });
  });
});

describe('two processes that serve the same commands', () => {
  const options = (queueGroup: string) => ({
    name: 'pair',
    version: '1.0.0',
    description: 'test',
    subjectPrefix: `pair`,
    queueGroup,
  });

  it('in groups of their own both get each command, and one may leave it to the other', async () => {
    let silent = 0;
    const quiet = await bus.serveCommands(options('one'), [
      {
        name: 'who',
        description: 'says nothing',
        handle: () => {
          silent += 1;
          return null;
        },
      },
    ]);
    const speaking = await bus.serveCommands(options('two'), [
      { name: 'who', description: 'answers', handle: () => text('two') },
    ]);
    await bus.flush();
    for (let asked = 1; asked <= 5; asked += 1) {
      expect(new TextDecoder().decode(await bus.request('pair.who', text(''), 5_000))).toBe('two');
    }
    expect(silent).toBe(5);
    await quiet.stop();
    await speaking.stop();
    await expect(bus.request('pair.who', text(''), 5_000)).rejects.toMatchObject({
      code: 'ISOBAR_BUS_NO_RESPONDERS',
    });
  });
});

describe('a request to many', () => {
  it('ends with the last answer that is expected, long before its time', async () => {
    for (const name of ['a', 'b', 'c']) bus.subscribe('many', (m) => void m.respond(text(name)));
    await bus.flush();
    const answers = await bus.requestMany('many', text(''), { answersMax: 3, timeoutMs: 600_000 });
    const names = answers.map((answer) => new TextDecoder().decode(answer));
    expect(names.sort()).toEqual(['a', 'b', 'c']);
  });

  it('gives the answers there are when its time is over, and none where nobody listens', async () => {
    bus.subscribe('few', (message) => void message.respond(text('a')));
    await bus.flush();
    const wait = { answersMax: 2, timeoutMs: 200 };
    expect(await bus.requestMany('few', text(''), wait)).toHaveLength(1);
    expect(await bus.requestMany('nobody', text(''), wait)).toEqual([]);
  });
});

describe('the bus', () => {
  it('says where nobody answers', async () => {
    await expect(bus.request('nobody', text(''), 5_000)).rejects.toMatchObject({
      code: 'ISOBAR_BUS_NO_RESPONDERS',
    });
  });

  it('refuses what the server would not take', () => {
    const large = new Uint8Array(bus.maxPayloadBytes + 1);
    expect(() => bus.publish('large', large)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_BUS_PAYLOAD_TOO_LARGE' }),
    );
  });

  it('tells of a handler that fails, and hands over the next message', async () => {
    const handled: string[] = [];
    await new Promise<void>((resolve) => {
      bus.subscribe('failing', ({ payload }) => {
        const word = new TextDecoder().decode(payload);
        handled.push(word);
        if (word === 'second') resolve();
        else throw new Error('broken');
      });
      bus.publish('failing', text('first'));
      bus.publish('failing', text('second'));
    });
    expect(handled).toEqual(['first', 'second']);
    expect(errors.at(-1)).toMatchObject({ code: 'ISOBAR_BUS_HANDLER_FAILED' });
  });

  it('names the servers of which none answers', async () => {
    const servers = ['nats://127.0.0.1:1'];
    const onError = () => undefined;
    await expect(connectBus({ servers, name: 'test', onError })).rejects.toMatchObject({
      code: 'ISOBAR_BUS_UNREACHABLE',
      fields: { servers },
    });
  });
});
