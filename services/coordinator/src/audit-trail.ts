import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bus, EventStream } from '@isobar/bus';
import { encode, eventStreamName, IsobarError, type Subjects, subjectsOf } from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { AuditReader } from './audit-reader.js';
import type { CoordinatorSettings } from './settings.js';

export interface AuditTrailOptions {
  readonly subjects: Subjects;
  readonly stream: Pick<EventStream, 'ensure' | 'append' | 'read'>;
  /** Of the events of one answer. */
  readonly answerBytesMax: number;
  /** Of one event: the store takes no larger one, and those behind it would wait for ever. */
  readonly eventBytesMax: number;
  readonly logger: Logger;
  /** Unique among all processes that ever write: a prefix of the events' ids. */
  readonly writer: string;
  /** Events that wait to be stored; beyond it the newest are dropped, and counted. @default 4,096 */
  readonly waitingMax?: number;
  /** Between two attempts to store an event. @default 1,000 */
  readonly retryMs?: number;
  /** Storing failed in a way that is not known. */
  readonly onFailure: (cause: unknown) => void;
}

interface Waiting {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly id: string;
}

/** Events in which an operator is to see a failure. */
const errorKinds = new Set(['alarm', 'plan-failed']);

/**
 * Tells every decision, command, swap and failure: to the log at once, and to the deployment's
 * event stream in order, each once, as soon as the store takes it. Telling never waits.
 */
export class AuditTrail {
  readonly reader: AuditReader;
  readonly #options: AuditTrailOptions;
  readonly #waiting: Waiting[] = [];
  readonly #stopping = new AbortController();
  #writing: Promise<void> | null = null;
  #told = 0;
  #dropped = 0;
  /** Dropped since the trail last told of it. */
  #gap = 0;
  #ensured = false;

  constructor(options: AuditTrailOptions) {
    this.#options = options;
    this.reader = new AuditReader(options.stream, options.answerBytesMax);
  }

  /** Events that were logged and never stored. */
  get dropped(): number {
    return this.#dropped;
  }

  tell(kind: string, fields: Readonly<Record<string, unknown>>): void {
    const { logger, waitingMax = 4_096 } = this.#options;
    logger[errorKinds.has(kind) ? 'error' : 'info'](fields, kind);
    if (this.#stopping.signal.aborted || this.#waiting.length >= waitingMax) {
      this.#drop(1);
      return;
    }
    if (this.#gap > 0) this.#push('events-dropped', { events: this.#takeGap() });
    this.#push(kind, fields);
  }

  #drop(events: number): void {
    if (this.#gap === 0 && events > 0) {
      this.#options.logger.error({ waiting: this.#waiting.length }, 'events are dropped');
    }
    this.#gap += events;
    this.#dropped += events;
  }

  #takeGap(): number {
    const events = this.#gap;
    this.#gap = 0;
    return events;
  }

  #push(kind: string, fields: Readonly<Record<string, unknown>>): void {
    const { subjects, writer } = this.#options;
    this.#told += 1;
    this.#waiting.push({
      subject: subjects.event(kind),
      payload: this.#payloadOf(kind, fields),
      id: `${writer}.${this.#told}`,
    });
    this.#writing ??= this.#write()
      .catch(this.#options.onFailure)
      .finally(() => {
        this.#writing = null;
      });
  }

  /** Of an event that is too large only its kind and its size are stored; the log has it whole. */
  #payloadOf(kind: string, fields: Readonly<Record<string, unknown>>): Uint8Array {
    const head = { schema: 1, at: Date.now(), kind };
    const whole = encode({ ...head, ...fields });
    if (whole.byteLength <= this.#options.eventBytesMax) return whole;
    return encode({ ...head, omittedBytes: whole.byteLength });
  }

  /** Gives up what is not stored by the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    const timer = setTimeout(() => this.#stopping.abort(), deadlineMs);
    await this.#writing;
    clearTimeout(timer);
    this.#stopping.abort();
  }

  async #write(): Promise<void> {
    const { retryMs = 1_000 } = this.#options;
    let [first] = this.#waiting;
    while (first !== undefined && !this.#stopping.signal.aborted) {
      if (await this.#store(first)) this.#waiting.shift();
      else await this.#pause(retryMs);
      [first] = this.#waiting;
    }
    this.#drop(this.#waiting.length);
    this.#waiting.length = 0;
  }

  async #store({ subject, payload, id }: Waiting): Promise<boolean> {
    const { stream } = this.#options;
    if (!this.#ensured) this.#ensured = await this.#succeeds(() => stream.ensure());
    // A stream that is there takes events also while its limits can't be set.
    const stored = await this.#succeeds(() => stream.append(subject, payload, id));
    // The stream itself may be what is missing: it is ensured again before the next attempt.
    if (!stored) this.#ensured = false;
    return stored;
  }

  async #succeeds(attempt: () => Promise<void>): Promise<boolean> {
    try {
      await attempt();
      return true;
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      const { logger } = this.#options;
      logger.warn({ err: error, waiting: this.#waiting.length }, 'event not stored yet');
      return false;
    }
  }

  async #pause(ms: number): Promise<void> {
    try {
      await delay(ms, undefined, { signal: this.#stopping.signal });
    } catch (error) {
      if (!(error instanceof Error && error.name === 'AbortError')) throw error;
    }
  }
}

/** The audit trail of a deployment; its stream is made when the first event is told. */
export async function openAuditTrail(
  bus: Bus,
  { deployment, replicas, retryMs }: CoordinatorSettings,
  logger: Logger,
  onFailure: (cause: unknown) => void,
): Promise<AuditTrail> {
  const subjects = subjectsOf(deployment);
  const stream = await bus.openEventStream({
    stream: eventStreamName(deployment),
    subjects: subjects.event('>'),
    replicas,
    timeoutMs: retryMs,
  });
  const writer = randomBytes(8).toString('hex');
  // Room for headers, and for what an answer has around its events.
  const answerBytesMax = Math.floor(bus.maxPayloadBytes / 2);
  const eventBytesMax = Math.floor(answerBytesMax / 2);
  const sizes = { answerBytesMax, eventBytesMax };
  return new AuditTrail({ subjects, stream, logger, writer, retryMs, onFailure, ...sizes });
}
