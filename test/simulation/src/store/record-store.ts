/** What is stored under a key, with the stream sequence that wrote it. */
export interface StoredValue {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

export type WriteResult =
  | { readonly kind: 'set'; readonly revision: number }
  | { readonly kind: 'conflict' };

interface LogEntry {
  readonly key: string;
  readonly value: Uint8Array;
}

/**
 * The key-value stream as its cluster agrees on it. Sequences count from 1; a loss takes the
 * newest writes away, and later writes get their numbers again.
 */
export class RecordStore {
  readonly #log: LogEntry[] = [];
  /** Sequences that wrote each key, ascending. */
  readonly #sequences = new Map<string, number[]>();

  get lastSequence(): number {
    return this.#log.length;
  }

  /** @param expectedRevision 0 where the key must never have been written */
  write(key: string, value: Uint8Array, expectedRevision: number): WriteResult {
    let sequences = this.#sequences.get(key);
    if (sequences === undefined) {
      sequences = [];
      this.#sequences.set(key, sequences);
    }
    if ((sequences.at(-1) ?? 0) !== expectedRevision) return { kind: 'conflict' };
    this.#log.push({ key, value });
    sequences.push(this.#log.length);
    return { kind: 'set', revision: this.#log.length };
  }

  /** Nothing is left of the key: who expects none may write it. */
  purge(key: string): void {
    this.#sequences.delete(key);
  }

  /** @param asOf the last sequence that the reader's server knows; older than the newest: stale */
  read(key: string, asOf: number): StoredValue | null {
    const sequences = this.#sequences.get(key) ?? [];
    for (let index = sequences.length - 1; index >= 0; index -= 1) {
      const revision = sequences[index] ?? 0;
      const entry = this.#log[revision - 1];
      if (revision <= asOf && entry !== undefined) return { bytes: entry.value, revision };
    }
    return null;
  }

  /** Values of all keys that begin with `prefix`, as `read` would tell them. */
  list(prefix: string, asOf: number): Uint8Array[] {
    const values: Uint8Array[] = [];
    for (const key of this.#sequences.keys()) {
      if (!key.startsWith(prefix)) continue;
      const stored = this.read(key, asOf);
      if (stored !== null) values.push(stored.bytes);
    }
    return values;
  }

  /** Acknowledged writes are gone, newest first, with their sequence numbers. */
  lose(count: number): string[] {
    const lost: string[] = [];
    for (let index = 0; index < count; index += 1) {
      const entry = this.#log.pop();
      if (entry === undefined) break;
      this.#sequences.get(entry.key)?.pop();
      lost.push(entry.key);
    }
    return lost;
  }

  /** How many of the newest writes a loss must take for the newest one of `prefix` to go, 0: none. */
  depthOf(prefix: string): number {
    const at = this.#log.findLastIndex(({ key }) => key.startsWith(prefix));
    return at < 0 ? 0 : this.#log.length - at;
  }
}
