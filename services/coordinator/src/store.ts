import { setTimeout as delay } from 'node:timers/promises';
import type { Bus, Records } from '@isobar/bus';
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  controlRecordKey,
  IsobarError,
  leaderRecordKey,
  mapRecordKey,
  recordsBucket,
  type StoredBytes,
  type WriteResult,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { RecordPruner } from './record-pruner.js';
import type { CoordinatorSettings } from './settings.js';
import { StorePatience } from './store-patience.js';
import { isCommittedRecord, storedVersions } from './stored-versions.js';

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

/**
 * Committed versions that a new leader reads, the newest: one in force, those whose buffers may
 * still be retained, and some to show what has been lost. As many are always kept.
 */
const committedReadMax = 8;
const readAtATime = 16;

/** Opens the deployment's records: tries for as long as it takes, and says once what is wrong. */
export async function openStore(
  bus: Bus,
  { deployment, replicas, retryMs, renewDeadlineMs, recordsKept }: CoordinatorSettings,
  logger: Logger,
  signal: AbortSignal,
): Promise<Store> {
  const options = { bucket: recordsBucket(deployment), replicas, timeoutMs: retryMs };
  const patience = new StorePatience(bus, renewDeadlineMs, (cause) =>
    logger.error({ err: cause }, 'server not left'),
  );
  let told = '';
  for (;;) {
    try {
      const records = await bus.openRecords(options);
      return new Store(records, new RecordPruner(records, recordsKept), patience, logger);
    } catch (error) {
      signal.throwIfAborted();
      patience.failed();
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
  readonly #pruner: RecordPruner;
  readonly #patience: StorePatience;
  readonly #logger: Logger;
  /** By kind of access the newest failure, until one succeeds: told once, it may last long. */
  readonly #failures = new Map<string, string>();

  constructor(records: Records, pruner: RecordPruner, patience: StorePatience, logger: Logger) {
    this.#records = records;
    this.#pruner = pruner;
    this.#patience = patience;
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

  /** What fails is done at the next time. */
  async prune(retiredUpTo: number): Promise<void> {
    try {
      await this.#pruner.prune(retiredUpTo);
      this.#reached('prune');
    } catch (error) {
      this.#tell('prune', error);
    }
  }

  /** The outcome of one version, null where none is kept. @throws IsobarError of the bus */
  async readVersion(version: number): Promise<Uint8Array | null> {
    if (version < this.#pruner.oldestKept) return null;
    return (await this.#records.get(mapRecordKey(version)))?.value ?? null;
  }

  async #read(key: string): Promise<StoredBytes | null | 'failed'> {
    try {
      const stored = await this.#records.get(key);
      this.#reached(`read ${key}`);
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
      this.#reached(`write ${key}`);
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
    this.#reached('create');
    const { kind } = created;
    return kind === 'created'
      ? { ...settled, result: { kind } }
      : { ...settled, result: { kind, bytes: created.value } };
  }

  async #readRecords(token: number): Promise<CoordinatorEvent> {
    try {
      const maps = await this.#newestMaps();
      const control = await this.#records.get(controlRecordKey);
      this.#reached('read all');
      const stored = control === null ? null : { bytes: control.value, revision: control.revision };
      return { kind: 'records-read', token, maps, control: stored };
    } catch (error) {
      this.#tell('read all', error);
      return { kind: 'records-read-failed', token };
    }
  }

  /** From the newest down, until enough committed ones are among them. */
  async #newestMaps(): Promise<Uint8Array[]> {
    const versions = await storedVersions(this.#records);
    const maps: Uint8Array[] = [];
    let committed = 0;
    for (
      let start = 0;
      start < versions.length && committed < committedReadMax;
      start += readAtATime
    ) {
      const next = versions.slice(start, start + readAtATime).map(mapRecordKey);
      for (const { value } of await this.#records.getAll(next)) {
        maps.push(value);
        committed += isCommittedRecord(value) ? 1 : 0;
      }
    }
    return maps;
  }

  #reached(access: string): void {
    this.#failures.delete(access);
    this.#patience.reached();
  }

  #tell(access: string, error: unknown): void {
    if (!(error instanceof IsobarError)) throw error;
    this.#patience.failed();
    const isTold = this.#failures.get(access) === error.message;
    this.#failures.set(access, error.message);
    this.#logger[isTold ? 'debug' : 'warn']({ err: error, access }, 'store not reached');
  }
}
