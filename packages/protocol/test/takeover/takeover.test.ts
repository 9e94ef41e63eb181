import {
  type DecidedVersion,
  encodeMapRecord,
  type Ground,
  type MapRecord,
  type Member,
  mappingOfRecord,
  ranksUnheard,
  readDecidedVersion,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf, fenceOf, Group, incarnationOf, settledGroup } from '../support/group.js';
import { exchanges } from '../support/waves.js';

function decided(record: MapRecord): DecidedVersion {
  return readDecidedVersion(encodeMapRecord(record));
}

function voidRecord(version: number, term = 1, reason = ''): DecidedVersion {
  return decided({ schema: 1, outcome: 'void', version, fence: fenceOf(term), reason });
}

/** The newest committed version with one exchange on top, for other members where given. */
function committedRecord(
  group: Group,
  version: number,
  fields: { members?: readonly Member[]; voided?: number[]; base?: DecidedVersion } = {},
): DecidedVersion {
  const base = (fields.base ?? group.store.get(1))?.record;
  if (base?.outcome !== 'committed') throw new Error('no base');
  const { mapping } = group.state;
  const [wave] = exchanges(mapping, [[0, 1 + (version % 3)]]);
  if (wave === undefined) throw new Error('no wave');
  return decided({
    schema: 1,
    outcome: 'committed',
    version,
    fence: fenceOf(1),
    change: 'rebalance',
    reason: '',
    base: { version: base.version, digest: base.digest },
    digest: wave.digest,
    mapping: wave.mapping,
    members: [...(fields.members ?? base.members)],
    voided: fields.voided ?? [],
  });
}

/** Gives ranks what they would know had they acted on an outcome. */
function acted(group: Group, ranks: readonly number[], known: DecidedVersion): void {
  for (const at of ranks) {
    const rank = group.rank(at);
    const { record } = known;
    rank.votedUpTo = Math.max(rank.votedUpTo, record.version);
    rank.outcomes =
      record.outcome === 'committed' ? [known.known] : [...rank.outcomes, known.known];
    if (record.outcome === 'committed') {
      rank.base = { version: record.version, digest: record.digest };
      rank.mapping = mappingOfRecord(record);
      rank.mappingVersion = record.version;
      rank.activatedVersion = record.version;
    }
  }
}

/** A rebalance for which the ranks named have not voted yet; version 2. */
function openSwap(group: Group, silent: readonly number[]): void {
  group.storeIsDown = true;
  for (const rank of silent) group.rank(rank).isSilent = true;
  const waves = exchanges(group.state.mapping, [[0, 3]]);
  const base = group.state.swap.newest;
  group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
  for (const rank of silent) group.rank(rank).isSilent = false;
  group.storeIsDown = false;
}

/** Peers of one whose process has ended. */
function loseConnection(group: Group, member: Member): void {
  for (const rank of group.ranks) rank.brokenPeers = [...rank.brokenPeers, member];
}

function groundOf(group: Group): Ground {
  const complete = group.takeoverEffects.find((effect) => effect.kind === 'complete');
  if (complete?.kind !== 'complete') throw new Error('the takeover is not complete');
  return complete.ground;
}

function isComplete(group: Group): boolean {
  return group.takeoverEffects.some(({ kind }) => kind === 'complete');
}

function failure(group: Group): string | undefined {
  const failed = group.takeoverEffects.find((effect) => effect.kind === 'failed');
  return failed?.kind === 'failed' ? failed.error.code : undefined;
}

function alarms(group: Group, kind: string): Readonly<Record<string, unknown>>[] {
  return group.takeoverEffects.flatMap((effect) =>
    effect.kind === 'alarm' && effect.alarm === kind ? [effect.fields] : [],
  );
}

function created(group: Group): number[] {
  return group.takeoverEffects.flatMap((effect) =>
    effect.kind === 'create-record' ? [effect.version] : [],
  );
}

