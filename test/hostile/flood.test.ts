import { readFileSync } from 'node:fs';
import { kindOfSubject, type MessageKind, permissionsOf } from '@isobar/protocol';
import { connect, type NatsConnection } from 'nats';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { noTokenWrong, SmallCluster, smallDemo } from '../e2e/small-cluster.js';
import { hostileMessages, messagesInAll, seed } from './fuzz-settings.js';
import { mebibytes } from './heap.js';
import { dryRuns, isForgedOrder, mayChange } from './well-formed.js';

const deployment = 'demo';
const refusalPeriodMs = 5_000;
const refusedSchema = z.array(z.object({ source: z.string() }));
const waits = { timeout: 90_000, interval: 200 };
/** Messages before the attacker waits until the server has them. */
const atOnce = 500;

let small: SmallCluster | null = null;
let attacker: NatsConnection | null = null;

afterEach(async () => {
  await attacker?.close();
  await small?.close();
  attacker = null;
  small = null;
});

/** Subjects on which a process of the deployment listens, each concrete. */
function subjectsHeard(): string[] {
  const ranks = Array.from({ length: smallDemo.ranks }, (_, rank) => rank);
  const roles = [
    ...ranks.map((rank) => ({ kind: 'agent', rank }) as const),
    { kind: 'coordinator', index: 0 } as const,
  ];
  const patterns = roles.flatMap((role) => {
    const { subscribe, answer } = permissionsOf(deployment, role);
    return [...subscribe, ...answer].filter((subject) => !subject.startsWith('$'));
  });
  const concrete = patterns.map((pattern) => pattern.replace('vote.*', 'vote.2').replace('*', '1'));
  return [...new Set(concrete)];
}

function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
}

/** Messages of each kind, as the cluster sends them. */
function capture(running: SmallCluster) {
  const captured = new Map<MessageKind, Uint8Array[]>();
  const listening = running.client.bus.subscribe(
    `isobar.v1.${deployment}.>`,
    ({ subject, payload }) => {
      const kind = kindOfSubject(deployment, subject);
      captured.set(kind, [...(captured.get(kind) ?? []), new Uint8Array(payload)].slice(-8));
    },
  );
  return { captured, stop: () => listening.unsubscribe() };
}

/** Whose refusals the alarms have told. */
function sourcesOf({ events }: SmallCluster): string[] {
  const told = events
    .filter(({ alarm }) => alarm === 'messages-refused')
    .flatMap(({ refused }) => refusedSchema.parse(refused).map(({ source }) => source));
  return [...new Set(told)].toSorted();
}

describe('a cluster under a flood of hostile messages on every subject', () => {
  it('serves, balances and obeys as before, and says what it refuses', async () => {
    const running = await SmallCluster.start({
      nats: { refusalPeriodMs },
      coordinator: {
        mode: 'automatic',
        runawayFollowMs: 5_000,
        runawayFollowEveryMs: 0,
      },
    });
    small = running;
    // Whoever leads may have much to refuse before it comes to a question.
    const told = () => vi.waitFor(() => running.status(), waits);
    const { captured, stop } = capture(running);
    const seen = () => ['prepare', 'outcome', 'retire', 'state', 'vote', 'report', 'load'] as const;
    await expect.poll(() => seen().every((kind) => captured.has(kind)), waits).toBe(true);
    stop();
    const [state = new Uint8Array(0)] = captured.get('state') ?? [];
    // Of these none comes in a cluster that is well: another order is what they are made of.
    for (const kind of ['cut', 'query', 'outcomes-question', 'leave-question'] as const)
      captured.set(kind, [state]);

    const names = ['coordinator-0', 'agent-0', 'agent-1', 'agent-2', 'agent-3'];
    const pids = () => names.map((name) => running.cluster.process(name).pid ?? 0);
    const before = await told();
    const pidsBefore = pids();
    attacker = await connect({ servers: running.cluster.natsUrl });
    const targets = subjectsHeard();
    const perSubject = Math.ceil(messagesInAll / targets.length);
    let sent = 0;
    let warm = pidsBefore.map(residentBytes);
    for (const subject of targets) {
      const kind = kindOfSubject(deployment, subject);
      const isCommand = kind === 'command';
      const valid = isCommand ? dryRuns : (captured.get(kind) ?? []);
      for (const payload of hostileMessages(subject, valid, perSubject)) {
        if (payload.length > (attacker.info?.max_payload ?? 0)) continue;
        if (isCommand ? mayChange(payload) : isForgedOrder(kind, payload, 0)) continue;
        attacker.publish(subject, payload, isCommand ? { reply: '_INBOX.nobody' } : {});
        sent += 1;
        if (sent % atOnce === 0) await attacker.flush();
        if (sent === Math.floor(messagesInAll / 4)) warm = pidsBefore.map(residentBytes);
      }
    }
    await attacker.flush();

    const alarm = await running.event((event) => event.alarm === 'messages-refused');
    expect(alarm).toMatchObject({ kind: 'alarm' });
    const during = await told();
    expect(during.messagesRefused).toBeGreaterThan(0);
    const everybody = ['coordinator', 'rank 0', 'rank 1', 'rank 2', 'rank 3'];
    await expect.poll(() => sourcesOf(running), waits).toEqual(everybody);
    const cleared = await running.event((event) => event.kind === 'alarm-cleared');
    expect(cleared).toMatchObject({ alarm: 'messages-refused' });

    const { version } = (await told()).mapping;
    await running.client.ask('drain', { rank: 1 });
    await running.committed(version + 1);
    await expect.poll(async () => (await told()).swap, waits).toBeNull();
    const after = await told();
    const resident = pids().map(residentBytes);
    process.stdout.write(
      `${sent} messages on ${targets.length} subjects, seed ${seed}, ${during.messagesRefused} refused by the coordinator; resident ` +
        `${names.map((name, at) => `${name} ${mebibytes(warm[at] ?? 0)} → ${mebibytes(resident[at] ?? 0)}`).join(', ')}; ` +
        `term ${before.leader.term} → ${after.leader.term}, version ${version} → ${after.mapping.version}\n`,
    );
    expect(pids()).toEqual(pidsBefore);
    resident.forEach((bytes, at) => {
      expect(bytes).toBeLessThan(3 * (warm[at] ?? 0) + 128 * 2 ** 20);
    });
    expect(after).toMatchObject({ mode: 'automatic', paused: false, drained: [1], dead: [] });
    expect(after.ranks.every((rank) => rank.engineConnected)).toBe(true);
    const decided = running.events.filter(({ kind, outcome }) => {
      return kind === 'swap-finished' && outcome === 'committed';
    });
    expect([before.mapping.version, ...decided.map((event) => event.version)]).toContain(
      after.mapping.version,
    );
    expect(await running.conclude()).toMatchObject(noTokenWrong);
  });
});
