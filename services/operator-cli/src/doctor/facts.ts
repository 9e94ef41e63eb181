import type { ServerDescription, StoreLimits, StreamDescription } from '@isobar/bus';
import {
  type CommandQuestion,
  eventStreamName,
  IsobarError,
  recordsBucket,
  type StatusAnswer,
} from '@isobar/protocol';
import { readHistory, type TrailEvent } from '../commands/history-command.js';
import type { CoordinatorClient } from '../coordinator-client.js';
import { errorCodeOf } from '../exit-codes.js';
import type { Asked } from './check.js';

/** Alarms are looked for among so many. */
const eventsRead = 200;

/** A clock against another. */
export interface ClockReading {
  /** Its time less the other's, milliseconds. */
  readonly skewMs: number;
  /** Of the question; the skew is known to half of it. */
  readonly roundTripMs: number;
}

/** The clock of the NATS server that keeps the events. */
export interface ServerClock extends ClockReading {
  /** Null of a server alone. */
  readonly server: string | null;
  /** What it is compared with: servers before 2.10 only tell when they have stored an event. */
  readonly against: 'this machine' | 'the newest event';
}

/** All that a doctor has asked; what could not be answered says why. */
export interface Facts {
  readonly deployment: string;
  readonly server: Asked<ServerDescription>;
  readonly limits: Asked<StoreLimits>;
  /** Null where there is no such stream. */
  readonly eventStream: Asked<StreamDescription | null>;
  readonly recordsStream: Asked<StreamDescription | null>;
  readonly status: Asked<StatusAnswer>;
  /** Why the status is one without places, null where it has them. */
  readonly placesRefused: string | null;
  /** The leader's against this machine's. */
  readonly clock: ClockReading | null;
  readonly serverClock: ServerClock | null;
  /** The record of the version in force, read by the leader. */
  readonly record: Asked<unknown>;
  /** Asked what it would do, a command that changes something. */
  readonly dryRun: Asked<unknown>;
  readonly events: Asked<readonly TrailEvent[]>;
}

export interface Gathering {
  readonly deployment: string;
  /** For each question to JetStream. */
  readonly timeoutMs: number;
}

/** Asks all there is to ask; nothing is changed. */
export async function gatherFacts(client: CoordinatorClient, of: Gathering): Promise<Facts> {
  const { deployment, timeoutMs } = of;
  const { bus } = client;
  const server = await asked(() => bus.describeServer());
  const { status, placesRefused, sentMs, heardMs: toldMs } = await askStatus(client);
  const clock = clockOf(status, sentMs, toldMs);
  const version = status.kind === 'answer' ? status.answer.mapping.version : null;
  const askedMs = Date.now();
  const eventStream = await asked(() => bus.describeStream(eventStreamName(deployment), timeoutMs));
  const heardMs = Date.now();
  // After it: the newest event that the server tells of is among them.
  const events = await asked(() => readEvents(client, deployment));
  return {
    deployment,
    server,
    limits: await asked(() => bus.storeLimits(timeoutMs)),
    eventStream,
    recordsStream: await asked(() =>
      bus.describeStream(`KV_${recordsBucket(deployment)}`, timeoutMs),
    ),
    status,
    placesRefused,
    clock,
    serverClock: serverClockOf({ eventStream, events, askedMs, heardMs }),
    record: version === null ? status : await asked(() => client.ask('explain', { version })),
    dryRun: await asked(() => client.ask('pause', { dryRun: true })),
    events,
  };
}

interface StatusHeard extends Pick<Facts, 'status' | 'placesRefused'> {
  readonly sentMs: number;
  readonly heardMs: number;
}

/** With places, unless the coordinator is of before, or they are too many for one message. */
async function askStatus(client: CoordinatorClient): Promise<StatusHeard> {
  const ask = async (question: CommandQuestion<'status'>) => {
    const sentMs = Date.now();
    const status = await asked(() => client.ask('status', question));
    return { status, sentMs, heardMs: Date.now() };
  };
  const heard = await ask({ places: true });
  if (heard.status.kind === 'answer') return { ...heard, placesRefused: null };
  return { ...(await ask({})), placesRefused: heard.status.message };
}

async function readEvents(client: CoordinatorClient, deployment: string): Promise<TrailEvent[]> {
  const events: TrailEvent[] = [];
  const range = { deployment, last: eventsRead, follow: false };
  for await (const event of readHistory(client, range, new AbortController().signal)) {
    events.push(event);
  }
  return events;
}

function clockOf(
  status: Asked<StatusAnswer>,
  sentMs: number,
  heardMs: number,
): ClockReading | null {
  const atMs = status.kind === 'answer' ? status.answer.leader.atMs : undefined;
  if (atMs === undefined) return null;
  return { skewMs: atMs - (sentMs + heardMs) / 2, roundTripMs: heardMs - sentMs };
}

/** Null where the server tells no time, and keeps no event that could be read. */
export function serverClockOf({
  eventStream,
  events,
  askedMs,
  heardMs,
}: Pick<Facts, 'eventStream' | 'events'> & {
  readonly askedMs: number;
  readonly heardMs: number;
}): ServerClock | null {
  if (eventStream.kind === 'refusal' || eventStream.answer === null) return null;
  const { server, atMs, newest } = eventStream.answer;
  if (atMs !== null) {
    const skewMs = atMs - (askedMs + heardMs) / 2;
    return { server, against: 'this machine', skewMs, roundTripMs: heardMs - askedMs };
  }
  const read = events.kind === 'answer' ? events.answer : [];
  const event = read.findLast(({ sequence }) => sequence === newest?.sequence);
  if (newest === null || event === undefined) return null;
  const skewMs = newest.atMs - event.at;
  return { server, against: 'the newest event', skewMs, roundTripMs: 0 };
}

/** Refusals are what a doctor is here for; what is no refusal is a bug. */
async function asked<T>(ask: () => Promise<T>): Promise<Asked<T>> {
  try {
    return { kind: 'answer', answer: await ask() };
  } catch (error) {
    if (!(error instanceof IsobarError)) throw error;
    return { kind: 'refusal', code: errorCodeOf(error) ?? error.code, message: error.message };
  }
}
