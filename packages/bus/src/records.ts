import { IsobarError } from '@isobar/protocol';
import { type JetStreamClient, type JetStreamManager, type NatsConnection, NatsError } from 'nats';
import { coded } from './nats-errors.js';

export interface RecordsOptions {
  readonly bucket: string;
  /** Copies that the cluster keeps. @default 1 */
  readonly replicas?: number;
  /** @default 5,000 */
  readonly timeoutMs?: number;
}

/** `unknown`: whether the write took place is not known; settled by writing again. */
export type CreateResult =
  | { readonly kind: 'created' }
  | { readonly kind: 'exists'; readonly value: Uint8Array }
  | { readonly kind: 'unknown'; readonly cause: IsobarError };

export type CompareAndSetResult =
  | { readonly kind: 'set'; readonly revision: number }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'unknown'; readonly cause: IsobarError };

export interface StoredRecord {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** JetStream's answer to a write whose expected last sequence is wrong. */
const wrongLastSequence = 10071;
const messageNotFound = 10037;

/** Key-value records on JetStream. Every read is the stream leader's; direct reads are off. */
export class Records {
  readonly #stream: string;
  readonly #prefix: string;
  readonly #jetStream: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #timeoutMs: number;

  /** @internal use Bus.openRecords */
  constructor(
    bucket: string,
    jetStream: JetStreamClient,
    manager: JetStreamManager,
    timeoutMs: number,
  ) {
    this.#stream = `KV_${bucket}`;
    this.#prefix = `$KV.${bucket}.`;
    this.#jetStream = jetStream;
    this.#manager = manager;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Creates a record that has never existed. A put that expects sequence 0: the client's own
   * `create` would overwrite a deleted record.
   * @throws IsobarError ISOBAR_BUS_FAILED where the server refuses for another reason
   */
  async createOnce(key: string, value: Uint8Array): Promise<CreateResult> {
    const result = await this.compareAndSet(key, value, 0);
    if (result.kind === 'set') return { kind: 'created' };
    if (result.kind === 'unknown') return result;
    const existing = await this.get(key);
    if (existing !== null) return { kind: 'exists', value: existing.value };
    const message = `record ${key} was refused as existing and is not there`;
    return { kind: 'unknown', cause: new IsobarError('ISOBAR_BUS_FAILED', message, { key }) };
  }

  /** @param expectedRevision 0 where the record must not exist */
  async compareAndSet(
    key: string,
    value: Uint8Array,
    expectedRevision: number,
  ): Promise<CompareAndSetResult> {
    try {
      const acknowledged = await this.#jetStream.publish(`${this.#prefix}${key}`, value, {
        expect: { lastSubjectSequence: expectedRevision },
        timeout: this.#timeoutMs,
      });
      return { kind: 'set', revision: acknowledged.seq };
    } catch (cause) {
      if (apiErrorCode(cause) === wrongLastSequence) return { kind: 'conflict' };
      if (apiErrorCode(cause) !== null) throw coded(`record ${key}`, cause);
      // No word from the server: the write may have taken place, or may yet.
      return { kind: 'unknown', cause: coded(`record ${key}`, cause) };
    }
  }

  async get(key: string): Promise<StoredRecord | null> {
    try {
      const subject = `${this.#prefix}${key}`;
      const stored = await this.#manager.streams.getMessage(this.#stream, {
        last_by_subj: subject,
      });
      return { key, value: stored.data, revision: stored.seq };
    } catch (cause) {
      if (apiErrorCode(cause) === messageNotFound) return null;
      throw coded(`record ${key}`, cause);
    }
  }

  /** Every record whose key begins with `prefix`, a whole number of tokens with its dot. */
  async list(prefix: string): Promise<StoredRecord[]> {
    const filter = `${this.#prefix}${prefix}>`;
    const info = await this.#manager.streams
      .info(this.#stream, { subjects_filter: filter })
      .catch((cause: unknown) => {
        throw coded(`records ${prefix}`, cause);
      });
    const records: StoredRecord[] = [];
    for (const subject of Object.keys(info.state.subjects ?? {})) {
      const record = await this.get(subject.slice(this.#prefix.length));
      if (record !== null) records.push(record);
    }
    return records;
  }
}

function apiErrorCode(cause: unknown): number | null {
  return cause instanceof NatsError ? (cause.api_error?.err_code ?? null) : null;
}

export async function openRecordsOn(
  connection: NatsConnection,
  options: RecordsOptions,
): Promise<Records> {
  const timeoutMs = options.timeoutMs ?? 5_000;
  try {
    const jetStream = connection.jetstream({ timeout: timeoutMs });
    await jetStream.views.kv(options.bucket, {
      replicas: options.replicas ?? 1,
      history: 1,
      allow_direct: false,
      timeout: timeoutMs,
    });
    const manager = await connection.jetstreamManager({ timeout: timeoutMs });
    return new Records(options.bucket, jetStream, manager, timeoutMs);
  } catch (cause) {
    throw coded(`bucket ${options.bucket}`, cause);
  }
}
