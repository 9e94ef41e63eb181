import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorFields, IsobarError } from '@isobar/protocol';
import {
  type ConnectionOptions,
  connect,
  Events,
  type Msg,
  type NatsConnection,
  RequestStrategy,
} from 'nats';
import {
  type CommandEndpoint,
  type CommandService,
  type CommandServiceOptions,
  serveOn,
} from './command-service.js';
import { connectionFailure, identityOptions } from './connection-options.js';
import { type EventStream, type EventStreamOptions, openEventStreamOn } from './event-stream.js';
import type { NatsContext } from './nats-context.js';
import { coded, notPermitted } from './nats-errors.js';
import { openRecordsOn, type Records, type RecordsOptions } from './records.js';
import { isInbox } from './reply-subject.js';
import {
  describeServerOn,
  describeStreamOn,
  type ServerDescription,
  type StoreLimits,
  type StreamDescription,
  storeLimitsOn,
} from './server-description.js';

export type BusStatus = 'disconnected' | 'reconnected' | 'closed';

export interface BusOptions {
  /** URLs of NATS servers. */
  readonly servers: readonly string[];
  /** Name of this client, for people who look at the server. */
  readonly name: string;
  /** As whom to connect, and how encrypted; anonymous and in the clear where absent. */
  readonly context?: NatsContext;
  /**
   * Told of failures that no call can return: a handler that threw, messages dropped, messages that
   * the server did not permit.
   */
  readonly onError: (error: IsobarError) => void;
  readonly onStatus?: (status: BusStatus) => void;
  /** A server that is silent for three of these is left for another. @default 2,000 */
  readonly pingIntervalMs?: number;
  /** @default 500, with jitter; attempts are unlimited */
  readonly reconnectWaitMs?: number;
  /** For each attempt to connect: a server whose machine is gone does not even refuse. @default 2,000 */
  readonly connectTimeoutMs?: number;
}

export interface BusMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** False where nobody waits for an answer, or not at an inbox. */
  respond(payload: Uint8Array): boolean;
}

export type BusHandler = (message: BusMessage) => void | Promise<void>;

export interface BusSubscription {
  unsubscribe(): void;
}

const pingsOutMax = 2;

/**
 * Connects to NATS; afterwards reconnects without end.
 * @throws IsobarError ISOBAR_BUS_UNREACHABLE, ISOBAR_BUS_UNAUTHORIZED naming the servers;
 *   ISOBAR_BUS_SERVER_URL
 */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const settings: ConnectionOptions = {
    ...identityOptions(options.servers, options.context ?? null),
    servers: [...options.servers],
    name: options.name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: options.reconnectWaitMs ?? 500,
    reconnectJitter: 250,
    pingInterval: options.pingIntervalMs ?? 2_000,
    maxPingOut: pingsOutMax,
    timeout: options.connectTimeoutMs ?? 2_000,
  };
  try {
    return new Bus(await connect(settings), options);
  } catch (cause) {
    throw connectionFailure(options.servers, cause);
  }
}

/**
 * Connects as soon as a server answers: a service outlives the absence of its server.
 * @param onUnreachable told once, of the first failure
 * @throws the signal's reason where it aborts; IsobarError ISOBAR_BUS_SERVER_URL
 */
export async function awaitBus(
  options: BusOptions,
  onUnreachable: (error: IsobarError) => void,
  signal: AbortSignal,
): Promise<Bus> {
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await connectBus(options);
    } catch (error) {
      // What is wrong in the configuration does not right itself.
      if (!(error instanceof IsobarError) || error.code === 'ISOBAR_BUS_SERVER_URL') throw error;
      if (attempt === 0) onUnreachable(error);
    }
    await delay(options.reconnectWaitMs ?? 500, undefined, { signal });
  }
}

/** A connection to NATS: publish and subscribe, questions, records and commands. */
export class Bus {
  readonly #connection: NatsConnection;
  readonly #options: BusOptions;
  #connected = true;
  /** The server that is being left; null where none is. */
  #leaving: string | null = null;
  #unsent = 0;

