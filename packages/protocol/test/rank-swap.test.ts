import {
  type DurableRankState,
  emptyDurableRankState,
  type Fence,
  orderVerbs,
  type SwapState,
} from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { RankUnderTest } from './rank-under-test.js';
import {
  committed,
  everybody,
  fenceOf,
  incarnation,
  laterIncarnation,
  mappingOf,
  otherPeer,
  others,
  peer,
  proposed,
  rank,
  self,
  type Told,
  voided,
} from './swap-records.js';

const leader = fenceOf(1, 'a');
const rival = fenceOf(1, 'b');
const successor = fenceOf(2, 'c');
const later = { rank, incarnation: laterIncarnation };
const without = { members: others };

function stateOf(fence: Fence, changes: Partial<SwapState> = {}): SwapState {
  const newest = { version: 0, digest: mappingOf(0).digest() };
  const numbers = { decidedUpTo: 0, open: null, retiredUpTo: 0 };
  return { schema: 1, fence, newest, ...numbers, schemaRange: [1, 1], ...changes };
}

function heartbeat(world: RankUnderTest, fence: Fence, changes: Partial<SwapState> = {}): void {
  world.hear({ kind: 'swap-state', message: stateOf(fence, changes) });
}

function tellMissed(world: RankUnderTest, fence: Fence, told: readonly Told[]): void {
  world.hear({ kind: 'outcomes-told', fence, outcomes: told.map(({ known }) => known) });
}

function engineOf(world: RankUnderTest) {
  if (world.engine === null) throw new Error('there is no engine');
  return world.engine.swap;
}

let world: RankUnderTest;

beforeEach(() => {
  world = new RankUnderTest();
  world.startEngine('serving');
  world.settle();
});

/** A member that routes by version 1. */
function becomeMember(): void {
  world.prepare(proposed(1, 0), leader);
  world.settle();
  world.outcome(committed(1, 0), leader);
  world.settle();
  world.votes.length = 0;
  world.told.length = 0;
}

describe('a report', () => {
  it('tells what the agent has voted on for an engine before', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    expect(world.report).toMatchObject({ votedUpTo: 3, engine: { votedUpTo: 0 } });
  });

  it('tells which orders the agent hears on its own subjects', () => {
    expect(world.report?.ownOrders).toEqual(orderVerbs);
  });
});