describe('who must answer', () => {
  it('is every member of the newest record; until then nothing is created or told', () => {
    const group = settledGroup(3);
    openSwap(group, [2]);
    group.beginTakeover(2);
    group.answerTakeover([0, 1]);
    expect(isComplete(group)).toBe(false);
    expect(created(group)).toEqual([]);
    group.answerTakeover([2]);
    expect(isComplete(group)).toBe(true);
  });

  it('is not who is proven dead, by its agent, an operator or a cut', () => {
    for (const prove of [
      (group: Group) => group.die(3),
      (group: Group) => {
        group.control = controlOf({ dead: [group.member(3)] });
      },
      (group: Group) => {
        for (const rank of [0, 1, 2]) group.rank(rank).cuts = [group.member(3)];
      },
    ]) {
      const group = settledGroup(4);
      prove(group);
      if (group.rank(3).exited.length === 0) group.rank(3).isSilent = true;
      group.beginTakeover(2);
      group.answerTakeover();
      expect(isComplete(group)).toBe(true);
      group.settle();
      expect(group.memberRanks).toEqual([0, 1, 2]);
    }
  });

  it('is also whose death only the leader before had proof of', () => {
    const group = settledGroup(4);
    const dead = [group.member(2), group.member(3)];
    for (const { rank } of dead) group.rank(rank).isSilent = true;
    group.storeIsDown = true;
    group.send({ kind: 'control', control: controlOf({ dead }) });
    group.tick();
    expect(group.state.swap.open?.phase).toBe('deciding');
    // The store has lost that word; the others have cut them, and voted for the removal.
    group.beginTakeover(2);
    group.answerTakeover();
    expect(ranksUnheard(group.takeover ?? never())).toEqual([2, 3]);
    expect(created(group)).toEqual([]);
    group.storeIsDown = false;
    for (const { rank } of dead) {
      group.rank(rank).isSilent = false;
      group.die(rank);
    }
    group.answerTakeover([2, 3]);
    expect(groundOf(group).members.map(({ rank }) => rank)).toEqual([0, 1]);
  });

  it('is not the engine that has come in a member’s place', () => {
    const group = settledGroup(4);
    group.restart(3, 1);
    group.beginTakeover(2);
    group.answerTakeover();
    expect(isComplete(group)).toBe(false);
    group.rank(3).exited = [incarnationOf(3)];
    group.answerTakeover([3]);
    loseConnection(group, { rank: 3, incarnation: incarnationOf(3) });
    group.answerTakeover([0, 1, 2]);
    expect(isComplete(group)).toBe(true);
    expect(groundOf(group).joiners.map(({ rank }) => rank)).toEqual([3]);
  });

  it('is every configured rank where no member lives, as one may know of a later version', () => {
    const group = settledGroup(3);
    const later = committedRecord(group, 2, { members: [group.member(2)] });
    const { incarnation } = group.rank(2);
    group.restart(2, 1);
    const newer = { rank: 2, incarnation: incarnationOf(2, 1) };
    const record = { ...later.record, members: [newer] } as MapRecord;
    acted(group, [2], decided(record));
    for (const rank of [0, 1]) group.die(rank);
    group.rank(2).exited = [incarnation];
    group.rank(2).isSilent = true;
    group.beginTakeover(2);
    group.answerTakeover();
    expect(isComplete(group)).toBe(false);
    group.rank(2).isSilent = false;
    group.answerTakeover();
    expect(groundOf(group)).toMatchObject({ newest: { version: 2 }, members: [newer] });
  });

  it('is every configured rank where no member of an open target lives either', () => {
    const group = settledGroup(4);
    group.storeIsDown = true;
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'leave', ranks: [0], base });
    const left = group.rank(0).vote;
    expect(left?.version).toBe(2);
    for (const rank of [1, 2, 3]) group.die(rank);
    group.restart(3, 1);
    const members = [{ rank: 3, incarnation: incarnationOf(3, 1) }];
    const later = committedRecord(group, 5, { members });
    acted(group, [3], later);
    group.storeIsDown = false;
    group.beginTakeover(2);
    group.toTakeover({ kind: 'report', report: group.report(3) });
    group.answerTakeover([0, 1, 2]);
    expect(created(group)).toEqual([]);
    for (const rank of [1, 2]) group.restart(rank, 1);
    group.answerTakeover([1, 2, 3]);
    expect(groundOf(group)).toMatchObject({ newest: { version: 5 }, members });
  });

  it('is told anew by each answer: members of a version that the store has lost', () => {
    const group = settledGroup(4);
    group.die(3);
    group.settle();
    group.restart(3, 1);
    group.adopt(3);
    group.settle();
    expect(group.version).toBe(3);
    for (const version of [2, 3]) group.store.delete(version);
    // The store names the old incarnation of rank 3, whose death is proven by its agent.
    group.rank(3).isSilent = true;
    group.beginTakeover(2);
    group.answerTakeover([0, 1, 2]);
    expect(ranksUnheard(group.takeover ?? never())).toEqual([3]);
    group.rank(3).isSilent = false;
    group.answerTakeover([3]);
    const ground = groundOf(group);
    expect(ground.newest.version).toBe(3);
    expect(ground.storeBehind).toBe(true);
    expect(group.store.get(3)?.record.outcome).toBe('committed');
  });

  it('answers under this term only', () => {
    const group = settledGroup(3);
    group.beginTakeover(2);
    group.answerTakeover([0, 1]);
    group.toTakeover({ kind: 'answer', answer: group.answer(2), outcomes: [] });
    expect(isComplete(group)).toBe(false);
    group.answerTakeover([2]);
    expect(isComplete(group)).toBe(true);
  });

  it('ends the takeover where it knows a higher fence', () => {
    const group = settledGroup(3);
    group.rank(1).fence = fenceOf(9);
    group.beginTakeover(2);
    group.answerTakeover();
    expect(group.takeoverEffects).toContainEqual({ kind: 'outranked', by: fenceOf(9) });
    expect(isComplete(group)).toBe(false);
  });

  it('is told of once, where nobody can say whether it lives', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    group.beginTakeover(2);
    group.answerTakeover();
    const missing = () =>
      group.takeoverEffects.filter((effect) => effect.kind === 'alarm').map(({ fields }) => fields);
    const cutAfterMs = group.takeover?.cutAfterMs ?? Number.NaN;
    // Six times as long as a loss takes to be agreed on.
    for (let ticks = 0; ticks < 20; ticks += 1) {
      if (ticks < 6) expect(missing()).toEqual([]);
      group.toTakeover({ kind: 'tick' });
      group.nowMs += cutAfterMs;
    }
    expect(missing()).toEqual([{ members: [group.member(3)] }]);
  });

  it('is asked to be cut where all others have lost it', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    for (const rank of [0, 1, 2]) group.rank(rank).brokenPeers = [group.member(3)];
    group.beginTakeover(2);
    group.answerTakeover();
    for (let ticks = 0; ticks < 12; ticks += 1) {
      group.nowMs += 100;
      for (const rank of [0, 1, 2])
        group.toTakeover({ kind: 'report', report: group.report(rank) });
      group.toTakeover({ kind: 'tick' });
    }
    const cut = group.takeoverEffects.find((effect) => effect.kind === 'send-cut');
    expect(cut).toMatchObject({ message: { fence: fenceOf(2), member: group.member(3) } });
    for (const rank of [0, 1, 2]) {
      expect(group.rank(rank).cuts).toEqual([group.member(3)]);
      group.toTakeover({ kind: 'report', report: group.report(rank) });
    }
    group.answerTakeover();
    expect(isComplete(group)).toBe(true);
  });
});

