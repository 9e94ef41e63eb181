import { IsobarError } from '@isobar/protocol';
import {
  DeliverPolicy,
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
  NatsError,
  type OrderedConsumerOptions,
  RetentionPolicy,
  StorageType,
} from 'nats';
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
  /** Goes on with what is stored from now on; otherwise ends with the newest. */
  readonly follow: boolean;
}

const dayMs = 86_400_000;
/** Within it, an event that is appended twice is stored once. */
const duplicateWindowMs = 120_000;
const streamNotFound = 10059;
const nanosPerMs = 1_000_000;

/** Events of a deployment, kept by JetStream within limits: the newest drop the oldest. */
export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #jetStream: JetStreamClient;
  readonly #manager: JetStreamManager;

  /** @internal use Bus.openEventStream */
  constructor(options: EventStreamOptions, jetStream: JetStreamClient, manager: JetStreamManager) {
    this.#options = options;
    this.#jetStream = jetStream;
    this.#manager = manager;
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
      if (!isNotFound(cause)) throw coded(`stream ${stream}`, cause);
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
   * Events in their order.
   * @param signal ends the reading
   * @throws IsobarError ISOBAR_BUS_NO_STREAM where none has been stored yet; ISOBAR_BUS_TIMEOUT,
   *   ISOBAR_BUS_FAILED
   */
  async *read(range: EventRange, signal?: AbortSignal): AsyncGenerator<StoredEvent> {
    const state = await this.#state();
    if (!range.follow && state.messages === 0) return;
    const consumer = await this.#jetStream.consumers.get(
      this.#options.stream,
      startOf(range, state),
    );
    const messages = await consumer.consume();
    const end = () => messages.stop();
    signal?.addEventListener('abort', end);
    try {
      if (signal?.aborted === true) return;
      for await (const message of messages) {
        yield eventOf(message);
        if (!range.follow && message.seq >= state.last_seq) return;
      }
    } catch (cause) {
      throw coded(`stream ${this.#options.stream}`, cause);
    } finally {
      signal?.removeEventListener('abort', end);
      await messages.close();
    }
  }

  async #state(): Promise<{ messages: number; first_seq: number; last_seq: number }> {
    const { stream } = this.#options;
    try {
      return (await this.#manager.streams.info(stream)).state;
    } catch (cause) {
      if (!isNotFound(cause)) throw coded(`stream ${stream}`, cause);
      const text = `there is no stream ${stream}: no coordinator has led this deployment yet`;
      throw new IsobarError('ISOBAR_BUS_NO_STREAM', text, { stream }, { cause });
    }
  }
}

/**
 * Always by sequence: for any other beginning the client's ordered consumer sends a start sequence
 * too, which a server refuses, and the client then waits without a word.
 */
function startOf(
  { last }: EventRange,
  state: { readonly first_seq: number; readonly last_seq: number },
): Partial<OrderedConsumerOptions> {
  const first = last === undefined ? state.first_seq : state.last_seq - last + 1;
  return {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: Math.max(1, state.first_seq, first),
  };
}

function eventOf({ subject, data, seq }: JsMsg): StoredEvent {
  return { subject, payload: data, sequence: seq };
}

function isNotFound(cause: unknown): boolean {
  return cause instanceof NatsError && cause.api_error?.err_code === streamNotFound;
}

export async function openEventStreamOn(
  connection: NatsConnection,
  options: EventStreamOptions,
): Promise<EventStream> {
  const timeout = options.timeoutMs ?? 5_000;
  try {
    // Not asked whether JetStream answers: events wait until it does.
    const manager = await connection.jetstreamManager({ timeout, checkAPI: false });
    return new EventStream(options, connection.jetstream({ timeout }), manager);
  } catch (cause) {
    throw coded(`stream ${options.stream}`, cause);
  }
}
