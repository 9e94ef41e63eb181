import { encode, leaderAheadMax, runawayAheadMax } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { leadingWorld, operate, settledTokens, TestCoordinator } from './coordinator-world.js';

const other = 'f'.repeat(16);
const largest = Number.MAX_SAFE_INTEGER;

function refusals(coordinator: TestCoordinator) {
  return coordinator.effectsOf('refused').map(({ what, fields: { code, field } }) => ({
    what,
    code,
    field,
  }));
}

const runaway = 'ISOBAR_PROTOCOL_RUNAWAY';

describe('a rank that tells a term which no leader can have come to', () => {
  it('is not heard: the leader leads on, and its successors still find a next term', () => {
    const { store, group, a } = leadingWorld();
    const liar = group.report(2);
    for (const term of [largest, largest - 1, 2 + runawayAheadMax]) {
      a.send({ kind: 'report', report: { ...liar, fence: { term, nonce: other } } });
      a.send({ kind: 'answer', answer: { ...group.answer(2), fence: { term, nonce: other } } });
    }
    expect(a.role).toBe('leading');
    expect(refusals(a)).toHaveLength(6);
    expect(refusals(a)[0]).toEqual({ what: 'report', code: runaway, field: 'term' });
    a.send({ kind: 'stop' });
    const next = new TestCoordinator(store, group, 'next');
    next.lead();
    expect(next.fence.term).toBe(2);
  });

  it('is followed where a store that lost all would be so far behind', () => {
    const { group, a } = leadingWorld();
    group.rank(2).fence = { term: 1 + runawayAheadMax, nonce: other };
    a.run(200);
    a.lead();
    expect(a.fence.term).toBe(2 + runawayAheadMax);
    expect(a.fence.term).toBeLessThan(leaderAheadMax);
  });

  it('does not reach the store with the records that it tells', () => {
    const { store, group, a } = leadingWorld();
    const bytes = encode({
      schema: 1,
      outcome: 'void',
      version: 2,
      fence: { term: largest, nonce: other },
      reason: 'a lie',
    });
    const told = { version: 2, outcome: 'void', record: bytes } as const;
    a.send({ kind: 'stop' });
    const next = new TestCoordinator(store, group, 'next');
    next.run(100);
    group.rank(1).isSilent = true;
    next.run(3_000, () => next.role === 'taking-over');
    const answer = group.answer(1);
    next.send({
      kind: 'answer',
      answer: { ...answer, fence: next.fence, outcomes: [...answer.outcomes, told] },
    });
    expect(refusals(next)).toEqual([{ what: 'answer', code: runaway, field: 'term' }]);
    group.rank(1).isSilent = false;
    next.lead();
    expect(store.get('map.2')).toBeNull();
  });
});

describe('a rank that was brought to such a term', () => {
  const brought = { term: 2 ** 40, nonce: other };

  it('is followed where it goes on telling so, and once only within an hour', () => {
    const { group, a } = leadingWorld();
    group.rank(2).fence = brought;
    a.run(59_000);
    expect(a.fence.term).toBe(1);
    a.run(5_000);
    a.lead();
    expect(a.fence.term).toBe(brought.term + 1);
    group.rank(2).fence = { term: 2 * brought.term, nonce: other };
    a.run(600_000);
    expect(a.fence.term).toBe(brought.term + 1);
  });

  it('is not, where its own reports contradict those that tell so', () => {
    const { group, a } = leadingWorld();
    const report = { ...group.report(2), fence: brought };
    for (let second = 0; second < 100; second += 1) {
      a.run(1_000);
      a.send({ kind: 'report', report });
    }
    expect(a.fence.term).toBe(1);
    expect(a.effectsOf('deposed')).toEqual([]);
  });
});

describe('a rank that tells a version which no leader can have come to', () => {
  it('is not heard: the next version is the one after the newest', () => {
    const { group, a } = leadingWorld();
    const liar = group.report(2);
    const { engine } = liar;
    if (engine === null) throw new Error('no engine');
    for (const version of [largest, 2 + runawayAheadMax]) {
      for (const lie of [{ votedUpTo: version }, { openVote: version }]) {
        a.send({ kind: 'report', report: { ...liar, engine: { ...engine, ...lie } } });
      }
      a.send({ kind: 'report', report: { ...liar, votedUpTo: version } });
      a.send({ kind: 'report', report: { ...liar, votedUpTo: version, engine: null } });
    }
    expect(refusals(a)).toEqual(Array(8).fill({ what: 'report', code: runaway, field: 'version' }));
    expect(a.leader.swap.nextVersion).toBe(2);
    operate(a, 1, { kind: 'pause' });
    a.run(1_000);
    expect(settledTokens(a)).toEqual(['done 1']);
  });
});

describe('a record with the largest term there is', () => {
  it('lets nobody lead, and says so: what follows it could not be read', () => {
    const { store, group, a } = leadingWorld();
    a.send({ kind: 'stop' });
    const fence = { term: largest, nonce: other };
    store.put('leader', encode({ schema: 1, holder: null, fence, renewals: 1 }));
    const next = new TestCoordinator(store, group, 'next');
    next.run(10_000);
    expect(next.role).toBe('standby');
    expect(next.effectsOf('alarm').map(({ fields: { code } }) => code)).toEqual([
      'ISOBAR_COORDINATOR_TERMS_EXHAUSTED',
    ]);
    expect(next.effectsOf('write-leader')).toEqual([]);
  });
});
