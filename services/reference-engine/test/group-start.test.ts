import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GroupStart } from '../src/group-start.js';
import type { PeerGreeting } from '../src/peer-greeting.js';
import { greetingOf } from './fake-link.js';

const deadlineMs = 60_000;

function peer(rank: number, changes: Partial<PeerGreeting> = {}) {
  return { greeting: greetingOf(rank, changes) };
}

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('an engine that starts', () => {
  it('serves at once where it is alone', async () => {
    expect(await new GroupStart(1, deadlineMs).beginning).toBe('serving');
  });

  it('serves once all ranks are connected and none has begun before', async () => {
    const start = new GroupStart(3, deadlineMs);
    const lost = peer(1);
    start.connected(lost);
    start.lost(lost);
    start.connected(peer(2));
    expect(start.isKnown).toBe(false);
    start.connected(peer(1, { standing: 'serving' }));
    expect(await start.beginning).toBe('serving');
  });

  it.each([
    ['is in a step', { standing: 'serving', step: 0 }],
    ['knows of a record', { standing: 'joining', committedVersion: 1 }],
  ] as const)('joins at once where a peer %s', async (_, changes) => {
    const start = new GroupStart(4, deadlineMs);
    start.connected(peer(1, changes));
    expect(await start.beginning).toBe('joining');
  });

  it('joins where all are connected and one of them joins', async () => {
    const start = new GroupStart(3, deadlineMs);
    start.connected(peer(1, { standing: 'joining' }));
    expect(start.isKnown).toBe(false);
    start.connected(peer(2));
    expect(await start.beginning).toBe('joining');
  });

  it('joins where a rank does not come in time', async () => {
    const start = new GroupStart(3, deadlineMs);
    start.connected(peer(1));
    vi.advanceTimersByTime(deadlineMs);
    expect(await start.beginning).toBe('joining');
  });

  it('serves with a group that has begun with it, soon, though a rank died at that moment', async () => {
    const start = new GroupStart(3, deadlineMs);
    start.connected(peer(1));
    start.tokensCame();
    expect(start.isKnown).toBe(false);
    // The other rank has restarted, and seen the group begin.
    start.connected(peer(2, { standing: 'joining' }));
    expect(await start.beginning).toBe('serving');

    const without = new GroupStart(3, deadlineMs);
    without.connected(peer(1));
    without.tokensCame();
    vi.advanceTimersByTime(2_000);
    expect(await without.beginning).toBe('serving');
  });

  it('need not know where it is stopped', async () => {
    const start = new GroupStart(3, deadlineMs);
    start.stop();
    expect(await start.beginning).toBeNull();
  });
});
