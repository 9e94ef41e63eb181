import { type DecidedVersion, type TakeoverState, takeoverAnswer } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { settledGroup } from '../support/group.js';

/** Told each time that it is gone through, which every weighing of the answers does. */
class CountingMap extends Map<number, DecidedVersion> {
  times = 0;

  override [Symbol.iterator]() {
    this.times += 1;
    return super[Symbol.iterator]();
  }
}

/** A takeover under way: of its own copies of all that ranks tell. */
function takenOver(numRanks: number) {
  const group = settledGroup(numRanks);
  group.leader = null;
  group.beginTakeover(2);
  const stored = new CountingMap(group.store);
  group.takeover = { ...takeoverOf(group), stored };
  stored.times = 0;
  return { group, stored };
}

function takeoverOf({ takeover }: { takeover: TakeoverState | null }): TakeoverState {
  if (takeover === null) throw new Error('nobody takes over');
  return takeover;
}

/** How often all answers are weighed until every rank has answered. */
function timesWeighed(numRanks: number): number {
  const { group, stored } = takenOver(numRanks);
  group.answerTakeover();
  expect(group.takeoverEffects.at(-1)).toMatchObject({ kind: 'complete' });
  return stored.times;
}

describe('a takeover', () => {
  it('weighs the answers of 1,024 ranks no more often than those of 4', () => {
    expect(timesWeighed(1_024)).toBe(timesWeighed(4));
  });

  it('weighs them once more where one tells what nobody has told', () => {
    const { group, stored } = takenOver(64);
    group.answerTakeover([0, 1, 2]);
    const before = stored.times;
    group.answerTakeover([3, 4]);
    expect(stored.times).toBe(before);
    group.rank(5).vote = {
      version: 2,
      digest: 'd'.repeat(64),
      base: group.rank(5).base,
      incarnation: group.rank(5).incarnation,
      proposal: Uint8Array.of(1),
    };
    group.answerTakeover([5]);
    expect(stored.times).toBeGreaterThan(before);
  });

  it('keeps what ranks tell alike once, and no message for it', () => {
    const numRanks = 32;
    const { group } = takenOver(numRanks);
    for (let rank = 0; rank < numRanks - 1; rank += 1) {
      group.rank(rank).fence = takeoverOf(group).fence;
      const answer = structuredClone(group.answer(rank));
      group.toTakeover(takeoverAnswer(answer, takeoverOf(group)));
    }
    const words = [...takeoverOf(group).words.values()].flat();
    expect(words).toHaveLength(numRanks - 1);
    const records = words.flatMap(({ outcomes }) => outcomes.map(({ known }) => known.record));
    expect(records).toHaveLength(numRanks - 1);
    expect(new Set(records).size).toBe(1);
    const states = words.flatMap(({ answer }) => answer.engine?.state ?? []);
    expect(new Set(states.map(({ physicalToLogical }) => physicalToLogical)).size).toBe(1);
    expect(states.every(({ outcomes }) => outcomes.length === 0)).toBe(true);
    expect(words.every(({ answer }) => answer.outcomes.length === 0)).toBe(true);
  });
});
