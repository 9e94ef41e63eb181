import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bus, connectBus, Intake } from '@isobar/bus';
import { RankMessages } from '@isobar/coordinator';
import { type CoordinatorEvent, encode, subjectsOf } from '@isobar/protocol';
import { createLogger } from '@isobar/telemetry';
import { type NatsServer, ProcessGuard, startNatsServer } from '@isobar/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const guard = new ProcessGuard();
const subjects = subjectsOf('d');
const fence = { term: 1, nonce: '0'.repeat(16) };
const incarnation = 'a'.repeat(16);
let server: NatsServer;
let bus: Bus;

const vote = (rank: number) => ({
  schema: 1,
  fence,
  rank,
  incarnation,
  version: 5,
  digest: '0'.repeat(64),
  base: { version: 4, digest: '0'.repeat(64) },
  yes: true,
  reason: '',
});
const report = (rank: number) => ({
  schema: 1,
  rank,
  fence: null,
  engine: null,
  exited: [incarnation],
  progress: null,
  refused: null,
  schemaRange: [1, 1],
});
const sample = (rank: number) => ({
  schema: 1,
  rank,
  incarnation,
  mappingVersion: 1,
  firstStep: 0,
  lastStep: 1,
  destination: new Float64Array([1]),
  stepMillis: { count: 1, sum: 1, max: 1 },
});
const leave = (rank: number) => ({ schema: 1, rank, incarnation, requestId: 'leave-1' });
const answer = (rank: number) => ({
  schema: 1,
  rank,
  fence,
  votedUpTo: 0,
  outcomes: [],
  exited: [incarnation],
  engine: null,
});

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-rank-messages-'));
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

describe('messages of ranks', () => {
  const heard: string[] = [];
  const refused: string[] = [];
  let wake: () => void = () => undefined;
  let messages: RankMessages;

  const note = (list: string[], what: string) => {
    list.push(what);
    wake();
  };
  /** Resolves once so many messages have been taken or refused. */
  const taken = (count: number) =>
    new Promise<void>((resolve) => {
      wake = () => {
        if (heard.length + refused.length >= count) resolve();
      };
      wake();
    });

  beforeEach(() => {
    heard.length = 0;
    refused.length = 0;
    messages = new RankMessages({
      bus,
      subjects,
      intake: new Intake({
        deployment: 'test',
        logger: {
          info: () => undefined,
          warn: ({ message, reason }) => note(refused, `${message}: ${reason}`),
        },
      }),
      numRanks: 8,
      logger: createLogger({ name: 'test', level: 'silent' }),
      queryDeadlineMs: 5_000,
      send: (event: CoordinatorEvent) => note(heard, event.kind),
      onSample: ({ rank }) => note(heard, `load of ${rank}`),
      onReport: () => undefined,
      onLeave: (question) => {
        note(heard, `leave of ${question.rank}`);
        return Promise.resolve({ schema: 1, state: 'leaving', code: null, reason: '' });
      },
      onFailure: (cause) => note(refused, String(cause)),
    });
    messages.listen();
  });
  afterEach(() => messages.stop());

  it('are heard from the rank whose subject they came on', async () => {
    bus.publish(subjects.vote(5, 3), encode(vote(3)));
    bus.publish(subjects.report(3), encode(report(3)));
    bus.publish(subjects.load(3), encode(sample(3)));
    bus.publish(subjects.leave(3), encode(leave(3)));
    await taken(4);
    // A question is read as it comes; the others by turns of ranks.
    const all = ['load of 3', 'leave of 3', 'report', 'vote'];
    expect({ heard: heard.toSorted(), refused }).toEqual({ heard: all.toSorted(), refused: [] });
  });

  it('are refused where they name another: a server permits a rank its subjects', async () => {
    bus.publish(subjects.vote(5, 3), encode(vote(4)));
    bus.publish(subjects.report(3), encode(report(4)));
    bus.publish(subjects.load(3), encode(sample(4)));
    bus.publish(subjects.leave(3), encode(leave(4)));
    await taken(4);
    expect(heard).toEqual([]);
    expect(refused.toSorted()).toEqual(
      ['leave-question', 'load', 'report', 'vote'].map((kind) => `${kind}: wrong-rank`),
    );
  });

  it('are no answer to the question of another', async () => {
    for (const rank of [3, 4]) {
      const handle = bus.subscribe(subjects.query(rank), (message) => {
        message.respond(encode(answer(4)));
      });
      await bus.flush();
      messages.ask([rank], fence);
      await taken(rank - 2);
      handle.unsubscribe();
    }
    expect(refused).toEqual(['answer: wrong-rank']);
    expect(heard).toEqual(['answer']);
  });

  it('are asked for a few at a time: answers are large', async () => {
    let asked = 0;
    let told = 0;
    let atATime = 0;
    const respond: (() => void)[] = [];
    let next: () => void = () => undefined;
    const handle = bus.subscribe(`${subjects.query('*')}`, (message) => {
      asked += 1;
      atATime = Math.max(atATime, asked - told);
      const rank = Number(message.subject.split('.')[4]);
      respond.push(() => message.respond(encode(answer(rank))));
      next();
    });
    await bus.flush();
    messages.ask([...Array(100).keys()], fence);
    while (told < 100) {
      while (respond.length === 0) {
        await new Promise<void>((resolve) => {
          next = resolve;
        });
      }
      told += 1;
      respond.shift()?.();
    }
    await taken(100);
    handle.unsubscribe();
    expect(atATime).toBeLessThanOrEqual(32);
    expect(heard).toHaveLength(100);
  });
});