describe('a vote', () => {
  it('is sent once everything is staged, and again whenever asked', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    expect(world.votes).toEqual([]);
    world.settle();
    world.prepare(proposed(3, 0), leader);
    world.prepare(proposed(3, 0), successor);
    expect(world.votes).toMatchObject([
      { version: 3, yes: true, incarnation, fence: leader },
      { version: 3, yes: true, incarnation, fence: leader },
      { version: 3, yes: true, incarnation, fence: successor },
    ]);
  });

  it('is no, with the reason, where staging fails; and stays no', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.endStaging(false);
    world.settle();
    world.prepare(proposed(3, 0), leader);
    const no = { version: 3, yes: false, reason: expect.stringContaining('TRANSFER_FAILED') };
    expect(world.votes).toMatchObject([no, no]);
  });

  it('is staged for once, however often it is asked for', () => {
    for (let time = 0; time < 3; time += 1) world.prepare(proposed(3, 0), leader);
    world.prepare(proposed(4, 0), leader);
    expect(world.underWay).toEqual(['stage']);
  });

  it('stays yes where the engine has told of it, and then fails at the command', () => {
    world.prepare(proposed(3, 0), leader);
    const given = world.agent.staging?.command;
    if (given === undefined) throw new Error('nothing is staged');
    world.carryOutNext();
    world.endStaging();
    if (world.agent.engine === null || world.engine === null) throw new Error('no engine');
    world.hear({ kind: 'engine-changed', state: world.engine.state });
    const failure = { code: 'ISOBAR_ENGINE_FAILED', message: 'late', explicit: true };
    world.hear({ kind: 'engine-refused', command: given, ...failure });
    world.prepare(proposed(3, 0), leader);
    expect(world.votes).toMatchObject([{ version: 3, yes: true }]);
  });

  it('is given once for a version, to no other proposal of that number (S3)', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    world.votes.length = 0;
    world.prepare(proposed(3, 0, { digest: mappingOf(5).digest() }), successor);
    world.prepare(proposed(2, 0), successor);
    world.settle();
    expect(world.votes).toEqual([]);
    expect(world.agent.durable.vote?.digest).toBe(mappingOf(3).digest());
  });

  it('of an earlier incarnation is never repeated, nor given anew', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    world.votes.length = 0;
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    for (const members of [everybody, [...others, later]]) {
      world.prepare(proposed(3, 0, { members }), leader);
      world.settle();
    }
    expect(world.votes).toEqual([]);
    expect(world.agent.engine?.state.vote).toBeNull();
  });

  it('that an engine holds is found by an agent that has not written it down', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.endStaging();
    world.restartAgent();
    expect(world.saved.vote).toBeNull();
    world.hearNext();
    expect(world.saved).toMatchObject({ votedUpTo: 3, vote: { version: 3, yes: true } });
    world.prepare(proposed(3, 0), leader);
    expect(world.votes).toMatchObject([{ version: 3, yes: true }]);
  });

  it('is not taken from an engine that tells another incarnation than its own', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    const engine = world.agent.engine;
    if (engine === null) throw new Error('there is no engine');
    const description = { ...engine.description, incarnation: laterIncarnation };
    const fresh = new RankUnderTest();
    fresh.hear({ kind: 'engine-hello', description, state: engine.state, process: null });
    expect(fresh.saved.vote).toBeNull();
  });

  it('is given by members of the base, and by those whom the target lists', () => {
    const strangers = { members: [...others, later] };
    world.prepare(proposed(1, 0, strangers), leader);
    expect(world.underWay).toEqual([]);
    becomeMember();
    world.prepare(proposed(2, 1, without), leader);
    world.settle();
    expect(world.votes).toMatchObject([{ version: 2, yes: true }]);
  });

  it('is not given where the fence is refused, nor counted as a no', () => {
    // The engine has heard of the rival from another agent.
    world.prepare(proposed(3, 0), leader);
    if (world.engine !== null) world.engine.swap = { ...engineOf(world), fence: rival };
    world.settle();
    expect(world.votes).toEqual([]);
    expect(world.agent.durable.votedUpTo).toBe(0);
  });
});

describe('a vote is released', () => {
  beforeEach(() => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
  });

  it('by nothing but its outcome: not by time, a lost leader, or a decided number (S6)', () => {
    for (let time = 0; time < 10; time += 1) world.hear({ kind: 'tick' });
    heartbeat(world, leader, { decidedUpTo: 9 });
    tellMissed(world, leader, []);
    heartbeat(world, successor, { decidedUpTo: 9 });
    world.hear({ kind: 'outcomes-unanswered' });
    world.outcome(voided(2), successor);
    world.outcome(voided(4), successor);
    world.restartAgent();
    world.settle();
    expect(engineOf(world).vote?.version).toBe(3);
    world.outcome(voided(3), successor);
    world.settle();
    expect(engineOf(world).vote).toBeNull();
  });

  it('by no fenced leader', () => {
    heartbeat(world, successor);
    world.settle();
    for (const fence of [leader, rival]) world.outcome(voided(3), fence);
    world.settle();
    expect(engineOf(world).vote?.version).toBe(3);
    expect(world.report?.fence).toEqual(successor);
  });

  it('by a peer that has acted on the outcome, which the agent then keeps', () => {
    world.peerTells(committed(3, 0));
    world.hearNext();
    expect(world.saved.outcomes).toEqual([committed(3, 0).known]);
    world.settle();
    expect(world.report?.engine).toMatchObject({ mappingVersion: 3, openVote: null });
    world.query(successor);
    world.settle();
    const answer = world.answers.at(-1);
    expect(answer?.engine?.state.outcomes).toEqual([committed(3, 0).known]);
    // Nothing is told twice: the answer of a large group must fit a message.
    expect(answer?.outcomes).toEqual([]);
    expect(answer?.engine?.state.physicalToLogical).toHaveLength(0);
  });

  it('by an outcome that was missed, once the leader is asked for it', () => {
    heartbeat(world, leader, { decidedUpTo: 3 });
    expect(world.told.at(-1)).toEqual({ kind: 'ask-outcomes', since: 0 });
    heartbeat(world, leader, { decidedUpTo: 3 });
    expect(world.told.filter(({ kind }) => kind === 'ask-outcomes')).toHaveLength(1);
    world.hear({ kind: 'outcomes-unanswered' });
    heartbeat(world, leader, { decidedUpTo: 3 });
    expect(world.told.filter(({ kind }) => kind === 'ask-outcomes')).toHaveLength(2);
    tellMissed(world, leader, [voided(3)]);
    world.settle();
    expect(engineOf(world).vote).toBeNull();
  });

  it('also where a later outcome was heard and its own was lost', () => {
    world.outcome(voided(4), leader);
    world.settle();
    heartbeat(world, leader, { decidedUpTo: 4 });
    expect(world.told.at(-1)).toEqual({ kind: 'ask-outcomes', since: 0 });
    tellMissed(world, leader, [voided(3), voided(4)]);
    world.settle();
    expect(engineOf(world).vote).toBeNull();
  });
});

