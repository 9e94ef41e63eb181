import type { Records } from '@isobar/bus';
import { mapRecordKey, oldestKept, type RecordOutcome } from '@isobar/protocol';
import { isCommittedRecord, storedVersions } from './stored-versions.js';

/** Records that are read, and that are deleted, at one go: the rest at the next. */
const readsMax = 256;
const purgesMax = 64;
const readAtATime = 16;

/** Deletes the records of versions that are no longer recent, some at a time. */
export class RecordPruner {
  readonly #records: Records;
  readonly #committedKept: number;
  /** Of records that are there, whether they are of committed versions. */
  #outcomes = new Map<number, boolean>();
  #isPruning = false;
  #oldestKept = 0;

  constructor(records: Records, committedKept: number) {
    this.#records = records;
    this.#committedKept = committedKept;
  }

  /** What is older has been deleted; where it is there again, a write has landed late. */
  get oldestKept(): number {
    return this.#oldestKept;
  }

  /** Nothing where it is being done. @throws IsobarError those of the bus */
  async prune(retiredUpTo: number): Promise<void> {
    if (this.#isPruning) return;
    this.#isPruning = true;
    try {
      const versions = await storedVersions(this.#records);
      const newest = await this.#newestOutcomes(versions);
      const oldest = oldestKept(newest, this.#committedKept, retiredUpTo);
      this.#oldestKept = Math.max(this.#oldestKept, oldest);
      const old = versions.filter((version) => version < oldest).reverse();
      for (const version of old.slice(0, purgesMax)) {
        await this.#records.purge(mapRecordKey(version));
      }
    } finally {
      this.#isPruning = false;
    }
  }

  /** From the newest down, until enough committed ones are among them. */
  async #newestOutcomes(versions: readonly number[]): Promise<RecordOutcome[]> {
    const outcomes = new Map<number, boolean>();
    let reads = 0;
    let committed = 0;
    for (let start = 0; start < versions.length; start += readAtATime) {
      if (committed >= this.#committedKept || reads >= readsMax) break;
      const batch = versions.slice(start, start + readAtATime);
      const unread = batch.filter((version) => !this.#outcomes.has(version));
      reads += unread.length;
      const read = await this.#read(unread);
      for (const version of batch) {
        const isCommitted = read.get(version) ?? this.#outcomes.get(version) ?? false;
        outcomes.set(version, isCommitted);
        committed += isCommitted ? 1 : 0;
      }
    }
    this.#outcomes = outcomes;
    return [...outcomes].map(([version, isCommitted]) => ({ version, isCommitted }));
  }

  async #read(versions: readonly number[]): Promise<Map<number, boolean>> {
    const keys = new Map(versions.map((version) => [mapRecordKey(version), version]));
    const read = new Map<number, boolean>();
    for (const { key, value } of await this.#records.getAll([...keys.keys()])) {
      const version = keys.get(key);
      if (version !== undefined) read.set(version, isCommittedRecord(value));
    }
    return read;
  }
}
