import { describe, expect, it } from 'vitest';
import { progressLine, progressLines, swapLine } from '../src/commands/render-progress.js';
import { rankOf, statusOf, swapUnderWay } from './support/status.js';

const effect = { waves: 4, moves: 48, bytes: 48 * 65_536, ranks: [0, 1, 2] };
const running = { command: 'drain', effect, elapsedMs: 3_400 };

describe('the progress of a command', () => {
  it('shows its wave, the ranks that have voted, the experts staged, and bytes', () => {
    const ranks = [
      rankOf(0, { staged: { version: 8, staged: 3, total: 6 } }),
      rankOf(1, { staged: { version: 8, staged: 6, total: 6 } }),
      // Of a version before.
      rankOf(2, { staged: { version: 7, staged: 1, total: 9 } }),
    ];
    expect(progressLines(statusOf(3, { swap: swapUnderWay, ranks }), running)).toEqual([
      'drain  ██████··············  wave 2 of 4  3.0 MiB in all  3.4 s',
      '  version 8  preparing  4/8 ranks voted  █████████··· 9/12 experts  768.0 KiB',
    ]);
  });

  it.each([
    ['activating', '8/8 ranks activated'],
    ['retiring', '8/8 ranks retired'],
    ['discarding', '8/8 ranks discarded'],
    ['deciding', 'deciding'],
  ])('says in the phase %s what it waits for', (phase, text) => {
    const swap = { ...swapUnderWay, phase, missingRanks: [] };
    expect(swapLine(statusOf(8, { swap }))).toContain(text);
  });

  it('counts more waves than were foreseen where there are', () => {
    const swap = { ...swapUnderWay, wavesWaiting: 9 };
    expect(progressLine(statusOf(8, { swap }), running)).toBe(
      'drain: wave 1 of 10: version 8 preparing',
    );
  });

  it('says that it waits where another swap is to come first', () => {
    expect(progressLines(statusOf(8), running)).toEqual(['drain  waiting to begin  3.4 s']);
    expect(swapLine(statusOf(8))).toBeNull();
  });
});
