import { oldestKept } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const committed = (version: number) => ({ version, isCommitted: true });
const voided = (version: number) => ({ version, isCommitted: false });

describe('records kept', () => {
  it('are those of the newest committed versions, and all that are newer', () => {
    const newestFirst = [voided(9), committed(8), voided(7), committed(5), voided(4), committed(3)];
    expect(oldestKept(newestFirst, 1, 8)).toBe(8);
    expect(oldestKept(newestFirst, 2, 8)).toBe(5);
    expect(oldestKept(newestFirst, 3, 8)).toBe(3);
  });

  it('are all where there are no more than that', () => {
    expect(oldestKept([committed(3), voided(2), committed(1)], 3, 3)).toBe(0);
    expect(oldestKept([], 1, 0)).toBe(0);
  });

  it('are all that some rank may not have followed beyond', () => {
    const newestFirst = [committed(9), committed(8), committed(7)];
    expect(oldestKept(newestFirst, 1, 7)).toBe(7);
    expect(oldestKept(newestFirst, 1, 0)).toBe(0);
  });
});
