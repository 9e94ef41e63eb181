import { IsobarError } from '@isobar/protocol';
import { type JetStreamClient, type JetStreamManager, type NatsConnection, NatsError } from 'nats';
import { coded, isRefused } from './nats-errors.js';

export interface RecordsOptions {
  readonly bucket: string;
  /** Copies that the cluster keeps. @default 1 */
  readonly replicas?: number;
  /** For one read or write. @default 5,000 */
  readonly timeoutMs?: number;
}

/**
 * `refused`: nothing was written, and will be by this call. `unknown`: it may have been written, or
 * may yet be, since a write can land long after its time is over; settled by writing again.
 */
type NotWritten =
  | { readonly kind: 'refused'; readonly cause: IsobarError }
  | { readonly kind: 'unknown'; readonly cause: IsobarError };

export type CreateResult =
  | { readonly kind: 'created' }
  | { readonly kind: 'exists'; readonly value: Uint8Array }
  | NotWritten;

export type CompareAndSetResult =
  | { readonly kind: 'set'; readonly revision: number }
  /** The record has another revision, or another write of it is under way. */
  | { readonly kind: 'conflict' }
  | NotWritten;

export interface StoredRecord {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/**
 * JetStream's answers to a write whose expected last sequence is wrong; the second one where the
 * stream is replicated and another write to the subject is still under way.
 */
const wrongLastSequence: ReadonlySet<number | null> = new Set([10071, 10164]);
const messageNotFound = 10037;
/** By this header a message marks the record as deleted, by whatever client. */
const operationHeader = 'KV-Operation';
const deletions: ReadonlySet<string> = new Set(['DEL', 'PURGE']);
/** Reads under way at a time. */
const readsMax = 16;

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
   * Creates a record that is not there. What was refused as existing is read, and where it can't be,
   * nothing is known.
   */
  async createOnce(key: string, value: Uint8Array): Promise<CreateResult> {
    const result = await this.compareAndSet(key, value, 0);
    if (result.kind === 'set') return { kind: 'created' };
    if (result.kind !== 'conflict') return result;
    try {
      const existing = await this.get(key);
      if (existing !== null) return { kind: 'exists', value: existing.value };
    } catch (cause) {
      return { kind: 'unknown', cause: coded(`record ${key}`, cause) };
    }
    const message = `record ${key} was refused as existing and is not there`;
    return { kind: 'unknown', cause: new IsobarError('ISOBAR_BUS_FAILED', message, { key }) };
  }

  /**
   * Lands once at most: each outcome is told, and none is thrown.
   * @param expectedRevision 0 where the record must not exist, which a deleted one does not
   */
  async compareAndSet(
    key: string,
    value: Uint8Array,
    expectedRevision: number,
  ): Promise<CompareAndSetResult> {
    const result = await this.#publish(key, value, expectedRevision);
    if (result.kind !== 'conflict' || expectedRevision !== 0) return result;
    try {
      const found = await this.#newest(key);
      // The first write was refused for good: this one lands only where nothing came after the deletion.
      return found?.isDeleted === true ? await this.#publish(key, value, found.revision) : result;
    } catch {
      // Why it was refused is not known, but refused it was.
      return result;
    }
  }

  async #publish(
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
      if (wrongLastSequence.has(apiErrorCode(cause))) return { kind: 'conflict' };
      const kind = isRefused(cause) ? 'refused' : 'unknown';
      return { kind, cause: coded(`record ${key}`, cause) };
    }
  }

  /**
   * Null where it never was or is deleted.
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED
   */
  async get(key: string): Promise<StoredRecord | null> {
    const newest = await this.#newest(key);
    if (newest === null || newest.isDeleted) return null;
    const { value, revision } = newest;
    return { key, value, revision };
  }

  async #newest(key: string): Promise<(StoredRecord & { readonly isDeleted: boolean }) | null> {
    try {
      const subject = `${this.#prefix}${key}`;
      const { data, seq, header } = await this.#manager.streams.getMessage(this.#stream, {
        last_by_subj: subject,
      });
      const isDeleted = deletions.has(header.get(operationHeader));
      return { key, value: data, revision: seq, isDeleted };
    } catch (cause) {
      if (apiErrorCode(cause) === messageNotFound) return null;
      throw coded(`record ${key}`, cause);
    }
  }

  /**
   * Keys that begin with `prefix`, a whole number of tokens with its dot; deleted ones among them.
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED
   */
  async keys(prefix: string): Promise<string[]> {
    const filter = `${this.#prefix}${prefix}>`;
    const info = await this.#manager.streams
      .info(this.#stream, { subjects_filter: filter })
      .catch((cause: unknown) => {
        throw coded(`records ${prefix}`, cause);
      });
    return Object.keys(info.state.subjects ?? {}).map((key) => key.slice(this.#prefix.length));
  }

  /**
   * Removes a record and all traces of it: a write that expects none would create it again.
   * @throws IsobarError ISOBAR_BUS_TIMEOUT, ISOBAR_BUS_FAILED, ISOBAR_BUS_NOT_PERMITTED
   */
  async purge(key: string): Promise<void> {
    try {
      await this.#manager.streams.purge(this.#stream, { filter: `${this.#prefix}${key}` });
    } catch (cause) {
      throw coded(`record ${key}`, cause);
    }
  }

  /** Records in the order of their keys; those that are not there are left out. */
  async getAll(keys: readonly string[]): Promise<StoredRecord[]> {
    const records: StoredRecord[] = [];
    for (let start = 0; start < keys.length; start += readsMax) {
      const batch = keys.slice(start, start + readsMax).map((key) => this.get(key));
      for (const record of await Promise.all(batch)) if (record !== null) records.push(record);
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
