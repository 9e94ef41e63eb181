import type { AuditEvent, StatusAnswer } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import type { Asked } from '../src/doctor/check.js';
import { examine, renderChecks } from '../src/doctor/doctor-command.js';
import { type Facts, serverClockOf } from '../src/doctor/facts.js';
import { isOldServer } from '../src/doctor/server-checks.js';
import { plain } from '../src/terminal/paint.js';
import { originOf, rankOf, statusOf, swapUnderWay } from './support/status.js';

const answer = <T>(of: T): Asked<T> => ({ kind: 'answer', answer: of });
const refusal = (code: string, message = code): Asked<never> => ({
  kind: 'refusal',
  code,
  message,
});

const stream = {
  replicas: 3,
  replicasCurrent: 3,
  onDisk: true,
  bytes: 4_096,
  messages: 12,
  bytesMax: 2 ** 28,
  ageMaxMs: 30 * 86_400_000,
  server: 'nats-2',
  atMs: null,
  newest: null,
};
const server = {
  url: 'nats-1:4222',
  name: 'nats-1',
  version: '2.10.29',
  hasJetStream: true,
  maxPayloadBytes: 1_048_576,
  cluster: 'east',
  clusterServers: ['nats-1:4222', 'nats-2:4222', 'nats-3:4222'],
  isEncrypted: true,
  roundTripMs: 1.2,
};

function factsOf(changes: Partial<Facts> = {}): Facts {
  return {
    deployment: 'demo',
    server: answer(server),
    limits: answer({ storageBytes: 8_192, storageBytesMax: null, streams: 2, streamsMax: null }),
    eventStream: answer(stream),
    recordsStream: answer(stream),
    status: answer(statusOf(8)),
    placesRefused: null,
    clock: { skewMs: 12, roundTripMs: 4 },
    serverClock: { server: 'nats-2', against: 'this machine', skewMs: -3, roundTripMs: 2 },
    record: answer({}),
    dryRun: answer({}),
    events: answer([]),
    ...changes,
  };
}

const withStatus = (changes: Partial<StatusAnswer>) =>
  factsOf({ status: answer(statusOf(8, changes)) });
const withRank = (rank: number, changes: Parameters<typeof rankOf>[1]) =>
  withStatus({
    ranks: statusOf(8).ranks.map((of) => (of.rank === rank ? rankOf(rank, changes) : of)),
  });

/** Verdicts that are not ok, by the check's name. */
function found(facts: Facts): Record<string, string> {
  const wrong = examine(facts).filter(({ verdict }) => verdict !== 'ok');
  return Object.fromEntries(wrong.map(({ name, verdict }) => [name, verdict]));
}