describe('an open number', () => {
  it('is committed with every vote', () => {
    const group = settledGroup(3);
    openSwap(group, []);
    group.lead(2);
    expect(groundOf(group).newest.version).toBe(2);
    group.settle();
    expect(group.ranks.map(({ mappingVersion }) => mappingVersion)).toEqual([2, 2, 2]);
  });

  it('is void where a living voter has been heard without a vote', () => {
    const group = settledGroup(3);
    openSwap(group, [2]);
    group.lead(2);
    expect(groundOf(group)).toMatchObject({ newest: { version: 1 }, voided: [2], nextVersion: 3 });
  });

  it('is decided by the others where a voter is dead: it may have acted on their commit', () => {
    const group = settledGroup(3);
    openSwap(group, []);
    group.die(2);
    group.lead(2);
    expect(groundOf(group).newest.version).toBe(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1]);
  });

  it('is void by the others too: what they have not voted for nobody can have acted on', () => {
    const group = settledGroup(3);
    openSwap(group, [1]);
    group.die(2);
    group.lead(2);
    expect(groundOf(group)).toMatchObject({ newest: { version: 1 }, voided: [2] });
  });

  it('is void where its base is not the newest', () => {
    const group = settledGroup(3);
    group.rank(0).votedUpTo = 8;
    group.tick();
    openSwap(group, []);
    expect(group.rank(0).vote?.version).toBe(9);
    acted(group, [1], committedRecord(group, 5));
    group.lead(2);
    expect(groundOf(group)).toMatchObject({ newest: { version: 5 }, voided: [9] });
  });

  it('that this process can not read ends the takeover', () => {
    const group = settledGroup(3);
    openSwap(group, []);
    const { vote } = group.rank(1);
    if (vote === null) throw new Error('no vote');
    group.rank(1).vote = { ...vote, proposal: Uint8Array.of(0xc1) };
    group.beginTakeover(2);
    group.answerTakeover();
    expect(failure(group)).toBe('ISOBAR_PROTOCOL_MALFORMED');
    expect(created(group)).toEqual([]);
  });

  it('is void where the very same digest was voted for with other members', () => {
    const group = settledGroup(3);
    openSwap(group, []);
    const { vote } = group.rank(1);
    if (vote === null) throw new Error('no vote');
    group.rank(1).vote = { ...vote, proposal: reproposed(vote.proposal) };
    group.lead(2);
    expect(groundOf(group).voided).toEqual([2]);
  });

  it('gives way to a late write of the leader before, and is decided anew', () => {
    const group = settledGroup(3);
    openSwap(group, [2]);
    group.beginTakeover(2);
    const late = committedRecord(group, 2);
    group.store.set(2, late);
    group.answerTakeover();
    expect(groundOf(group)).toMatchObject({ newest: { version: 2 }, storeBehind: false });
  });

  it('is not created twice, nor taken for settled by a creation that timed out', () => {
    const group = settledGroup(3);
    openSwap(group, [2]);
    group.storeIsDown = true;
    group.beginTakeover(2);
    group.answerTakeover();
    group.toTakeover({ kind: 'record-unknown', version: 2 });
    expect(isComplete(group)).toBe(false);
    group.storeIsDown = false;
    group.toTakeover({ kind: 'tick' });
    expect(isComplete(group)).toBe(true);
  });

  it('of a creation under way does not change with what is proven meanwhile', () => {
    const group = settledGroup(3);
    openSwap(group, [2]);
    group.storeIsDown = true;
    group.beginTakeover(2);
    group.answerTakeover();
    group.die(2);
    group.toTakeover({ kind: 'report', report: group.report(2) });
    group.storeIsDown = false;
    group.toTakeover({ kind: 'tick' });
    expect(group.store.get(2)?.record.outcome).toBe('void');
  });
});