describe('a question', () => {
  it('is not answered where 16 newer ones wait', () => {
    for (let question = 0; question < 20; question += 1) {
      world.hear({ kind: 'query', query: { schema: 1, fence: successor }, question });
    }
    expect(world.answers).toEqual([]);
    world.settle();
    const answered = world.told.flatMap((effect) =>
      effect.kind === 'answer' ? [effect.question] : [],
    );
    expect(answered).toEqual(Array.from({ length: 16 }, (_, index) => 4 + index));
  });

  it('is answered while the engine stages, once its fence has been raised', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.query(successor);
    expect(world.answers).toEqual([]);
    expect(world.underWay).toEqual(['query']);
    world.carryOutNext();
    world.hearNext();
    expect(world.answers).toMatchObject([
      { fence: successor, engine: { state: { fence: successor, vote: null, votedUpTo: 3 } } },
    ]);
  });

  it('is not followed by a vote that its leader has not seen', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.query(successor);
    world.carryOutNext();
    world.hearNext();
    world.settle();
    expect(engineOf(world).vote).toBeNull();
    expect(world.votes.filter(({ yes }) => yes)).toEqual([]);
  });

  it('is answered with a vote that was given just before', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.endStaging();
    world.query(successor);
    world.settle();
    expect(world.answers).toMatchObject([
      { votedUpTo: 3, engine: { state: { vote: { version: 3 } } } },
    ]);
  });

  it('of a fenced leader is answered at once with the fence known, and raises nothing', () => {
    world.query(successor);
    world.settle();
    for (const fence of [leader, rival]) world.query(fence);
    expect(world.answers.slice(1)).toMatchObject([{ fence: successor }, { fence: successor }]);
    expect(world.underWay).toEqual([]);
  });

  it('is answered without an engine where there is none, or it goes', () => {
    world.query(leader);
    world.killEngine();
    expect(world.answers).toHaveLength(1);
    world.query(leader);
    expect(world.answers).toMatchObject([
      { fence: leader, engine: null },
      { fence: leader, engine: null },
    ]);
  });

  it('is answered with the fence of an engine that refuses it', () => {
    if (world.engine !== null) world.engine.swap = { ...engineOf(world), fence: rival };
    world.query(leader);
    world.settle();
    expect(world.answers).toMatchObject([{ fence: leader, engine: { state: { fence: null } } }]);
  });

  it('waits while nothing is known of the engine, and is asked again', () => {
    world.query(leader);
    const [command] = world.told.flatMap((effect) =>
      effect.kind === 'command-engine' ? [effect.command] : [],
    );
    if (command === undefined) throw new Error('the engine was not asked');
    const refusal = { code: 'ISOBAR_ENGINE_TIMEOUT', message: 'silent', explicit: false };
    world.hear({ kind: 'engine-refused', command, ...refusal });
    expect(world.answers).toEqual([]);
    world.hear({ kind: 'tick' });
    world.settle();
    expect(world.answers).toMatchObject([{ fence: leader, engine: { state: { fence: leader } } }]);
  });
});

