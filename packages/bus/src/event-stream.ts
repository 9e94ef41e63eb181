import { IsobarError } from '@isobar/protocol';
import {
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  NatsError,
  RetentionPolicy,
  StorageType,
  type StoredMsg,
} from 'nats';
import { Arrivals } from './arrivals.js';
import { coded } from './nats-errors.js';

export interface EventStreamOptions {
  /** Name of the stream: letters, digits, - and _. */
  readonly stream: string;
  /** Every event's subject matches this. */
  readonly subjects: string;
  /** Copies that the cluster keeps. @default 1 */
  readonly replicas?: number;
  /** Older events are dropped. @default 30 days */
  readonly ageMaxMs?: number;
  /** The oldest events are dropped beyond it. @default 256 MiB */
  readonly bytesMax?: number;
  /** @default 5,000 */
  readonly timeoutMs?: number;
}

export interface StoredEvent {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Position in the stream, ascending. */
  readonly sequence: number;
}

export interface EventRange {
  /** Begins with the last so many; with the first that is kept where absent. */
  readonly last?: number;
  /** Ends with the one before this sequence; not where it follows. */
  readonly before?: number;
  /** Goes on with what is stored from now on; otherwise ends with the newest. */
  readonly follow: boolean;
}

const dayMs = 86_400_000;
/** Within it, an event that is appended twice is stored once. */
const duplicateWindowMs = 120_000;
const streamNotFound = 10059;
const messageNotFound = 10037;
/** Events asked for at once. */
const readAtATime = 64;
/** An event may be told before it is stored: it is looked for again after so long. */
const lookAgainMs = 500;
const nanosPerMs = 1_000_000;
const unansweredCodes: ReadonlySet<string> = new Set([
  'ISOBAR_BUS_TIMEOUT',
  'ISOBAR_BUS_NO_RESPONDERS',
]);