describe('an open number that a joiner voted for', () => {
  /** Rank 3 returns under a new incarnation; the version that lists it is open, number 3. */
  function joining(silent: readonly number[]): Group {
    const group = settledGroup(4);
    group.die(3);
    group.settle();
    group.restart(3, 1);
    group.adopt(3);
    group.storeIsDown = true;
    group.tick();
    for (const rank of silent) group.rank(rank).isSilent = true;
    group.tick();
    for (const rank of silent) group.rank(rank).isSilent = false;
    group.storeIsDown = false;
    return group;
  }

  it('is committed with its vote', () => {
    const group = joining([]);
    expect(group.rank(3).vote?.version).toBe(3);
    group.lead(2);
    expect(groundOf(group).members.map(({ rank }) => rank)).toEqual([0, 1, 2, 3]);
  });

  it('waits for the joiner, which may have acted, where all others have voted', () => {
    const group = joining([]);
    group.beginTakeover(2);
    group.answerTakeover([0, 1, 2]);
    expect(isComplete(group)).toBe(false);
    group.rank(3).exited = [...group.rank(3).exited, group.rank(3).incarnation];
    group.rank(3).isGone = true;
    group.toTakeover({ kind: 'report', report: group.report(3) });
    group.toTakeover({ kind: 'tick' });
    group.answerTakeover([0, 1, 2]);
    expect(groundOf(group).newest.version).toBe(3);
  });

  it('waits for the joiner, too, where all that have voted have cut those that have not', () => {
    const group = joining([]);
    for (const rank of [1, 2]) group.rank(rank).vote = null;
    group.rank(0).cuts = [group.member(1), group.member(2)];
    group.beginTakeover(2);
    // A leader that held ranks 1 and 2 for dead may have committed it, and told the joiner alone.
    group.answerTakeover([0, 1, 2]);
    expect(ranksUnheard(group.takeover ?? never())).toEqual([3]);
    group.answerTakeover([3]);
    expect(groundOf(group).voided).toEqual([3]);
  });

  it('is void, without the joiner, where a member has not voted', () => {
    const group = joining([]);
    group.rank(1).vote = null;
    group.beginTakeover(2);
    group.answerTakeover([0, 1, 2]);
    expect(groundOf(group).voided).toEqual([3]);
  });

  it('is void where its vote is of another incarnation', () => {
    const group = joining([]);
    const { vote } = group.rank(3);
    if (vote === null) throw new Error('no vote');
    group.rank(3).vote = { ...vote, incarnation: incarnationOf(3) };
    group.lead(2);
    expect(groundOf(group).voided).toEqual([3]);
  });

  it('is void where the joiner was heard without a vote', () => {
    const group = joining([]);
    group.rank(3).vote = null;
    group.lead(2);
    expect(groundOf(group).voided).toEqual([3]);
  });
});

