import { setTimeout as delay } from 'node:timers/promises';
import type { Bus, Records } from '@isobar/bus';
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  controlRecordKey,
  IsobarError,
  leaderRecordKey,
  mapRecordKey,
  readDecidedVersion,
  recordsBucket,
  type StoredBytes,
  type WriteResult,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { CoordinatorSettings } from './settings.js';

export type StoreEffect = Extract<
  CoordinatorEffect,
  {
    readonly kind:
      | 'read-leader'
      | 'write-leader'
      | 'read-records'
      | 'create-record'
      | 'read-control'
      | 'write-control';
  }
>;

const mapPrefix = 'map.';
/**
 * Committed versions that a new leader reads, the newest: one in force, those whose buffers may
 * still be retained, and some to show what has been lost.
 */
const committedRead = 8;
const readAtATime = 16;

/** Opens the deployment's records: tries for as long as it takes, and says once what is wrong. */
export async function openStore(
  bus: Bus,
  { deployment, replicas, retryMs }: CoordinatorSettings,
  logger: Logger,
  signal: AbortSignal,
): Promise<Store> {
  const options = { bucket: recordsBucket(deployment), replicas, timeoutMs: retryMs };
  let told = '';
  for (;;) {
    try {
      return new Store(await bus.openRecords(options), logger);
    } catch (error) {
      signal.throwIfAborted();
      const text = String(error);
      if (text !== told) logger.error({ err: error }, 'records not reached yet');
      told = text;
    }
    await delay(retryMs, undefined, { signal });
  }
}

/** What the machine asks of the store, carried out; every outcome comes back as an event. */
export class Store {
  readonly #records: Records;
  readonly #logger: Logger;
  /** By kind of access the newest failure, until one succeeds: told once, it may last long. */
  readonly #failures = new Map<string, string>();

  constructor(records: Records, logger: Logger) {
    this.#records = records;
    this.#logger = logger;
  }

  async perform(effect: StoreEffect): Promise<CoordinatorEvent> {
    const { token } = effect;
    switch (effect.kind) {
      case 'read-leader': {
        const read = await this.#read(leaderRecordKey);
        return read === 'failed'
          ? { kind: 'leader-read-failed', token }
          : { kind: 'leader-read', token, stored: read };
      }
      case 'write-leader': {
        const result = await this.#write(leaderRecordKey, effect);
        return { kind: 'leader-written', token, result };
      }
      case 'read-control': {
        const read = await this.#read(controlRecordKey);
        return read === 'failed'
          ? { kind: 'control-read-failed', token }
          : { kind: 'control-read', token, stored: read };
      }
      case 'write-control': {
        const result = await this.#write(controlRecordKey, effect);
        return { kind: 'control-written', token, result };
      }
      case 'read-records':
        return this.#readRecords(token);
      case 'create-record':
        return this.#create(effect);
    }
  }

  /** The outcome of one version, null where there is none. @throws IsobarError of the bus */
  async readVersion(version: number): Promise<Uint8Array | null> {
    return (await this.#records.get(mapRecordKey(version)))?.value ?? null;
  }

  async #read(key: string): Promise<StoredBytes | null | 'failed'> {
    try {
      const stored = await this.#records.get(key);
      this.#failures.delete(`read ${key}`);
      return stored === null ? null : { bytes: stored.value, revision: stored.revision };
    } catch (error) {
      this.#tell(`read ${key}`, error);
      return 'failed';
    }
  }

  async #write(
    key: string,
    effect: { readonly bytes: Uint8Array; readonly expectedRevision: number },
  ): Promise<WriteResult> {
    const { bytes, expectedRevision } = effect;
    const result = await this.#records.compareAndSet(key, bytes, expectedRevision);
    if (result.kind === 'set' || result.kind === 'conflict') {
      this.#failures.delete(`write ${key}`);
      return result;
    }
    this.#tell(`write ${key}`, result.cause);
    return { kind: result.kind };
  }

  async #create(
    effect: Extract<StoreEffect, { readonly kind: 'create-record' }>,
  ): Promise<CoordinatorEvent> {
    const { token, version, bytes } = effect;
    const settled = { kind: 'record-settled', token, version } as const;
    const created = await this.#records.createOnce(mapRecordKey(version), bytes);
    if (created.kind === 'unknown' || created.kind === 'refused') {
      this.#tell('create', created.cause);
      return { ...settled, result: { kind: 'unknown' } };
    }
    this.#failures.delete('create');
    const { kind } = created;
    return kind === 'created'
      ? { ...settled, result: { kind } }
      : { ...settled, result: { kind, bytes: created.value } };
  }

  async #readRecords(token: number): Promise<CoordinatorEvent> {
    try {
      const maps = await this.#newestMaps();
      const control = await this.#records.get(controlRecordKey);
      this.#failures.delete('read all');
      const stored = control === null ? null : { bytes: control.value, revision: control.revision };
      return { kind: 'records-read', token, maps, control: stored };
    } catch (error) {
      this.#tell('read all', error);
      return { kind: 'records-read-failed', token };
    }
  }

  /** From the newest down, until enough committed ones are among them. */
  async #newestMaps(): Promise<Uint8Array[]> {
    const keys = await this.#records.keys(mapPrefix);
    const versions = keys
      .map((key) => Number(key.slice(mapPrefix.length)))
      .filter((version) => Number.isSafeInteger(version) && version >= 0)
      .sort((a, b) => b - a);
    const maps: Uint8Array[] = [];
    let committed = 0;
    for (
      let start = 0;
      start < versions.length && committed < committedRead;
      start += readAtATime
    ) {
      const next = versions.slice(start, start + readAtATime).map(mapRecordKey);
      for (const { value } of await this.#records.getAll(next)) {
        maps.push(value);
        committed += isCommitted(value) ? 1 : 0;
      }
    }
    return maps;
  }

  #tell(access: string, error: unknown): void {
    if (!(error instanceof IsobarError)) throw error;
    const isTold = this.#failures.get(access) === error.message;
    this.#failures.set(access, error.message);
    this.#logger[isTold ? 'debug' : 'warn']({ err: error, access }, 'store not reached');
  }
}

/** Not for a record that can't be read: the machine finds that out by itself. */
function isCommitted(bytes: Uint8Array): boolean {
  try {
    return readDecidedVersion(bytes).known.outcome === 'committed';
  } catch (error) {
    if (error instanceof IsobarError) return false;
    throw error;
  }
}