describe('a doctor', () => {
  it('finds nothing wrong with a healthy deployment', () => {
    expect(found(factsOf())).toEqual({});
  });

  it.each<[string, Facts, Record<string, string>]>([
    [
      'places that contradict the topology',
      withStatus({
        placeContradictions: [
          { level: 'node', ranks: [0, 1], what: 'rank 0 and 1 are in one node' },
        ],
      }),
      { places: 'fail' },
    ],
    [
      'agents of before, which tell of no place',
      withStatus({
        ranks: statusOf(8).ranks.map(({ place: _place, origin: _origin, ...rank }) => rank),
      }),
      { places: 'skip', 'rank sources': 'skip' },
    ],
    [
      'places that were not to be had, which says nothing of the agents',
      factsOf({ placesRefused: 'over the payload' }),
      { places: 'skip', 'rank sources': 'skip' },
    ],
    [
      'a launcher that contradicts what was said outright',
      withRank(3, { origin: originOf('--rank', 3, ['torchrun (RANK=4) says rank 4']) }),
      { 'rank sources': 'warn' },
    ],
    [
      'an old server',
      factsOf({ server: answer({ ...server, version: '2.9.9' }) }),
      { 'server version': 'fail' },
    ],
    [
      'no JetStream',
      factsOf({ server: answer({ ...server, hasJetStream: false }) }),
      { JetStream: 'fail' },
    ],
    [
      'a server alone',
      factsOf({ server: answer({ ...server, cluster: null, clusterServers: [] }) }),
      { cluster: 'warn' },
    ],
    [
      'one copy in a cluster',
      factsOf({ eventStream: answer({ ...stream, replicas: 1, replicasCurrent: 1 }) }),
      { cluster: 'warn' },
    ],
    [
      'a copy that lags',
      factsOf({ recordsStream: answer({ ...stream, replicasCurrent: 2 }) }),
      { records: 'fail' },
    ],
    [
      'small messages',
      factsOf({ server: answer({ ...server, maxPayloadBytes: 16_384 }) }),
      { max_payload: 'fail' },
    ],
    [
      'a full account',
      factsOf({
        limits: answer({ storageBytes: 99, storageBytesMax: 100, streams: 2, streamsMax: 4 }),
      }),
      { 'account limits': 'fail' },
    ],
    [
      'limits that it may not see',
      factsOf({ limits: refusal('ISOBAR_BUS_NOT_PERMITTED') }),
      { 'account limits': 'skip' },
    ],
    ['another clock', factsOf({ clock: { skewMs: -5_000, roundTripMs: 4 } }), { clocks: 'warn' }],
    [
      "a server's clock",
      factsOf({
        serverClock: { server: null, against: 'this machine', skewMs: 9_000, roundTripMs: 2 },
      }),
      { 'server clock': 'warn' },
    ],
    [
      'an event that was stored much later than it was written',
      factsOf({
        serverClock: { server: null, against: 'the newest event', skewMs: 9_000, roundTripMs: 0 },
      }),
      { 'server clock': 'warn' },
    ],
    ['a rank that leaves', withRank(3, { leaving: true }), { leaving: 'warn' }],
    [
      'a limit of operators',
      withRank(3, { slots: { own: 12, offered: 12, limit: 8 } }),
      { slots: 'warn' },
    ],
    ["an engine's own offer", withRank(3, { slots: { own: 12, offered: 8, limit: null } }), {}],
    [
      'fewer slots than experts',
      withStatus({
        ranks: statusOf(8).ranks.map(({ rank }) =>
          rankOf(rank, { slots: { own: 12, offered: 7, limit: null } }),
        ),
      }),
      { slots: 'fail' },
    ],
    ["a rank's clock", withRank(3, { clockSkewMs: -1_200 }), { 'rank clocks': 'warn' }],
    ['an agent that tells no time', withRank(3, { clockSkewMs: null }), {}],
    ['a clock within what is known', factsOf({ clock: { skewMs: 1_400, roundTripMs: 1_000 } }), {}],
    [
      'a viewer',
      factsOf({ dryRun: refusal('ISOBAR_BUS_NOT_PERMITTED') }),
      { 'may command': 'warn' },
    ],
    ['no event stream', factsOf({ eventStream: answer(null) }), { 'event stream': 'fail' }],
    [
      'events without limits',
      factsOf({ eventStream: answer({ ...stream, bytesMax: null, ageMaxMs: null }) }),
      { 'event stream': 'warn' },
    ],
    [
      'a record that is gone',
      factsOf({ record: refusal('ISOBAR_COORDINATOR_NO_VERSION') }),
      { records: 'fail' },
    ],
    ['observe', withStatus({ mode: 'observe' }), { balancing: 'warn' }],
    ['a pause', withStatus({ paused: true }), { balancing: 'warn' }],
    [
      'no loads',
      withStatus({ load: { ...statusOf(8).load, balancedness: null } }),
      { loads: 'warn' },
    ],
    [
      'a swap that hangs',
      withStatus({ swap: { ...swapUnderWay, ageMs: 600_000 } }),
      { swaps: 'warn' },
    ],
    [
      'another topology',
      withStatus({ mapping: { ...statusOf(8).mapping, ranks: 16 } }),
      { topology: 'fail' },
    ],
    [
      'a rank that was never heard',
      withRank(3, { reportAgeMs: null, sampleAgeMs: null, engineConnected: false }),
      { agents: 'fail', 'idle ranks': 'warn' },
    ],
    ['a silent rank', withRank(3, { reportAgeMs: 9_000 }), { agents: 'fail' }],
    ['a rank without engine', withRank(3, { engineConnected: false }), { engines: 'fail' }],
    ['a rank behind', withRank(3, { mappingVersion: 6 }), { 'mapping version': 'warn' }],
    ['old software', withRank(3, { software: '0.0.9' }), { software: 'warn' }],
    ['software that tells no version', withRank(3, { software: null }), { software: 'warn' }],
    [
      'another model',
      withRank(3, { engine: { ...engine(), modelRevision: 'r2' } }),
      { model: 'fail' },
    ],
    [
      'its own balancer',
      withRank(3, { engine: { ...engine(), ownBalancer: true } }),
      { 'own balancer': 'fail' },
    ],
    [
      'no spare buffers',
      withRank(3, { engine: { ...engine(), spareBuffers: 4 } }),
      { 'spare buffers': 'fail' },
    ],
    [
      'no reserve',
      withRank(3, { engine: { ...engine(), reserveBuffers: 0 } }),
      { 'spare buffers': 'warn' },
    ],
    ['an idle rank', withRank(3, { sampleAgeMs: 60_000 }), { 'idle ranks': 'warn' }],
    ['an empty rank', withRank(3, { loadShare: 0 }), { 'idle ranks': 'warn' }],
    ['a drained rank', withRank(3, { loadShare: 0, drained: true }), {}],
    [
      'a rank that is no member',
      withRank(3, { member: null, standing: 'joining' }),
      { members: 'warn' },
    ],
    ['refused messages', withStatus({ messagesRefused: 3 }), { messages: 'warn' }],
  ])('finds %s', (_, facts, expected) => {
    expect(found(facts)).toEqual(expected);
  });

  it('names the cause where nobody leads, from the alarms', () => {
    const alarm: AuditEvent & { readonly sequence: number } = {
      sequence: 9,
      kind: 'alarm',
      at: 1,
      alarm: 'cannot-lead',
      code: 'ISOBAR_TOPOLOGY_RANKS',
    };
    const nobody = refusal('ISOBAR_COORDINATOR_NOT_LEADING', 'it waits for rank 3');
    const facts = factsOf({
      status: nobody,
      record: nobody,
      dryRun: nobody,
      clock: null,
      events: answer([alarm]),
    });
    const wrong = found(facts);
    expect(wrong).toMatchObject({ leader: 'fail', 'alarm cannot-lead': 'fail' });
    const text = renderChecks(examine(facts), plain);
    expect(text).toMatch(/^fail {2}leader +it waits for rank 3$/m);
    expect(text).toContain('ISOBAR_TOPOLOGY_RANKS');
    expect(text).toContain('→ give every coordinator the topology of the ranks that run');
    expect(text).toMatch(/\d+ ok, 0 to look at, 2 failed, 3 not checked$/);
  });

  it.each([
    ['2.9.9', true],
    ['2.9.10', false],
    ['2.10.0-beta.1', false],
    ['2.8.99', true],
    ['3.0.0', false],
    ['', true],
  ])('takes server version %s for old: %s', (version, isOld) => {
    expect(isOldServer(version)).toBe(isOld);
  });
});

