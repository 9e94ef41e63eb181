import { setImmediate as turn } from 'node:timers/promises';
import { Intake } from '@isobar/bus';
import { RankMessages } from '@isobar/coordinator';
import {
  decode,
  encode,
  IsobarError,
  kindOfSubject,
  type MessageKind,
  mapRecordKey,
  permissionsOf,
  readDecidedVersion,
  stepCoordinator,
  subjectsOf,
} from '@isobar/protocol';
import { createLogger } from '@isobar/telemetry';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import {
  leadingWorld,
  testWorld,
} from '../../packages/protocol/test/coordinator/coordinator-world.js';
import { hostileMessages, messagesInAll, seed } from './fuzz-settings.js';
import { mebibytes, memoryLevel } from './heap.js';
import { numRanks } from './imagined-engine.js';
import { deployment, InProcessCluster } from './in-process-cluster.js';
import { MemoryBus } from './memory-bus.js';
import { dryRuns, isForgedOrder, mayChange, orderSchema } from './well-formed.js';

/** Messages between two turns of the event loop: fewer than a mailbox holds. */
const atOnce = 256;
/** Share of all messages after which memory is taken for warm. */
const warmShare = 0.25;

let cluster: InProcessCluster;
const captured = new Map<MessageKind, Uint8Array[]>();

/** Every subject that a process of the deployment listens on, by its permissions. */
function subjectsHeard(): string[] {
  const agent = permissionsOf(deployment, { kind: 'agent', rank: 1 });
  const coordinator = permissionsOf(deployment, { kind: 'coordinator', index: 0 });
  return [agent, coordinator]
    .flatMap(({ subscribe, answer }) => [...subscribe, ...answer])
    .filter((subject) => !subject.startsWith('$'));
}

/** A subject that a pattern stands for. */
function concrete(pattern: string): string {
  const [version, rank] = pattern.includes('.vote.') ? ['2', '1'] : ['1', '1'];
  return pattern.replace('*', version ?? '1').replace('*', rank ?? '1');
}

function capture(): void {
  for (const [subject, payloads] of cluster.bus.published) {
    const kind = subject.startsWith('answer to ')
      ? answerKind(subject.slice('answer to '.length))
      : kindOfSubject(deployment, subject);
    if (kind !== 'other') captured.set(kind, [...(captured.get(kind) ?? []), ...payloads]);
  }
  // No rank is cut, and none misses an outcome or leaves, in a cluster that is well.
  const { fence } = decode('state', captured.get('state')?.[0] ?? new Uint8Array(0), orderSchema);
  const member = { rank: 2, incarnation: '3'.repeat(16) };
  captured.set('cut', [encode({ schema: 1, fence, member })]);
  captured.set('outcomes-question', [encode({ schema: 1, rank: 1, since: 0 })]);
  captured.set('leave-question', [
    encode({ schema: 1, rank: 1, incarnation: '3'.repeat(16), requestId: '4'.repeat(16) }),
  ]);
  const record = cluster.bus.records.get(mapRecordKey(1))?.value ?? new Uint8Array(0);
  const outcomes = [{ version: 1, outcome: 'committed', record }];
  captured.set('outcomes-answer', [encode({ schema: 1, fence, outcomes })]);
}

function answerKind(subject: string): MessageKind {
  return kindOfSubject(deployment, subject) === 'query' ? 'answer' : 'outcomes-answer';
}

async function leadsAgain(): Promise<number> {
  const status = cluster.status() ?? (await cluster.leading());
  return status.leader.term;
}

beforeAll(async () => {
  cluster = await InProcessCluster.start();
  for (const engine of cluster.engines) engine.serve(10);
  const { load, swap } = subjectsOf(deployment);
  await vi.waitUntil(
    () => [load(1), swap('retire')].every((subject) => cluster.bus.published.has(subject)),
    { timeout: 10_000 },
  );
  capture();
}, 60_000);

afterAll(() => cluster.close());

describe('subjects that a process listens on', () => {
  it('are those that servers permit, commands apart', () => {
    const { commandPrefix } = subjectsOf(deployment);
    const permitted = subjectsHeard().filter((subject) => !subject.startsWith(commandPrefix));
    const ofRanks = cluster.bus.patterns.filter((pattern) => !/\.agent\.[02]\./.test(pattern));
    expect(ofRanks.toSorted()).toEqual(permitted.toSorted());
    const commands = subjectsHeard().filter((subject) => subject.startsWith(commandPrefix));
    const served = cluster.bus.endpoints.map(({ name }) => `${commandPrefix}.${name}`);
    expect(served.toSorted()).toEqual(commands.toSorted());
  });
});