/** Events of a deployment, kept by JetStream within limits: the newest drop the oldest. */
export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #jetStream: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #connection: NatsConnection;

  /** @internal use Bus.openEventStream */
  constructor(
    options: EventStreamOptions,
    jetStream: JetStreamClient,
    manager: JetStreamManager,
    connection: NatsConnection,
  ) {
    this.#options = options;
    this.#jetStream = jetStream;
    this.#manager = manager;
    this.#connection = connection;
  }

  /**
   * Creates the stream, or brings its limits to these.
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED
   */
  async ensure(): Promise<void> {
    const { stream, subjects, replicas = 1, ageMaxMs = 30 * dayMs } = this.#options;
    const limits = {
      subjects: [subjects],
      num_replicas: replicas,
      max_age: ageMaxMs * nanosPerMs,
      max_bytes: this.#options.bytesMax ?? 256 * 1_048_576,
      discard: DiscardPolicy.Old,
      duplicate_window: Math.min(duplicateWindowMs, ageMaxMs) * nanosPerMs,
    };
    try {
      await this.#manager.streams.update(stream, limits);
    } catch (cause) {
      if (!isApiError(cause, streamNotFound)) throw coded(`stream ${stream}`, cause);
      const fixed = { name: stream, retention: RetentionPolicy.Limits, storage: StorageType.File };
      await this.#manager.streams.add({ ...fixed, ...limits }).catch((failure: unknown) => {
        throw coded(`stream ${stream}`, failure);
      });
    }
  }

  /**
   * @param id an event that is appended again under its id is stored once
   * @throws IsobarError ISOBAR_BUS_TIMEOUT (it may have been stored), ISOBAR_BUS_FAILED
   */
  async append(subject: string, payload: Uint8Array, id: string): Promise<void> {
    const timeout = this.#options.timeoutMs ?? 5_000;
    await this.#jetStream.publish(subject, payload, { msgID: id, timeout }).catch((cause) => {
      throw coded(`event ${subject}`, cause);
    });
  }

  /**
   * Events in their order. Each is asked for by its sequence, without a consumer: whoever may make one
   * can have the server send events to any subject of the stream's account.
   * @param signal ends the reading
   * @throws IsobarError ISOBAR_BUS_NO_STREAM where none has been stored yet; ISOBAR_BUS_FAILED;
   *   where it does not follow, ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_NO_RESPONDERS
   */
  async *read(
    { last, before, follow }: EventRange,
    signal?: AbortSignal,
  ): AsyncGenerator<StoredEvent> {
    const isEnded = () => signal?.aborted === true;
    const arrivals = follow ? new Arrivals(this.#connection, this.#options.subjects, signal) : null;
    try {
      const { first_seq, last_seq } = await this.#state();
      let newest = before === undefined || follow ? last_seq : Math.min(last_seq, before - 1);
      let next = Math.max(1, first_seq, last === undefined ? 1 : newest - last + 1);
      while (!isEnded()) {
        const through = Math.min(newest, next + readAtATime - 1);
        const events = await this.#readRange(next, through).catch(orNullIf(follow));
        if (events !== null) next = through + 1;
        for (const event of events ?? []) {
          yield event;
          if (isEnded()) return;
        }
        if (events !== null && next <= newest) continue;
        if (arrivals === null) return;
        await arrivals.next(lookAgainMs);
        newest = (await this.#state().catch(orNullIf(follow)))?.last_seq ?? newest;
      }
    } finally {
      arrivals?.stop();
    }
  }

  /** Those that are kept of a range of sequences; limits may have taken the oldest meanwhile. */
  async #readRange(first: number, through: number): Promise<StoredEvent[]> {
    const sequences = Array.from({ length: Math.max(0, through - first + 1) }, (_, i) => first + i);
    const events = await Promise.all(sequences.map((sequence) => this.#readOne(sequence)));
    return events.filter((event) => event !== null);
  }

  async #readOne(seq: number): Promise<StoredEvent | null> {
    const { stream } = this.#options;
    try {
      return eventOf(await this.#manager.streams.getMessage(stream, { seq }));
    } catch (cause) {
      if (isApiError(cause, messageNotFound)) return null;
      throw coded(`stream ${stream}`, cause);
    }
  }

  async #state(): Promise<{ first_seq: number; last_seq: number }> {
    const { stream } = this.#options;
    try {
      return (await this.#manager.streams.info(stream)).state;
    } catch (cause) {
      if (!isApiError(cause, streamNotFound)) throw coded(`stream ${stream}`, cause);
      const text = `there is no stream ${stream}: no coordinator has led this deployment yet`;
      throw new IsobarError('ISOBAR_BUS_NO_STREAM', text, { stream }, { cause });
    }
  }
}

function eventOf({ subject, data, seq }: StoredMsg): StoredEvent {
  return { subject, payload: data, sequence: seq };
}

/** Whoever follows outlives the absence of the server: what was not answered is asked again. */
function orNullIf(follow: boolean): (error: unknown) => null {
  return (error) => {
    if (follow && error instanceof IsobarError && unansweredCodes.has(error.code)) return null;
    throw error;
  };
}

function isApiError(cause: unknown, code: number): boolean {
  return cause instanceof NatsError && cause.api_error?.err_code === code;
}

export async function openEventStreamOn(
  connection: NatsConnection,
  options: EventStreamOptions,
  apiPrefix: string | null,
): Promise<EventStream> {
  const settings = {
    timeout: options.timeoutMs ?? 5_000,
    ...(apiPrefix === null ? {} : { apiPrefix }),
  };
  try {
    // Not asked whether JetStream answers: events wait until it does.
    const manager = await connection.jetstreamManager({ ...settings, checkAPI: false });
    const jetStream = connection.jetstream(settings);
    return new EventStream(options, jetStream, manager, connection);
  } catch (cause) {
    throw coded(`stream ${options.stream}`, cause);
  }
}