describe('records and ranks', () => {
  it('that contradict each other: what a living member acted on holds', () => {
    const group = settledGroup(3);
    acted(group, [1], voidRecord(2));
    group.store.set(2, committedRecord(group, 2));
    group.lead(2);
    expect(groundOf(group)).toMatchObject({
      newest: { version: 1 },
      voided: [2],
      contradicted: [2],
      storeBehind: true,
    });
    expect(alarms(group, 'record-contradicted')).toEqual([{ version: 2 }]);
    expect(failure(group)).toBeUndefined();
  });

  it('the other way round, too', () => {
    const group = settledGroup(3);
    acted(group, [0, 1, 2], committedRecord(group, 2));
    group.store.set(2, voidRecord(2));
    group.lead(2);
    expect(groundOf(group)).toMatchObject({ newest: { version: 2 }, contradicted: [2] });
    // The next committed record carries what outranks the store's.
    group.settle();
    const waves = exchanges(group.state.mapping, [[0, 4]]);
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    group.settle();
    expect(group.store.get(3)?.record).toMatchObject({ base: { version: 2 } });
  });

  it('contradict each other while an outcome is created again: overruled as well', () => {
    const group = settledGroup(3);
    acted(group, [1], voidRecord(2));
    group.beginTakeover(2);
    group.store.set(2, committedRecord(group, 2));
    group.answerTakeover();
    expect(groundOf(group)).toMatchObject({ voided: [2], contradicted: [2], storeBehind: true });
    expect(alarms(group, 'record-contradicted')).toEqual([{ version: 2 }]);
  });

  it('two living members that have acted differently need an operator', () => {
    const group = settledGroup(3);
    acted(group, [0], voidRecord(2));
    acted(group, [1], committedRecord(group, 2));
    group.beginTakeover(2);
    group.answerTakeover();
    expect(failure(group)).toBe('ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT');
    expect(created(group)).toEqual([]);
  });

  it('a dead rank that alone was told a void does not stand against the living', () => {
    const group = settledGroup(4);
    acted(group, [3], voidRecord(2));
    group.die(3);
    acted(group, [0, 1, 2], committedRecord(group, 2));
    group.beginTakeover(2);
    group.answerTakeover([3, 0, 1, 2]);
    expect(groundOf(group).newest.version).toBe(2);
  });

  it('nor does one that has been cut, though it answers', () => {
    const group = settledGroup(4);
    acted(group, [3], voidRecord(2));
    acted(group, [0, 1, 2], committedRecord(group, 2));
    for (const rank of [0, 1, 2]) group.rank(rank).cuts = [group.member(3)];
    group.beginTakeover(2);
    group.answerTakeover([3, 0, 1, 2]);
    expect(groundOf(group).newest.version).toBe(2);
  });

  it('a removed rank that wakes up and knows another outcome changes nothing', () => {
    const group = settledGroup(4);
    acted(group, [3], voidRecord(2));
    const members = [0, 1, 2].map((rank) => group.member(rank));
    acted(group, [0, 1, 2], committedRecord(group, 2, { members }));
    group.beginTakeover(2);
    group.answerTakeover([3, 0, 1, 2]);
    expect(groundOf(group)).toMatchObject({ newest: { version: 2 }, members });
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    expect(group.version).toBe(2);
  });

  it('what the agent of a dead rank keeps outranks the store, where no member knows better', () => {
    const group = settledGroup(4);
    acted(group, [3], voidRecord(2));
    group.die(3);
    group.store.set(2, committedRecord(group, 2));
    group.beginTakeover(2);
    group.answerTakeover([3, 0, 1, 2]);
    expect(groundOf(group)).toMatchObject({ newest: { version: 1 }, voided: [2] });
  });

  it('a committed record’s base and voided numbers outrank what contradicts them', () => {
    const group = settledGroup(3);
    const base = committedRecord(group, 2);
    const later = committedRecord(group, 4, { base, voided: [3] });
    acted(group, [0, 1, 2], later);
    group.store.set(2, voidRecord(2));
    group.store.set(3, committedRecord(group, 3));
    group.lead(2);
    expect(groundOf(group)).toMatchObject({
      newest: { version: 4 },
      contradicted: [2, 3],
      retained: null,
    });
  });

  it('a record that the store has lost is created again from its bytes', () => {
    const group = settledGroup(3);
    const known = group.store.get(1);
    group.store.delete(1);
    group.lead(2);
    expect(group.store.get(1)?.known).toEqual(known?.known);
    expect(groundOf(group).storeBehind).toBe(true);
  });

  it('a record that was only read too early is no loss', () => {
    const group = settledGroup(3);
    const known = group.store.get(1) ?? never();
    group.store.delete(1);
    group.beginTakeover(2);
    group.store.set(1, known);
    group.answerTakeover();
    expect(groundOf(group).storeBehind).toBe(false);
  });

  it('a creation in doubt that is found there may have been one', () => {
    const group = settledGroup(3);
    const known = group.store.get(1) ?? never();
    group.store.delete(1);
    group.storeIsDown = true;
    group.beginTakeover(2);
    group.answerTakeover();
    group.toTakeover({ kind: 'record-unknown', version: 1 });
    group.store.set(1, known);
    group.storeIsDown = false;
    group.toTakeover({ kind: 'tick' });
    expect(groundOf(group).storeBehind).toBe(true);
  });

  it('a version that a rank follows and nobody has the record of ends the takeover', () => {
    const group = settledGroup(3);
    group.rank(1).base = { ...group.rank(1).base, version: 7 };
    group.beginTakeover(2);
    group.answerTakeover();
    expect(failure(group)).toBe('ISOBAR_PROTOCOL_RECORD_MISSING');
  });

  it('one that this process can not read ends the takeover', () => {
    const group = settledGroup(3);
    const unread = { version: 2, outcome: 'void', record: Uint8Array.of(0xc1) } as const;
    group.rank(1).outcomes = [...group.rank(1).outcomes, unread];
    group.beginTakeover(2);
    group.answerTakeover();
    expect(failure(group)).toBe('ISOBAR_PROTOCOL_MALFORMED');
  });
});

