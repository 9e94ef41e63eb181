import {
  type AuditEvent,
  auditEventSchema,
  decode,
  eventStreamName,
  IsobarError,
  subjectsOf,
} from '@isobar/protocol';
import type { CoordinatorClient } from '../coordinator-client.js';

export interface HistoryOptions {
  readonly deployment: string;
  /** The last so many events. */
  readonly last: number;
  /** Of this version alone. */
  readonly version?: number;
  /** Goes on with events as they come. */
  readonly follow: boolean;
}

/** An event, and its place in the trail. */
export type TrailEvent = AuditEvent & { readonly sequence: number };

/**
 * Events of a deployment in their order.
 * @throws IsobarError ISOBAR_BUS_NO_STREAM, ISOBAR_BUS_TIMEOUT; ISOBAR_CLI_ANSWER where an event
 *   can't be read
 */
export async function* readHistory(
  client: CoordinatorClient,
  options: HistoryOptions,
  signal: AbortSignal,
): AsyncGenerator<TrailEvent> {
  const { deployment, last, version, follow } = options;
  const events = await client.bus.openEventStream({
    stream: eventStreamName(deployment),
    subjects: subjectsOf(deployment).event('>'),
  });
  // Which events are of a version only they themselves tell: all of them are read.
  const range = version === undefined ? { last, follow } : { follow };
  for await (const { payload, subject, sequence } of events.read(range, signal)) {
    const event = readEvent(payload, subject, sequence);
    if (version === undefined || event.version === version) yield { ...event, sequence };
  }
}

function readEvent(payload: Uint8Array, subject: string, sequence: number): AuditEvent {
  try {
    return decode('event', payload, auditEventSchema);
  } catch (cause) {
    const text = `event ${sequence} on ${subject} can't be read`;
    throw new IsobarError('ISOBAR_CLI_ANSWER', text, { subject, sequence }, { cause });
  }
}

/** One line of text: when, what, and every other field. */
export function renderEvent({ at, kind, schema: _, sequence: __, ...fields }: AuditEvent): string {
  const told = Object.entries(fields).map(([name, value]) => `${name}=${renderValue(value)}`);
  return [new Date(at).toISOString(), kind.padEnd(18), ...told].join('  ').trimEnd();
}

function renderValue(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return value.toPrecision(4);
  if (typeof value === 'string') return /^[\w.:-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value, rounded);
}

function rounded(_name: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(4))
    : value;
}