describe('an outcome', () => {
  it('told while its version is being staged ends the staging, without a vote', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.outcome(voided(3), leader);
    world.outcome(voided(3), leader);
    expect(world.underWay).toEqual(['discard']);
    world.carryOutNext();
    world.hearNext();
    expect(world.underWay).toEqual([]);
    world.settle();
    world.prepare(proposed(3, 0), leader);
    expect(engineOf(world)).toMatchObject({ staging: null, vote: null });
    expect(world.votes).toEqual([]);
  });

  it('once known, is the last word on its version', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    world.outcome(voided(3), leader);
    world.settle();
    world.prepare(proposed(3, 0), leader);
    expect(world.votes).toHaveLength(1);
  });

  it('that crosses the vote on its version leaves no vote behind', () => {
    world.prepare(proposed(3, 0), leader);
    world.carryOutNext();
    world.endStaging();
    world.outcome(voided(3), leader);
    world.settle();
    expect(engineOf(world).vote).toBeNull();
    expect(world.votes).toEqual([]);
  });

  it('is kept durably before the engine acts on it; after a restart a leader tells it anew', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    // Dies after the file is written, before the engine is told.
    world.effectsToLive = 1;
    world.outcome(committed(3, 0), leader);
    expect(world.deaths).toBe(1);
    expect(world.saved.outcomes).toEqual([committed(3, 0).known]);
    world.settle();
    expect(engineOf(world).mappingVersion).toBe(0);
    heartbeat(world, leader, { decidedUpTo: 3 });
    tellMissed(world, leader, [committed(3, 0)]);
    world.settle();
    expect(engineOf(world).mappingVersion).toBe(3);
  });

  it('kept from before is a word for leaders, and no order to another engine (S1)', () => {
    becomeMember();
    world.prepare(proposed(2, 1), leader);
    world.settle();
    world.outcome(voided(2), leader);
    world.settle();
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    expect(engineOf(world).outcomes).toEqual([]);
    world.query(successor);
    world.settle();
    const kept = [committed(1, 0).known, voided(2).known];
    expect(world.answers.at(-1)).toMatchObject({ outcomes: kept });
    // Who leads now has decided otherwise, without the word of the engine that has ended.
    heartbeat(world, successor, { decidedUpTo: 2 });
    tellMissed(world, successor, [committed(2, 1)]);
    world.settle();
    expect(engineOf(world).committed.version).toBe(2);
    expect(world.saved.outcomes).toEqual([committed(2, 1).known]);
    expect(world.alarms()).toEqual([]);
  });

  it('may come late, twice and out of order', () => {
    becomeMember();
    for (const told of [voided(4), committed(1, 0), voided(3), voided(4)]) {
      world.outcome(told, leader);
    }
    world.settle();
    expect(world.saved.outcomes.map(({ version }) => version)).toEqual([1, 3, 4]);
    expect(engineOf(world).outcomes).toEqual(world.saved.outcomes);
    expect(world.alarms()).toEqual([]);
  });

  it('that contradicts one kept is alarmed once, and the one kept stays', () => {
    becomeMember();
    world.outcome(voided(2), leader);
    world.settle();
    const kept = world.saved.outcomes;
    for (const told of [voided(1), voided(1), committed(2, 1), committed(3, 2)]) {
      world.outcome(told, leader);
      world.settle();
    }
    expect(world.saved.outcomes).toEqual(kept);
    expect(world.told.flatMap((effect) => (effect.kind === 'alarm' ? [effect] : []))).toEqual([
      { kind: 'alarm', alarm: 'outcomes-contradict', fields: { rank, version: 1 } },
      { kind: 'alarm', alarm: 'outcomes-contradict', fields: { rank, version: 2 } },
      { kind: 'alarm', alarm: 'outcomes-contradict', fields: { rank, version: 3 } },
    ]);
    expect(engineOf(world).mappingVersion).toBe(1);
  });

  it('that the engine has acted on outranks the agent’s file, which is told, and later ones come through', () => {
    becomeMember();
    world.prepare(proposed(2, 1), leader);
    world.settle();
    world.outcome(committed(2, 1), leader);
    world.settle();
    // A file of another history: of a copied disk, say.
    world.saved = { ...world.saved, outcomes: [committed(1, 0).known, voided(2).known] };
    world.restartAgent();
    world.settle();
    expect(world.saved.outcomes).toEqual([committed(2, 1).known]);
    const alarms = world.told.filter(({ kind }) => kind === 'alarm');
    const fields = { rank, version: 2, outcome: 'void' };
    expect(alarms).toEqual([{ kind: 'alarm', alarm: 'outcome-overruled', fields }]);
    world.prepare(proposed(3, 2), leader);
    world.settle();
    world.outcome(committed(3, 2), leader);
    world.settle();
    expect(engineOf(world)).toMatchObject({ mappingVersion: 3, vote: null });
  });

  it('that differs in nothing but who wrote it is the same', () => {
    becomeMember();
    world.outcome(committed(1, 0, { fence: successor, reason: 'recovered' }), leader);
    expect(world.alarms()).toEqual([]);
  });

  it('is not taken by an agent whose engine may know a later leader than it does', () => {
    // The disk is new, and the engine has answered the successor through the agent before.
    world.query(successor);
    world.settle();
    world.moveAgent();
    world.outcome(voided(3), leader);
    tellMissed(world, leader, [committed(1, 0)]);
    heartbeat(world, leader, { decidedUpTo: 3 });
    expect(world.saved.outcomes).toEqual([]);
    world.connect();
    world.settle();
    expect(engineOf(world)).toMatchObject({ fence: successor, outcomes: [], mappingVersion: 0 });
    // Of the leader that the engine knows it is, as ever.
    world.outcome(voided(3), successor);
    world.settle();
    expect(world.saved.outcomes).toEqual([voided(3).known]);
  });

  it('that is void binds no engine that is not listed and has no part in it', () => {
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    world.outcome(voided(2), leader);
    world.settle();
    expect(engineOf(world).outcomes).toEqual([]);
    // The next leader has not asked it, and has decided otherwise.
    world.outcome(committed(2, 1), successor);
    world.settle();
    expect(engineOf(world).committed.version).toBe(2);
    expect(world.saved.outcomes).toEqual([committed(2, 1).known]);
    expect(world.alarms()).toEqual([]);
  });

  it('that can not be read is refused', () => {
    const outcomes = [{ version: 3, outcome: 'void' as const, record: Uint8Array.of(1) }];
    world.hear({ kind: 'outcomes-told', fence: leader, outcomes });
    expect(world.told.at(-1)).toMatchObject({ kind: 'refused', what: 'outcome' });
    expect(world.saved.outcomes).toEqual([]);
  });

  it('that a listed engine refuses is alarmed once, and later ones are told', () => {
    becomeMember();
    world.outcome(committed(2, 1), leader);
    world.settle();
    heartbeat(world, leader);
    world.settle();
    expect(world.alarms()).toEqual(['engine-stuck']);
    world.hear({ kind: 'cut', message: { schema: 1, fence: leader, member: peer } });
    world.settle();
    expect(engineOf(world).cuts).toEqual([peer]);
  });

  it('that an engine accepts without effect is not told in a tight loop', () => {
    world.prepare(proposed(3, 0), leader);
    world.settle();
    const before = world.agent.engine?.state;
    if (before === undefined) throw new Error('there is no engine');
    world.outcome(voided(3), leader);
    const given = world.told.at(-1);
    if (given?.kind !== 'command-engine') throw new Error('the engine was not told');
    world.told.length = 0;
    world.hear({ kind: 'engine-done', command: given.command, state: before });
    expect(world.told).toEqual([]);
    world.hear({ kind: 'tick' });
    expect(world.told).toMatchObject([{ command: { kind: 'discard', version: 3 } }]);
  });
});