describe('hostile messages on every subject', () => {
  it(`${messagesInAll} of them: nothing fails, memory stays level, nothing is applied (seed ${seed})`, async () => {
    const decided = cluster.decided();
    const status = await cluster.leading();
    const subjects = subjectsHeard();
    const perSubject = Math.ceil(messagesInAll / (subjects.length + 2));
    let sent = 0;
    let forged = 0;
    let warm = memoryLevel();
    let isWarm = false;
    const startedAtMs = performance.now();

    const pace = async () => {
      sent += 1;
      if (sent % atOnce === 0) {
        await turn();
        await leadsAgain();
      }
      if (isWarm || sent < warmShare * messagesInAll) return;
      isWarm = true;
      warm = memoryLevel();
    };

    for (const pattern of subjects) {
      const kind = kindOfSubject(deployment, pattern);
      const subject = concrete(pattern);
      if (kind === 'command') {
        await askHostile(subject, perSubject, pace);
        continue;
      }
      const valid = captured.get(kind) ?? [];
      let term = await leadsAgain();
      for (const payload of hostileMessages(pattern, valid, perSubject)) {
        if (sent % atOnce === 0) term = await leadsAgain();
        if (isForgedOrder(kind, payload, term)) forged += 1;
        else cluster.bus.inject(subject, payload, () => undefined);
        await pace();
      }
    }
    await answerHostile(perSubject, pace);
    await tellHostile(perSubject, pace);

    const millis = performance.now() - startedAtMs;
    const after = memoryLevel();
    const end = await cluster.leading();
    const lines = cluster.log.lines;
    const refused = cluster.intakes.reduce((sum, intake) => sum + intake.refused, 0);
    process.stdout.write(
      `${sent} messages on ${subjects.length} subjects in ${(millis / 1_000).toFixed(1)} s, seed ${seed}; ` +
        `${refused} refused (agents hear each order), ${lines} log lines, ${forged} forged orders left out; ` +
        `live memory ${mebibytes(warm.heapBytes)} → ${mebibytes(after.heapBytes)}, ` +
        `resident ${mebibytes(warm.residentBytes)} → ${mebibytes(after.residentBytes)}; ` +
        `term ${status.leader.term} → ${end.leader.term}\n`,
    );
    expect(cluster.failures).toEqual([]);
    expect(cluster.bus.failures).toEqual([]);
    expect(refused).toBeGreaterThan(sent / 4);
    expect(lines).toBeLessThan(1_000);
    expect(after.heapBytes).toBeLessThan(2 * warm.heapBytes + 64 * 2 ** 20);
    expect(end.mapping).toEqual(status.mapping);
    expect({ mode: end.mode, drained: end.drained, paused: end.paused }).toEqual({
      mode: 'observe',
      drained: [],
      paused: false,
    });
    const committed = cluster.decided().filter((entry) => !decided.includes(entry));
    expect(committed.filter((entry) => outcomeOf(entry) === 'committed')).toEqual([]);
    for (const { mapping } of cluster.engines) {
      expect(mapping.digest()).toBe(status.mapping.digest);
    }
  }, 3_600_000);
});

function outcomeOf(entry: string): string {
  const value = Buffer.from(entry.split(' ')[1] ?? '', 'base64');
  return readDecidedVersion(value).known.outcome;
}

/** Questions that an operator could have asked, changed; what would change something is only asked. */
async function askHostile(
  subject: string,
  count: number,
  pace: () => Promise<void>,
): Promise<void> {
  const name = subject.slice(subject.lastIndexOf('.') + 1);
  const endpoint = cluster.bus.endpoints.find((of) => of.name === name);
  for (const payload of hostileMessages(subject, dryRuns, count)) {
    if (!mayChange(payload)) {
      try {
        await endpoint?.handle(payload, []);
      } catch (error) {
        if (!(error instanceof IsobarError)) throw error;
      }
    }
    await pace();
  }
}

/** Answers of a rank, to one that leads and to one that is about to: whoever answers is not asked who it is. */
async function answerHostile(count: number, pace: () => Promise<void>): Promise<void> {
  const { a: leading, group } = leadingWorld();
  const { a: takingOver, group: asked } = testWorld();
  asked.rank(1).isSilent = true;
  takingOver.run(2_000);
  expect(takingOver.role).toBe('taking-over');
  const valid = [...(captured.get('answer') ?? []), encode(group.answer(1))];
  const states = [leading.state, takingOver.state];
  const bus = new MemoryBus();
  const messages = new RankMessages({
    bus: bus.bus,
    subjects: subjectsOf(deployment),
    intake: new Intake({ deployment, logger: cluster.log }),
    numRanks,
    logger: createLogger({ name: 'fuzz', level: 'silent' }),
    queryDeadlineMs: 1_000,
    send: (event) => {
      for (const state of states) stepCoordinator(state, event, 1e6);
    },
    onSample: () => undefined,
    onReport: () => undefined,
    onLeave: () => Promise.resolve({ schema: 1, state: 'refused', code: null, reason: '' }),
    onFailure: (cause) => cluster.bus.failures.push(cause),
  });
  for (const payload of hostileMessages('answer', valid, count)) {
    bus.answerInstead = () => payload;
    messages.ask([1], leading.fence);
    await Promise.resolve();
    await pace();
  }
  await turn();
}

/** Answers of a leader to ranks that have missed an outcome. */
async function tellHostile(count: number, pace: () => Promise<void>): Promise<void> {
  const asked = subjectsOf(deployment).leader('outcomes');
  const behind = () => {
    const [state = new Uint8Array(0)] = cluster.bus.published.get(subject)?.slice(-1) ?? [];
    const told = decode('state', state, z.looseObject({ decidedUpTo: z.number() }));
    return encode({ ...told, decidedUpTo: told.decidedUpTo + 1 });
  };
  const subject = subjectsOf(deployment).swap('state');
  let term = await leadsAgain();
  for (const payload of hostileMessages(
    'outcomes-answer',
    captured.get('outcomes-answer') ?? [],
    count,
  )) {
    if (!isForgedOrder('outcomes-answer', payload, term)) {
      cluster.bus.answerInstead = (to) => (to === asked ? payload : null);
      cluster.bus.inject(subject, behind(), () => undefined);
      await turn();
      term = await leadsAgain();
    }
    await pace();
  }
  cluster.bus.answerInstead = () => null;
}
