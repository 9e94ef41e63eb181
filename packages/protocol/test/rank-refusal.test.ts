import { rankReportSchema } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { RankUnderTest } from './rank-under-test.js';
import { settledGroup } from './support/group.js';
import { committed, fenceOf, proposed, voided } from './swap-records.js';

const [earlier, leader] = [fenceOf(1), fenceOf(2)];

describe('what a rank does not follow is in its report', () => {
  let world: RankUnderTest;

  beforeEach(() => {
    world = new RankUnderTest();
    world.startEngine('serving');
    world.settle();
    world.query(leader);
    world.settle();
  });

  const refused = () => {
    world.hear({ kind: 'tick' });
    return world.report?.refused;
  };

  it('where a leader is fenced, until one that is not gives such an order', () => {
    world.prepare(proposed(1, 0), earlier);
    expect(refused()).toEqual({
      order: 'prepare',
      version: 1,
      code: 'ISOBAR_AGENT_FENCED',
      reason: 'rank 1 refuses term 1: it knows term 2',
    });
    world.retire(0, leader);
    expect(refused()).toMatchObject({ order: 'prepare' });
    world.prepare(proposed(1, 0), leader);
    expect(refused()).toBeNull();
  });

  it('where its engine can not stage, until it has staged another', () => {
    world.prepare(proposed(1, 0), leader);
    world.carryOutNext();
    world.endStaging(false);
    world.settle();
    const code = 'ISOBAR_ENGINE_TRANSFER_FAILED';
    expect(refused()).toEqual({ order: 'stage', version: 1, code, reason: 'a source is gone' });
    world.outcome(voided(1), leader);
    world.settle();
    expect(refused()).toMatchObject({ order: 'stage', version: 1 });
    world.prepare(proposed(2, 0), leader);
    world.settle();
    expect(refused()).toBeNull();
  });

  it('where its engine can not follow an outcome', () => {
    world.prepare(proposed(1, 0), leader);
    world.settle();
    world.outcome(committed(1, 0), leader);
    world.settle();
    world.outcome(committed(2, 1), leader);
    world.settle();
    const code = 'ISOBAR_ENGINE_NOT_STAGED';
    expect(refused()).toMatchObject({ order: 'activate', version: 2, code });
  });

  it('where an outcome contradicts what it keeps, or can not be read', () => {
    world.prepare(proposed(1, 0), leader);
    world.settle();
    world.outcome(voided(1), leader);
    world.settle();
    world.outcome(committed(1, 0), leader);
    const code = 'ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT';
    expect(refused()).toMatchObject({ order: 'outcome', version: 1, code });
    const unreadable = { version: 3, outcome: 'void' as const, record: Uint8Array.of(1) };
    world.hear({ kind: 'outcomes-told', fence: leader, outcomes: [unreadable] });
    expect(refused()).toMatchObject({ order: 'outcome', code: 'ISOBAR_PROTOCOL_MALFORMED' });
  });

  it('where an order can not be read, without an answer to each', () => {
    world.report = null;
    const code = 'ISOBAR_PROTOCOL_MALFORMED';
    const long = 'x'.repeat(9_999);
    world.hear({ kind: 'order-unreadable', order: 'prepare', code, message: long });
    expect(world.report).toBeNull();
    expect(refused()).toEqual({
      order: 'prepare',
      version: null,
      code,
      reason: 'x'.repeat(500),
    });
    expect(rankReportSchema.safeParse(world.report).success).toBe(true);
  });

  it('where its engine does not serve this agent, until it does', () => {
    world.killEngine();
    const code = 'ISOBAR_ENGINE_WRONG_AGENT';
    world.hear({ kind: 'engine-rejects', code, message: 'of rank 1' });
    expect(refused()).toEqual({ order: 'greeting', version: null, code, reason: 'of rank 1' });
    world.startEngine('serving', 'e'.repeat(16));
    world.settle();
    expect(refused()).toBeNull();
  });

  it('but not that its engine is gone, which the report shows as it is', () => {
    world.prepare(proposed(1, 0), leader);
    const [effect] = world.told.filter(({ kind }) => kind === 'command-engine').slice(-1);
    if (effect?.kind !== 'command-engine') throw new Error('no command was given');
    const gone = { code: 'ISOBAR_ENGINE_DISCONNECTED', message: 'gone', explicit: false };
    world.hear({ kind: 'engine-refused', command: effect.command, ...gone });
    expect(refused()).toBeNull();
  });
});

describe('refusals that reports tell', () => {
  it('are none in the report of an agent that does not know of them', () => {
    const { refused: _, ...report } = settledGroup(2).report(0);
    expect(rankReportSchema.parse(report).refused).toBeNull();
  });

  it('are told on by the leader, each once', () => {
    const group = settledGroup(2);
    const code = 'ISOBAR_ENGINE_NO_SPARE_BUFFERS';
    const stage = { order: 'stage', version: 4, code, reason: 'none is spare' };
    const later = { ...stage, version: 5 };
    for (const refused of [stage, stage, later, stage, later]) {
      group.send({ kind: 'report', report: { ...group.report(1), refused } });
    }
    group.send({ kind: 'report', report: { ...group.report(0), refused: stage } });
    expect(group.effectsOf('order-refused')).toEqual([
      { kind: 'order-refused', rank: 1, refused: stage },
      { kind: 'order-refused', rank: 1, refused: later },
      { kind: 'order-refused', rank: 0, refused: stage },
    ]);
  });

  it('are remembered up to a limit, the newest of them', () => {
    const group = settledGroup(2);
    const tell = (version: number) => {
      const refused = {
        order: 'stage',
        version,
        code: 'ISOBAR_ENGINE_NO_SPARE_BUFFERS',
        reason: '',
      };
      group.send({ kind: 'report', report: { ...group.report(1), refused } });
      return group.effectsOf('order-refused').length;
    };
    for (let version = 1; version <= 1_030; version += 1) expect(tell(version)).toBe(version);
    expect(group.state.refusals).toHaveLength(1_024);
    expect([tell(1_030), tell(7), tell(6)]).toEqual([1_030, 1_030, 1_031]);
  });
});