describe('a joining engine', () => {
  function join(): void {
    world = new RankUnderTest();
    world.startEngine('joining');
    world.settle();
  }

  it('asks, adopts the base, stages, votes, and routes when it is listed', () => {
    join();
    world.prepare(proposed(6, 5), leader);
    expect(world.told).toEqual([{ kind: 'ask-outcomes', since: 0 }]);
    tellMissed(world, leader, [committed(5, 4, without)]);
    expect(world.underWay).toEqual(['adopt']);
    world.settle();
    expect(world.report?.engine).toMatchObject({ committedVersion: 5, standing: 'joining' });
    world.prepare(proposed(6, 5), leader);
    world.settle();
    expect(world.votes).toMatchObject([{ version: 6, yes: true }]);
    world.outcome(committed(6, 5), leader);
    world.settle();
    expect(world.report?.engine).toMatchObject({ mappingVersion: 6, standing: 'serving' });
  });

  it('adopts what a leader tells again, and follows later versions', () => {
    const outcomes = [committed(5, 4, without).known];
    const durable: DurableRankState = { ...emptyDurableRankState, fence: leader, outcomes };
    world = new RankUnderTest(durable);
    world.startEngine('joining', laterIncarnation);
    world.settle();
    expect(engineOf(world).committed.version).toBe(0);
    world.outcome(committed(5, 4, without), leader);
    world.settle();
    expect(engineOf(world).committed.version).toBe(5);
    world.outcome(committed(6, 5, without), leader);
    world.settle();
    expect(engineOf(world)).toMatchObject({ committed: { version: 6 }, mappingVersion: 0 });
  });

  it('whose number another leader has decided without it takes that as its base, and goes on', () => {
    for (const decided of [
      [committed(6, 5, without)],
      [committed(7, 5, { ...without, voided: [6] })],
      [committed(7, 5, { ...without, voided: [6] }), voided(8)],
    ]) {
      join();
      tellMissed(world, leader, [committed(5, 4, without)]);
      world.settle();
      world.prepare(proposed(6, 5), leader);
      world.settle();
      expect(engineOf(world).vote?.version).toBe(6);
      // Told by heartbeat alone: it asks for what it has missed.
      const version = decided[0]?.record.version ?? 0;
      const newest = { version, digest: mappingOf(version).digest() };
      const decidedUpTo = decided.at(-1)?.record.version ?? 0;
      heartbeat(world, successor, { newest, decidedUpTo });
      expect(world.told.at(-1)?.kind).toBe('ask-outcomes');
      tellMissed(world, successor, decided);
      world.settle();
      expect(engineOf(world)).toMatchObject({
        standing: 'joining',
        vote: null,
        committed: { version },
      });
    }
  });

  it('is left alone by proposals that do not concern it', () => {
    join();
    world.prepare(proposed(6, 5, without), leader);
    expect(world.told).toEqual([]);
  });

  it('does not ask for a base that its agent knows', () => {
    join();
    world.outcome(committed(5, 4, without), leader);
    world.prepare(proposed(6, 5), leader);
    expect(world.told.map(({ kind }) => kind)).toEqual(['command-engine']);
  });

  it('that is of a new group serves on while it adopts the base', () => {
    world.outcome(committed(5, 4, without), leader);
    world.settle();
    world.outcome(committed(6, 5, without), leader);
    world.settle();
    expect(engineOf(world)).toMatchObject({
      standing: 'serving',
      committed: { version: 6 },
      mappingVersion: 0,
    });
  });
});