describe('without any record', () => {
  it('all configured ranks must serve one start mapping', () => {
    const group = new Group(3);
    group.beginTakeover(1);
    group.answerTakeover([0, 1]);
    expect(isComplete(group)).toBe(false);
    group.answerTakeover([2]);
    expect(groundOf(group).newest.version).toBe(0);
  });

  it('a rank with two engines waits for the proof that one is dead', () => {
    const group = new Group(3);
    group.beginTakeover(1);
    group.answerTakeover([2]);
    group.restart(2, 1, 'serving');
    group.answerTakeover([2, 0, 1]);
    expect(isComplete(group)).toBe(false);
    group.rank(2).exited = [incarnationOf(2)];
    loseConnection(group, { rank: 2, incarnation: incarnationOf(2) });
    group.answerTakeover([2, 0, 1]);
    expect(groundOf(group).members[2]?.incarnation).toBe(incarnationOf(2, 1));
  });

  it('an engine that would join a group that nothing is known of ends the takeover', () => {
    const group = new Group(3);
    group.restart(2, 1, 'joining');
    group.beginTakeover(1);
    group.answerTakeover();
    expect(failure(group)).toBe('ISOBAR_PROTOCOL_ENGINES_DISAGREE');
  });
});

describe('what a leader stands on', () => {
  it('names the mapping before while some member retains its buffers', () => {
    const group = settledGroup(3);
    const first = group.state.mapping;
    for (const rank of group.ranks) rank.missesOutcomes = true;
    const waves = exchanges(first, [[0, 3]]);
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    group.lead(2);
    const ground = groundOf(group);
    expect(ground.retained?.mapping.equals(first)).toBe(true);
    expect(ground.retiredUpTo).toBe(1);
    group.activation = 'in-place';
    group.lead(2);
    expect(groundOf(group).retained).toBeNull();
    group.activation = 'two-table';
    for (const rank of group.ranks) rank.missesOutcomes = false;
    group.settle();
    group.lead(3);
    expect(groundOf(group)).toMatchObject({ retained: null, retiredUpTo: 2 });
  });

  it('names leavers that may still be serving, until somebody has retired what they serve', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    const leaver = group.member(1);
    group.rank(1).missesOutcomes = true;
    const base = group.state.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'leave', ranks: [1], base });
    group.tick();
    group.lead(2);
    expect(groundOf(group).baseMembers).toEqual([leaver]);
    for (let ticks = 0; ticks < 5; ticks += 1) group.tick();
    expect(group.state.swap.open?.phase).toBe('activating');
    group.rank(1).missesOutcomes = false;
    group.settle();
    expect(group.rank(0).retiredUpTo).toBe(2);
    group.rank(1).isSilent = true;
    group.lead(3);
    expect(groundOf(group).baseMembers).toEqual([]);
    group.settle();
    expect(group.state.swap.open).toBeNull();
  });

  it('does not name the dead that the newest version has removed: their proof may be lost', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    for (const rank of [0, 1, 2]) group.rank(rank).missesRetire = true;
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(3)] }) });
    group.tick();
    expect(group.version).toBe(2);
    for (const rank of [0, 1, 2]) group.rank(rank).missesRetire = false;
    group.lead(2);
    expect(groundOf(group).baseMembers).toEqual([]);
    group.settle();
    expect(group.rank(0).retiredUpTo).toBe(2);
  });

  it('numbers on above everything that anybody has seen', () => {
    const group = settledGroup(3);
    group.rank(1).votedUpTo = 12;
    group.lead(2);
    expect(groundOf(group).nextVersion).toBe(13);
  });
});