describe("a server's clock", () => {
  const asked = { askedMs: 1_000, heardMs: 1_010 };
  const event = (sequence: number, at: number) => ({ kind: 'plan', sequence, at });

  it('is told by servers of today, and known to half of what the question took', () => {
    const eventStream = answer({ ...stream, atMs: 1_505 });
    expect(serverClockOf({ eventStream, events: answer([]), ...asked })).toEqual({
      ...{ server: 'nats-2', against: 'this machine', skewMs: 500, roundTripMs: 10 },
    });
  });

  it('of an older one shows in when it stored an event', () => {
    const eventStream = answer({ ...stream, newest: { sequence: 7, atMs: 950 } });
    const events = answer([event(6, 100), event(7, 900), event(8, 990)]);
    expect(serverClockOf({ eventStream, events, ...asked })).toMatchObject({
      ...{ against: 'the newest event', skewMs: 50 },
    });
    for (const unknown of [answer([event(6, 100)]), refusal('ISOBAR_BUS_TIMEOUT')]) {
      expect(serverClockOf({ eventStream, events: unknown, ...asked })).toBeNull();
    }
  });
});

function engine(): NonNullable<NonNullable<ReturnType<typeof rankOf>['engine']>> {
  const { engine: of } = rankOf(0);
  if (of == null) throw new Error('a healthy rank has an engine');
  return of;
}