describe('an engine that is a member no more', () => {
  it('leaves with the version that it voted for', () => {
    becomeMember();
    world.prepare(proposed(2, 1, without), leader);
    world.settle();
    world.outcome(committed(2, 1, without), leader);
    world.settle();
    expect(world.report?.engine).toMatchObject({ activatedVersion: 2, standing: 'stopped' });
  });

  it('is told once that it is absent, and then nothing that is committed', () => {
    becomeMember();
    world.outcome(committed(2, 1, without), leader);
    world.settle();
    expect(world.report?.engine).toMatchObject({ committedVersion: 1, standing: 'stopped' });
    world.told.length = 0;
    world.outcome(committed(3, 2, without), leader);
    world.prepare(proposed(4, 3), leader);
    world.settle();
    expect(world.told).toEqual([]);
    expect(world.alarms()).toEqual([]);
  });

  it('returns under a new incarnation, which joins', () => {
    becomeMember();
    world.outcome(committed(2, 1, without), leader);
    world.settle();
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    heartbeat(world, leader, { decidedUpTo: 2 });
    tellMissed(world, leader, [committed(2, 1, without)]);
    world.settle();
    expect(engineOf(world)).toMatchObject({ standing: 'joining', committed: { version: 2 } });
    world.prepare(proposed(3, 2, { members: [...others, later] }), leader);
    world.settle();
    expect(world.votes).toMatchObject([{ version: 3, yes: true, incarnation: laterIncarnation }]);
  });
});

describe('retire', () => {
  it('is told of the version that is routed by, once the engine has activated it', () => {
    world.prepare(proposed(1, 0), leader);
    world.settle();
    heartbeat(world, leader, { retiredUpTo: 1 });
    expect(world.underWay).toEqual([]);
    world.outcome(committed(1, 0), leader);
    world.settle();
    heartbeat(world, leader, { retiredUpTo: 1 });
    world.settle();
    expect(engineOf(world).retiredUpTo).toBe(1);
  });

  it('of what an earlier group served frees nothing of a new one (S4)', () => {
    world.outcome(committed(7, 6, without), leader);
    world.settle();
    world.prepare(proposed(8, 7), leader);
    world.settle();
    world.outcome(committed(8, 7), leader);
    world.settle();
    expect(engineOf(world).activatedVersion).toBe(8);
    heartbeat(world, leader, { retiredUpTo: 7 });
    expect(world.underWay).toEqual([]);
    world.retire(8, leader);
    world.settle();
    expect(engineOf(world).retiredUpTo).toBe(8);
  });
});