describe('two leaders', () => {
  it('of which one knows the group without a member: the older can commit nothing', () => {
    const group = settledGroup(4);
    const older = group.state;
    group.die(3);
    group.lead(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    const newer = group.state;
    // The older one wakes up, on the version before and with all four members.
    group.leader = older;
    const waves = exchanges(older.mapping, [[0, 3]]);
    const base = older.swap.newest;
    group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
    expect(group.effectsOf('create-record').map(({ version }) => version)).toEqual([1, 2]);
    expect(group.state.swap.open?.votes.size).toBe(0);
    group.send({ kind: 'report', report: group.report(0) });
    expect(group.effectsOf('deposed')).toEqual([{ kind: 'deposed', by: fenceOf(2) }]);
    group.leader = newer;
    group.settle();
    expect(group.version).toBe(2);
  });
});

/** The same proposal, with its members in another order: other bytes, one digest. */
function reproposed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const at = Buffer.from(copy).indexOf('as a test wants it');
  copy[at] = 0x41;
  return copy;
}

function never(): never {
  throw new Error('absent');
}

describe('answers of one rank', () => {
  it('are kept of its last eight engines; the others are asked again', () => {
    const group = new Group(3);
    group.beginTakeover(1);
    for (let life = 1; life <= 12; life += 1) {
      group.restart(2, life);
      group.answerTakeover([2]);
    }
    const kept = group.takeover?.words
      .get(2)
      ?.map(({ answer }) => answer.engine?.description.incarnation);
    expect(kept).toEqual(Array.from({ length: 8 }, (_, index) => incarnationOf(2, 5 + index)));
  });
});