  /** @internal use connectBus */
  constructor(connection: NatsConnection, options: BusOptions) {
    this.#connection = connection;
    this.#options = options;
    void this.#watchStatus().catch((cause: unknown) => options.onError(coded('status', cause)));
    void connection.closed().then((cause) => {
      this.#connected = false;
      if (cause instanceof Error) options.onError(coded('connection closed', cause));
      options.onStatus?.('closed');
    });
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The server that it is, or was last, connected to. */
  get server(): string {
    return this.#connection.getServer();
  }

  /** Messages not sent because the connection was down. */
  get unsent(): number {
    return this.#unsent;
  }

  get #apiPrefix(): string | null {
    return this.#options.context?.apiPrefix ?? null;
  }

  get maxPayloadBytes(): number {
    return this.#connection.info?.max_payload ?? 1_048_576;
  }

  async #watchStatus(): Promise<void> {
    for await (const { type, permissionContext } of this.#connection.status()) {
      if (type === Events.Disconnect) this.#changeStatus(false, 'disconnected');
      if (type === Events.Reconnect) await this.#onReconnected();
      // A subscription that is not permitted is told to its own callback.
      if (type === Events.Error && permissionContext?.operation === 'publish') {
        this.#options.onError(notPermitted(permissionContext.subject));
      }
    }
  }

  async #onReconnected(): Promise<void> {
    const left = this.#leaving;
    this.#leaving = null;
    this.#changeStatus(true, 'reconnected');
    // The client's first choice is the server that it comes from.
    if (left !== null && left === this.#connection.getServer()) await this.#connection.reconnect();
  }

  /** Goes to another server, where there is one: what this one lacks, another may have. */
  async leaveServer(): Promise<void> {
    if (!this.#connected || this.#connection.isDraining()) return;
    this.#leaving = this.#connection.getServer();
    await this.#connection.reconnect();
  }

  #changeStatus(connected: boolean, status: BusStatus): void {
    this.#connected = connected;
    this.#options.onStatus?.(status);
  }

  /**
   * @returns false where the connection is down: the message is lost, and counted
   * @throws IsobarError ISOBAR_BUS_PAYLOAD_TOO_LARGE
   */
  publish(subject: string, payload: Uint8Array): boolean {
    this.#assertFits(subject, payload);
    if (!this.#connected) {
      this.#unsent += 1;
      return false;
    }
    this.#connection.publish(subject, payload);
    return true;
  }

  #assertFits(subject: string, payload: Uint8Array): void {
    if (payload.byteLength <= this.maxPayloadBytes) return;
    throw new IsobarError(
      'ISOBAR_BUS_PAYLOAD_TOO_LARGE',
      `a message of ${payload.byteLength} bytes for ${subject} is over the server's ${this.maxPayloadBytes}`,
      { subject, bytes: payload.byteLength, bytesMax: this.maxPayloadBytes },
    );
  }

  /** Messages are handled as they come; a handler's failure is told and ends nothing. */
  subscribe(subject: string, handle: BusHandler): BusSubscription {
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) this.#options.onError(coded(subject, error));
        else this.#handle(subject, handle, message);
      },
    });
    return { unsubscribe: () => subscription.unsubscribe() };
  }

  #handle(subject: string, handle: BusHandler, message: Msg): void {
    const fail = (cause: unknown) => {
      const fields: ErrorFields = { subject: message.subject };
      const text = `the handler of ${subject} failed`;
      this.#options.onError(new IsobarError('ISOBAR_BUS_HANDLER_FAILED', text, fields, { cause }));
    };
    const respond = (payload: Uint8Array) => {
      this.#assertFits(message.subject, payload);
      return isInbox(message.reply) && message.respond(payload);
    };
    try {
      const handled = handle({ subject: message.subject, payload: message.data, respond });
      if (handled instanceof Promise) void handled.catch(fail);
    } catch (cause) {
      fail(cause);
    }
  }

  /**
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_NO_RESPONDERS, ISOBAR_BUS_SERVICE_ERROR
   *   (with `serviceCode` and `serviceMessage`), ISOBAR_BUS_PAYLOAD_TOO_LARGE
   */
  async request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    this.#assertFits(subject, payload);
    const answer = await this.#connection
      .request(subject, payload, { timeout: timeoutMs })
      .catch((cause: unknown) => {
        throw coded(subject, cause);
      });
    const refusal = answer.headers?.get('Nats-Service-Error');
    if (refusal === undefined || refusal === '') return answer.data;
    const serviceCode = answer.headers?.get('Isobar-Error-Code') ?? '';
    throw new IsobarError('ISOBAR_BUS_SERVICE_ERROR', `${serviceCode}: ${refusal}`, {
      subject,
      serviceCode,
      serviceMessage: refusal,
    });
  }

  /**
   * Asks everybody who listens.
   * @param answersMax ends the wait before its time is over
   * @returns the answers that came within timeoutMs, in their order; none where nobody listens
   * @throws IsobarError ISOBAR_BUS_FAILED, ISOBAR_BUS_PAYLOAD_TOO_LARGE
   */
  async requestMany(
    subject: string,
    payload: Uint8Array,
    { answersMax, timeoutMs }: { readonly answersMax: number; readonly timeoutMs: number },
  ): Promise<Uint8Array[]> {
    this.#assertFits(subject, payload);
    const answers: Uint8Array[] = [];
    try {
      const messages = await this.#connection.requestMany(subject, payload, {
        // The client's default, a timer, would wait its whole time for answers that are all here.
        strategy: RequestStrategy.Count,
        maxMessages: answersMax,
        maxWait: timeoutMs,
      });
      for await (const message of messages) answers.push(message.data);
    } catch (cause) {
      const error = coded(subject, cause);
      if (error.code !== 'ISOBAR_BUS_NO_RESPONDERS') throw error;
    }
    return answers;
  }

  /**
   * Records of one bucket, made where it does not exist.
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED; ISOBAR_BUS_CONTEXT where the context is
   *   of an account that keeps nothing
   */
  async openRecords(options: RecordsOptions): Promise<Records> {
    if (this.#apiPrefix !== null) {
      const text = `bucket ${options.bucket}: a context with jetstream_api_prefix reads events alone`;
      throw new IsobarError('ISOBAR_BUS_CONTEXT', text, { field: 'jetstream_api_prefix' });
    }
    return openRecordsOn(this.#connection, options);
  }

  /** Events that JetStream keeps; the stream itself is made by its `ensure`. */
  openEventStream(options: EventStreamOptions): Promise<EventStream> {
    return openEventStreamOn(this.#connection, options, this.#apiPrefix);
  }

  /** @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED */
  describeServer(): Promise<ServerDescription> {
    return describeServerOn(this.#connection);
  }

  /**
   * @returns null where there is no such stream
   * @throws IsobarError ISOBAR_BUS_NOT_PERMITTED, ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_NO_RESPONDERS
   */
  describeStream(stream: string, timeoutMs: number): Promise<StreamDescription | null> {
    const apiPrefix = this.#apiPrefix;
    const settings = { timeout: timeoutMs, ...(apiPrefix === null ? {} : { apiPrefix }) };
    return describeStreamOn(this.#connection, stream, settings);
  }

  /** @throws IsobarError ISOBAR_BUS_NOT_PERMITTED, ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_NO_RESPONDERS */
  storeLimits(timeoutMs: number): Promise<StoreLimits> {
    return storeLimitsOn(this.#connection, timeoutMs);
  }

  /** Serves commands as a NATS micro service, until it is stopped or the bus is drained. */
  serveCommands(
    options: CommandServiceOptions,
    endpoints: readonly CommandEndpoint[],
  ): Promise<CommandService> {
    return serveOn(this.#connection, options, endpoints, this.#options.onError);
  }

  /** Everything published so far has reached the server. */
  flush(): Promise<void> {
    return this.#connection.flush();
  }

  /** Ends subscriptions, hands over what has come, sends what waits, and closes. */
  async drain(): Promise<void> {
    if (!this.#connection.isClosed()) await this.#connection.drain();
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