describe('a cut', () => {
  const cut = (fence: Fence, member = peer) => {
    world.hear({ kind: 'cut', message: { schema: 1, fence, member } });
  };

  it('is kept before the engine is told, and reported once the engine refuses the member', () => {
    cut(leader);
    expect(world.saved.cuts).toEqual([peer]);
    expect(world.report?.engine?.cuts).toEqual([]);
    world.settle();
    expect(world.report?.engine?.cuts).toEqual([peer]);
  });

  it('is told again to every engine that connects', () => {
    cut(leader);
    world.settle();
    world.restartAgent();
    world.settle();
    expect(world.underWay).toEqual([]);
    world.killEngine();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    expect(engineOf(world).cuts).toEqual([peer]);
  });

  it('is forgotten by engine and agent once no version lists the member any more', () => {
    becomeMember();
    cut(leader);
    cut(leader, otherPeer);
    world.settle();
    const members = [self, otherPeer];
    world.prepare(proposed(2, 1, { members }), leader);
    world.settle();
    world.outcome(committed(2, 1, { members }), leader);
    world.settle();
    expect(world.saved.cuts).toEqual([peer, otherPeer]);
    heartbeat(world, leader, { retiredUpTo: 2 });
    world.settle();
    expect(engineOf(world).cuts).toEqual([otherPeer]);
    expect(world.saved.cuts).toEqual([otherPeer]);
    expect(world.underWay).toEqual([]);
  });

  it('survives an agent that dies before it tells the engine', () => {
    cut(leader);
    world.settle();
    world.effectsToLive = 1;
    cut(leader, { ...peer, incarnation: laterIncarnation });
    expect(world.deaths).toBe(1);
    world.settle();
    expect(engineOf(world).cuts).toHaveLength(2);
  });

  it('never concerns the rank itself, and needs a leader that is not fenced', () => {
    cut(leader, self);
    cut(leader, later);
    heartbeat(world, successor);
    cut(leader);
    cut(rival);
    world.settle();
    expect(world.saved.cuts).toEqual([]);
    expect(engineOf(world).cuts).toEqual([]);
  });
});

describe("the end of an engine's process", () => {
  const process = { processId: 7, startTicks: '70', scope: 'boot pid:[1] time:[1]' };

  it('is kept durably before it is told, where it was witnessed', () => {
    world.connect(process);
    world.settle();
    expect(world.saved.witnessed).toEqual([{ incarnation, process }]);
    world.killEngine();
    expect(world.told.at(-1)).toEqual({
      kind: 'look-for-processes',
      engines: [{ incarnation, process }],
    });
    world.hear({ kind: 'engine-exited', incarnation });
    expect(world.saved).toMatchObject({ witnessed: [], exited: [incarnation] });
    expect(world.report?.exited).toEqual([incarnation]);
    world.query(leader);
    expect(world.answers).toMatchObject([{ exited: [incarnation] }]);
  });

  it('proves nothing of a process that never was', () => {
    world.killEngine();
    world.hear({ kind: 'engine-exited', incarnation });
    expect(world.saved.exited).toEqual([]);
  });

  it('is recognised by an agent that was away, and while the next engine serves', () => {
    world.connect(process);
    world.settle();
    world.killEngine();
    world.restartAgent();
    world.startEngine('joining', laterIncarnation);
    world.settle();
    world.told.length = 0;
    world.hear({ kind: 'tick' });
    const engines = [{ incarnation, process }];
    expect(world.told).toEqual([{ kind: 'look-for-processes', engines }]);
    world.hear({ kind: 'engine-exited', incarnation });
    expect(world.report).toMatchObject({
      exited: [incarnation],
      engine: { incarnation: laterIncarnation },
    });
  });

  it('parts the agent from whoever speaks in its name', () => {
    world.connect(process);
    world.settle();
    world.hear({ kind: 'engine-exited', incarnation });
    expect(world.report?.engine).toBeNull();
    world.connect(process);
    world.hearNext();
    expect(world.report?.engine).toBeNull();
    expect(world.alarms()).toEqual(['exited-engine']);
  });

  it('is looked for of the last 16 engines that were seen', () => {
    const incarnations = Array.from({ length: 20 }, (_, index) =>
      index.toString(16).padStart(16, 'e'),
    );
    for (const each of incarnations) {
      world.startEngine('joining', each);
      world.connect(process);
      world.settle();
    }
    expect(world.saved.witnessed.map((engine) => engine.incarnation)).toEqual(
      incarnations.slice(-16),
    );
  });

  it('is kept for the last 64 engines, and for one that is still listed', () => {
    const incarnations = Array.from({ length: 70 }, (_, index) =>
      index.toString(16).padStart(16, 'e'),
    );
    const witnessed = incarnations.map((each) => ({ incarnation: each, process }));
    const members = [...others, { rank, incarnation: incarnations[2] ?? '' }];
    const outcomes = [committed(1, 0, { members }).known];
    world = new RankUnderTest({ ...emptyDurableRankState, outcomes, witnessed });
    for (const each of incarnations) world.hear({ kind: 'engine-exited', incarnation: each });
    expect(world.saved.exited).toEqual([incarnations[2], ...incarnations.slice(-63)]);
  });
});

