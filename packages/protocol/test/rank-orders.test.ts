import type { Fence } from '@isobar/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RankUnderTest } from './rank-under-test.js';
import { committed, fenceOf, proposed, type Told, voided } from './swap-records.js';

/**
 * Leaders of a group of one, one after the other, that keep to the protocol: a version is
 * committed only with the rank's vote, and a new leader first asks. Whatever they have ever told
 * may arrive again, at any time.
 */
class Leaders {
  readonly #world: RankUnderTest;
  readonly #told: (() => void)[] = [];
  readonly outcomes = new Map<number, Told>();
  fence: Fence = fenceOf(1);
  #asked = false;
  #open = 1;
  #base = 0;

  constructor(world: RankUnderTest) {
    this.#world = world;
  }

  get newestCommitted(): number {
    return this.#base;
  }

  /** The next leader claims, whatever the one before was doing. */
  succeed(): void {
    this.fence = fenceOf(this.fence.term + 1);
    this.#asked = false;
  }

  /** @param commits what it decides where it may decide either way */
  tick(commits: boolean): void {
    if (!this.#asked) this.#askFirst(commits);
    else if (this.#hasVote()) this.#decide(commits);
    else this.#propose();
    this.tellOutcomes();
    this.#retire();
  }

  tellOutcomes(): void {
    for (const told of this.outcomes.values()) this.#tellOutcome(told);
  }

  /** It gives the open version up. */
  giveUp(): void {
    if (this.#asked) this.#decide(false);
  }

  repeat(index: number): void {
    this.#told[index % Math.max(1, this.#told.length)]?.();
  }

  #askFirst(commits: boolean): void {
    const { fence } = this;
    const answer = this.#world.answers.find(
      ({ engine, fence: raised }) =>
        raised?.term === fence.term && engine?.state.fence?.term === fence.term,
    );
    if (answer === undefined) {
      this.#tell(() => this.#world.query(fence));
      return;
    }
    this.#asked = true;
    const vote = answer.engine?.state.vote?.version;
    if (vote === this.#open) this.#decide(commits);
    else if (answer.votedUpTo >= this.#open) this.#decide(false);
  }

  #hasVote(): boolean {
    return this.#world.votes.some(
      ({ version, yes, fence }) => version === this.#open && yes && fence.term === this.fence.term,
    );
  }

  #propose(): void {
    const { fence } = this;
    const proposal = proposed(this.#open, this.#base);
    this.#tell(() => this.#world.prepare(proposal, fence));
  }

  #decide(commits: boolean): void {
    const version = this.#open;
    this.outcomes.set(version, commits ? committed(version, this.#base) : voided(version));
    if (commits) this.#base = version;
    this.#open += 1;
  }

  #tellOutcome(outcome: Told): void {
    const { fence } = this;
    if (!this.#asked || outcome.record.version < this.#base) return;
    this.#tell(() => this.#world.outcome(outcome, fence));
  }

  #retire(): void {
    const { fence } = this;
    const version = this.#base;
    const activated = this.#world.report?.engine?.activatedVersion ?? 0;
    if (this.#asked && activated >= version) this.#tell(() => this.#world.retire(version, fence));
  }

  #tell(message: () => void): void {
    this.#told.push(message);
    message();
  }
}

type Act = readonly [act: number, number: number];

function play(acts: readonly Act[]): void {
  const world = new RankUnderTest();
  const leaders = new Leaders(world);
  world.startEngine('serving');
  const can: ((number: number) => void)[] = [
    (number) => leaders.tick(number % 3 > 0),
    (number) => leaders.repeat(number),
    (number) => leaders.repeat(number * 7),
    () => world.carryOutNext(),
    () => world.carryOutNext(),
    () => world.hearNext(),
    () => world.hearNext(),
    (number) => world.endStaging(number % 8 > 0),
    () => world.endStep(),
    () => world.hear({ kind: 'tick' }),
    (number) => {
      world.effectsToLive = number % 6;
    },
    (number) => (number % 2 > 0 ? world.connect() : world.restartAgent()),
    (number) => (number % 2 > 0 ? leaders.succeed() : leaders.giveUp()),
  ];
  for (const [act, number] of acts) {
    const before = world.engine?.swap.vote?.version;
    can[act % can.length]?.(number);
    checkVotes(world, leaders, before);
  }
  heal(world, leaders);
}

/** Rules S3 and S6. */
function checkVotes(world: RankUnderTest, leaders: Leaders, before: number | undefined): void {
  const now = world.engine?.swap.vote?.version;
  if (before !== undefined && now !== before && !leaders.outcomes.has(before)) {
    throw new Error(`released from version ${before}, which has no outcome`);
  }
  const given = new Map<number, boolean>();
  for (const { version, yes } of world.votes) {
    if (given.get(version) === !yes) throw new Error(`two votes on version ${version}`);
    given.set(version, yes);
  }
}

/** Rule L1: nothing fails any more; the rank comes to where its leader is, and holds no vote. */
function heal(world: RankUnderTest, leaders: Leaders): void {
  world.effectsToLive = null;
  world.connect();
  leaders.succeed();
  for (let round = 0; round < 6; round += 1) {
    world.settle();
    leaders.tick(true);
    world.hear({ kind: 'tick' });
  }
  world.settle();
  leaders.giveUp();
  leaders.tellOutcomes();
  world.settle();
  const { mappingVersion, vote, staging } = world.engine?.swap ?? {};
  expect({ mappingVersion, open: vote?.version ?? staging?.version }).toEqual({
    mappingVersion: leaders.newestCommitted,
    open: undefined,
  });
  expect(leaders.newestCommitted).toBeGreaterThan(0);
  expect(world.alarms()).toEqual([]);
}

describe('a rank, whatever is doubled, late, reordered, or dies', () => {
  it('votes once, keeps its vote until the outcome, and comes to where its leader is', () => {
    const act = fc.tuple(fc.nat(64), fc.nat(1_000));
    fc.assert(
      fc.property(fc.array(act, { minLength: 20, maxLength: 200 }), (acts) => play(acts)),
      { numRuns: 300, seed: 4, endOnFailure: false },
    );
  });
});
