import type { Records } from '@isobar/bus';
import { encodeMapRecord, mapRecordKey } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { RecordPruner } from '../src/record-pruner.js';
import { committed, fence, inForce } from './leadership-world.js';

let stored: Map<string, Uint8Array>;
let reads: string[];

const records = {
  keys: async () => [...stored.keys()],
  getAll: async (keys: readonly string[]) => {
    reads.push(...keys);
    return keys.flatMap((key) => {
      const value = stored.get(key);
      return value === undefined ? [] : [{ key, value, revision: 1 }];
    });
  },
  purge: async (key: string) => void stored.delete(key),
} as unknown as Records;

function commit(...versions: number[]): void {
  for (const version of versions) {
    stored.set(mapRecordKey(version), encodeMapRecord(committed(version, inForce)));
  }
}

function voidNumber(version: number): void {
  const record = { schema: 1, outcome: 'void', version, fence, reason: 'test' } as const;
  stored.set(mapRecordKey(version), encodeMapRecord(record));
}

function versions(): number[] {
  return [...stored.keys()].map((key) => Number(key.slice('map.'.length))).sort((a, b) => a - b);
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

beforeEach(() => {
  stored = new Map();
  reads = [];
});

describe('pruning', () => {
  it('keeps the newest committed versions and what lies between them', async () => {
    commit(1, 2, 4, 6, 7);
    for (const version of [3, 5, 8]) voidNumber(version);
    const pruner = new RecordPruner(records, 3);
    await pruner.prune(7);
    expect(versions()).toEqual([4, 5, 6, 7, 8]);
    expect(pruner.oldestKept).toBe(4);
  });

  it('keeps what is not retired', async () => {
    commit(...range(1, 6));
    await new RecordPruner(records, 2).prune(3);
    expect(versions()).toEqual([3, 4, 5, 6]);
  });

  it('deletes the oldest first, so many at one go, and reads each record once', async () => {
    commit(...range(1, 100));
    const pruner = new RecordPruner(records, 8);
    await pruner.prune(100);
    expect(versions()).toEqual(range(65, 100));
    await pruner.prune(100);
    expect(versions()).toEqual(range(93, 100));
    expect(reads).toHaveLength(new Set(reads).size);
  });

  it('deletes again what a late write has brought back', async () => {
    commit(...range(1, 10));
    const pruner = new RecordPruner(records, 8);
    await pruner.prune(10);
    voidNumber(2);
    expect(pruner.oldestKept).toBe(3);
    await pruner.prune(10);
    expect(versions()).toEqual(range(3, 10));
  });

  it('goes on after a failure', async () => {
    commit(...range(1, 10));
    const pruner = new RecordPruner(
      { ...records, purge: () => Promise.reject(new Error('down')) } as unknown as Records,
      8,
    );
    await expect(pruner.prune(10)).rejects.toThrow('down');
    await expect(pruner.prune(10)).rejects.toThrow('down');
    expect(versions()).toEqual(range(1, 10));
  });
});