describe('two agents of one engine', () => {
  it('leave the engine to the one that connected last, and the other lives on', () => {
    world.prepare(proposed(3, 0), leader);
    const older = world.agent;
    const [given] = world.told.flatMap((effect) =>
      effect.kind === 'command-engine' ? [effect.command] : [],
    );
    if (given === undefined) throw new Error('the engine was given nothing');
    // The newer agent's connection ends the older one's, and what was under way on it.
    world.restartAgent();
    world.settle();
    expect(engineOf(world)).toMatchObject({ vote: null, staging: null });
    world.agent = older;
    world.hear({ kind: 'engine-lost' });
    if (older.engine === null) throw new Error('there was no engine');
    world.hear({ kind: 'engine-done', command: given, state: older.engine.state });
    world.hear({ kind: 'engine-progress', version: 3, staged: 1, total: 2 });
    world.hear({ kind: 'engine-activated', state: older.engine.state });
    world.prepare(proposed(4, 0), leader);
    world.query(leader);
    expect(world.underWay).toEqual([]);
    expect(world.answers).toMatchObject([{ engine: null }]);
    expect(world.report).toMatchObject({ engine: null, progress: null });
  });

  it('take over from the engine what the other has promised', () => {
    world.prepare(proposed(3, 0), successor);
    world.settle();
    world.agent = new RankUnderTest().agent;
    world.saved = emptyDurableRankState;
    world.connect();
    world.settle();
    expect(world.saved).toMatchObject({ fence: successor, votedUpTo: 3, vote: { version: 3 } });
    world.outcome(voided(3), leader);
    expect(engineOf(world).vote?.version).toBe(3);
  });
});

describe('an agent that dies between any two effects', () => {
  /** What a leader tells again and again until the reports show that it is followed. */
  const story = [
    () => heartbeat(world, leader),
    () => world.prepare(proposed(1, 0), leader),
    () => world.outcome(committed(1, 0), leader),
    () => world.retire(1, leader),
    () => world.prepare(proposed(2, 1), leader),
    () => world.query(successor),
    () => world.outcome(voided(2), successor),
    () => world.hear({ kind: 'cut', message: { schema: 1, fence: successor, member: peer } }),
    () => world.prepare(proposed(3, 1), successor),
    () => world.outcome(committed(3, 1), successor),
    () => world.retire(3, successor),
  ];

  function play(effectsToLive: number | null): void {
    world = new RankUnderTest();
    world.startEngine('serving');
    world.effectsToLive = effectsToLive;
    for (const tell of story) {
      for (let time = 0; time < 2; time += 1) {
        tell();
        world.settle();
      }
    }
  }

  it('comes to the same end', () => {
    let effects = 0;
    for (let died = true; died; effects += 1) {
      play(effects);
      died = world.deaths > 0;
      expect(engineOf(world)).toMatchObject({
        mappingVersion: 3,
        retiredUpTo: 3,
        vote: null,
        cuts: [peer],
      });
      const votes = world.votes.map(({ version, yes }) => `${version} ${yes}`);
      expect([...new Set(votes)].sort()).toEqual(['1 true', '2 true', '3 true']);
      expect(world.answers).not.toEqual([]);
    }
    expect(effects).toBeGreaterThan(40);
  });
});
