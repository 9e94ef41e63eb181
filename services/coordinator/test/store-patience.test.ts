import { describe, expect, it } from 'vitest';
import { StorePatience } from '../src/store-patience.js';

describe('patience with a store that is not reached', () => {
  it('ends after the time given, and begins anew with each server', () => {
    let nowMs = 0;
    let left = 0;
    const bus = {
      leaveServer: async () => {
        left += 1;
      },
    };
    const patience = new StorePatience(
      bus,
      2_000,
      () => expect.unreachable(),
      () => nowMs,
    );
    const failAt = (atMs: number) => {
      nowMs = atMs;
      patience.failed();
      return left;
    };
    expect(failAt(1_999)).toBe(0);
    patience.reached();
    expect(failAt(3_500)).toBe(0);
    expect(failAt(3_999)).toBe(1);
    expect(failAt(5_900)).toBe(1);
    expect(failAt(6_000)).toBe(2);
  });

  it('tells of a server that can’t be left', async () => {
    const cause = new Error('the connection is closed');
    const bus = { leaveServer: () => Promise.reject(cause) };
    const told = await new Promise((resolve) => {
      new StorePatience(bus, 0, resolve, () => 0).failed();
    });
    expect(told).toBe(cause);
  });
});
