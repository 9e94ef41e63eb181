import { encodeMapRecord } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { Placements, type PlacementsContext } from '../src/placements.js';
import { committed, earlier, inForce } from './leadership-world.js';

let stored: Map<number, Uint8Array>;
let read: number[];
/** How often the store was waited for. */
let waits: number;
let isAsked: boolean;

const context = {
  readVersion: async (version: number) => {
    read.push(version);
    if (!isAsked) {
      isAsked = true;
      waits += 1;
      setImmediate(() => {
        isAsked = false;
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
    return stored.get(version) ?? null;
  },
} as unknown as PlacementsContext;

beforeEach(() => {
  stored = new Map();
  read = [];
  waits = 0;
  isAsked = false;
});

describe('the mapping before a version', () => {
  const before = (version: number) => new Placements(context).mappingBefore(version);

  it('is that of the newest committed one below it', async () => {
    stored.set(40, encodeMapRecord(committed(40, earlier)));
    stored.set(39, encodeMapRecord(committed(39, inForce)));
    expect((await before(60))?.digest()).toBe(earlier.digest());
  });

  it('is looked for in the store by several reads at a time', async () => {
    expect(await before(100)).toBeNull();
    expect(read).toEqual(Array.from({ length: 64 }, (_, back) => 99 - back));
    expect(waits).toBe(4);
  });

  it('is not looked for below the first one', async () => {
    expect(await before(3)).toBeNull();
    expect(read).toEqual([2, 1]);
  });
});
