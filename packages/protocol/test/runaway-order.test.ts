import { firstLeaderAheadMax, leaderAheadMax } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { RankUnderTest } from './rank-under-test.js';
import { everybody, fenceOf, proposed, voided } from './swap-records.js';

const leader = fenceOf(1, 'a');
const largest = Number.MAX_SAFE_INTEGER;
let world: RankUnderTest;

beforeEach(() => {
  world = new RankUnderTest();
  world.startEngine('serving');
  world.settle();
  world.query(leader);
  world.settle();
});

function refused() {
  return world.told.flatMap((effect) =>
    effect.kind === 'refused' ? [{ what: effect.what, code: effect.fields.code }] : [],
  );
}

const code = 'ISOBAR_PROTOCOL_RUNAWAY';

describe('an order with a term that no leader can have come to', () => {
  it('is refused, whatever it orders, and the rank follows its leader as before', () => {
    const far = fenceOf(largest, 'f');
    world.prepare(proposed(1, 0), far);
    world.outcome(voided(1), far);
    world.retire(1, far);
    world.query(far);
    world.hear({ kind: 'outcomes-told', fence: far, outcomes: [] });
    world.hear({
      kind: 'cut',
      message: { schema: 1, fence: far, member: everybody[1] ?? { rank: 1, incarnation: '' } },
    });
    const newest = { version: 0, digest: '0'.repeat(64) };
    const numbers = { newest, decidedUpTo: 0, open: null, retiredUpTo: 0 };
    world.hear({
      kind: 'swap-state',
      message: { schema: 1, fence: far, ...numbers, schemaRange: [1, 1] },
    });
    world.settle();
    expect(refused().map(({ what }) => what)).toEqual([
      'prepare',
      'outcome',
      'retire',
      'query',
      'outcomes',
      'cut',
      'swap state',
    ]);
    expect(new Set(refused().map((each) => each.code))).toEqual(new Set([code]));
    expect(world.saved.fence).toEqual(leader);
    expect(world.answers.at(-1)?.fence).toEqual(leader);
    world.prepare(proposed(1, 0), leader);
    world.settle();
    world.endStaging();
    world.settle();
    expect(world.votes.at(-1)).toMatchObject({ version: 1, yes: true });
  });

  it('is followed where it is only far ahead', () => {
    const far = fenceOf(1 + leaderAheadMax, 'f');
    world.query(far);
    world.settle();
    expect(world.saved.fence).toEqual(far);
  });

  it('is followed from further ahead by an agent that has followed none since it began', () => {
    const far = fenceOf(2 + leaderAheadMax, 'f');
    world.query(far);
    expect(world.saved.fence).toEqual(leader);
    world.restartAgent();
    world.settle();
    world.query(far);
    world.settle();
    expect(world.saved.fence).toEqual(far);
    expect(2 + leaderAheadMax).toBeLessThan(firstLeaderAheadMax);
  });
});

describe('an order with a version that no leader can have come to', () => {
  it('is refused, so that the rank may vote on the next one', () => {
    world.outcome(voided(largest), leader);
    world.settle();
    expect(refused()).toEqual([{ what: 'outcome', code }]);
    expect(world.saved.votedUpTo).toBe(0);
  });
});
