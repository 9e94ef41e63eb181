import type { ServerDescription, StoreLimits, StreamDescription } from '@isobar/bus';
import {
  type AuditEvent,
  eventStreamName,
  IsobarError,
  recordsBucket,
  type StatusAnswer,
} from '@isobar/protocol';
import { readHistory } from '../commands/history-command.js';
import type { CoordinatorClient } from '../coordinator-client.js';
import { errorCodeOf } from '../exit-codes.js';
import type { Asked } from './check.js';

/** Alarms are looked for among so many. */
const eventsRead = 200;

/** The leader's clock against this machine's. */
export interface ClockReading {
  /** Leader's minus own, milliseconds. */
  readonly skewMs: number;
  /** The skew is known to half of it. */
  readonly roundTripMs: number;
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
  readonly clock: ClockReading | null;
  /** The record of the version in force, read by the leader. */
  readonly record: Asked<unknown>;
  /** Asked what it would do, a command that changes something. */
  readonly dryRun: Asked<unknown>;
  readonly events: Asked<readonly AuditEvent[]>;
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
  const sentMs = Date.now();
  const status = await asked(() => client.ask('status', {}));
  const clock = clockOf(status, sentMs, Date.now());
  const version = status.kind === 'answer' ? status.answer.mapping.version : null;
  return {
    deployment,
    server,
    limits: await asked(() => bus.storeLimits(timeoutMs)),
    eventStream: await asked(() => bus.describeStream(eventStreamName(deployment), timeoutMs)),
    recordsStream: await asked(() =>
      bus.describeStream(`KV_${recordsBucket(deployment)}`, timeoutMs),
    ),
    status,
    clock,
    record: version === null ? status : await asked(() => client.ask('explain', { version })),
    dryRun: await asked(() => client.ask('pause', { dryRun: true })),
    events: await asked(() => readEvents(client, deployment)),
  };
}

async function readEvents(client: CoordinatorClient, deployment: string): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
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

/** Refusals are what a doctor is here for; what is no refusal is a bug. */
async function asked<T>(ask: () => Promise<T>): Promise<Asked<T>> {
  try {
    return { kind: 'answer', answer: await ask() };
  } catch (error) {
    if (!(error instanceof IsobarError)) throw error;
    return { kind: 'refusal', code: errorCodeOf(error) ?? error.code, message: error.message };
  }
}
