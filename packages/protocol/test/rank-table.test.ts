import { type RankTable, withRank } from '@isobar/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('a table of ranks', () => {
  it('is what a Map would be, at every step, and the ones before stay as they were', () => {
    const entry = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer());
    fc.assert(
      fc.property(fc.array(entry), fc.array(entry), (begun, added) => {
        let expected: ReadonlyMap<number, number> = new Map(begun);
        let table: RankTable<number> = expected;
        for (const [rank, value] of added) {
          const before = [...table];
          const next = withRank(table, rank, value);
          expect([...table]).toEqual(before);
          table = next;
          expected = new Map(expected).set(rank, value);
          expect([...table]).toEqual([...expected]);
          expect([...table.values()]).toEqual([...expected.values()]);
          expect(table.size).toBe(expected.size);
          for (let at = 0; at <= 41; at += 1) expect(table.get(at)).toBe(expected.get(at));
        }
      }),
      { numRuns: 50 },
    );
  });
});
