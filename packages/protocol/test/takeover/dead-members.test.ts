import {
  type DecidedVersion,
  encodeMapRecord,
  type Ground,
  type MapRecord,
  ranksUnheard,
  readDecidedVersion,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf, fenceOf, type Group, settledGroup } from '../support/group.js';
import { exchanges } from '../support/waves.js';

/* A word counts only where the dead are cut: until then one of them may tell what it alone knows. */

function voidRecord(version: number): DecidedVersion {
  return decided({ schema: 1, outcome: 'void', version, fence: fenceOf(1), reason: '' });
}

function decided(record: MapRecord): DecidedVersion {
  return readDecidedVersion(encodeMapRecord(record));
}

/** Version 2 is open, and every member has voted for it. */
function votedGroup(numRanks = 4): Group {
  const group = settledGroup(numRanks);
  group.storeIsDown = true;
  const waves = exchanges(group.state.mapping, [[0, 3]]);
  const base = group.state.swap.newest;
  group.send({ kind: 'request', token: 1, change: 'rebalance', waves, base });
  group.storeIsDown = false;
  return group;
}

/** Rank 3 is vouched for as dead, though it may only be paused. */
function vouchFor(group: Group, rank = 3): void {
  group.control = controlOf({ dead: [group.member(rank)] });
  group.rank(rank).isSilent = true;
}

function setCutsHeard(group: Group, areHeard: boolean): void {
  for (const rank of group.ranks) rank.missesCuts = !areHeard;
}

function groundOf(group: Group): Ground | null {
  const complete = group.takeoverEffects.find((effect) => effect.kind === 'complete');
  return complete?.kind === 'complete' ? complete.ground : null;
}

function waitsFor(group: Group): number[] {
  if (group.takeover === null) throw new Error('nobody takes over');
  return ranksUnheard(group.takeover);
}

function asked(group: Group): readonly number[] {
  const ask = group.takeoverEffects.findLast((effect) => effect.kind === 'ask');
  return ask?.kind === 'ask' ? ask.ranks : [];
}

describe('a member that is vouched for as dead', () => {
  it('may still tell a peer its outcome after that peer has answered', () => {
    const group = votedGroup();
    vouchFor(group);
    setCutsHeard(group, false);
    group.beginTakeover(2);
    group.answerTakeover();
    // All that live have voted, and none of them has cut it.
    expect(group.store.has(2)).toBe(false);
    expect(waitsFor(group)).toEqual([0, 1, 2]);
    // It alone had heard that version 2 is void, and tells rank 0: the store has lost the record.
    group.act(0, voidRecord(2).known.record);
    setCutsHeard(group, true);
    group.toTakeover({ kind: 'tick' });
    group.answerTakeover();
    expect(groundOf(group)).toMatchObject({ newest: { version: 1 }, voided: [2] });
  });

  it('is asked to be cut by all that live, who are asked again', () => {
    const group = votedGroup();
    vouchFor(group);
    setCutsHeard(group, false);
    group.beginTakeover(2);
    group.answerTakeover();
    group.toTakeover({ kind: 'tick' });
    expect(asked(group)).toEqual([0, 1, 2, 3]);
    const cuts = group.takeoverEffects.filter((effect) => effect.kind === 'send-cut');
    expect(cuts).not.toEqual([]);
    for (const cut of cuts) {
      expect(cut).toMatchObject({ message: { fence: fenceOf(2), member: group.member(3) } });
    }
    setCutsHeard(group, true);
    group.toTakeover({ kind: 'tick' });
    group.answerTakeover([0, 1]);
    expect(waitsFor(group)).toEqual([2]);
    group.answerTakeover([2]);
    expect(groundOf(group)?.newest.version).toBe(2);
  });

  it('is not left out by a report of the cut: the answer came before it', () => {
    const group = votedGroup();
    vouchFor(group);
    setCutsHeard(group, false);
    group.beginTakeover(2);
    group.answerTakeover();
    setCutsHeard(group, true);
    group.toTakeover({ kind: 'tick' });
    for (const rank of [0, 1, 2]) group.toTakeover({ kind: 'report', report: group.report(rank) });
    expect(groundOf(group)).toBeNull();
    group.answerTakeover([0, 1, 2]);
    expect(groundOf(group)?.newest.version).toBe(2);
  });
});

describe('a member that all others have cut', () => {
  it('is left out of answers given after the cut alone', () => {
    const group = votedGroup();
    group.rank(3).isSilent = true;
    group.beginTakeover(2);
    group.answerTakeover();
    for (const rank of [0, 1, 2]) {
      group.rank(rank).cuts = [group.member(3)];
      group.toTakeover({ kind: 'report', report: group.report(rank) });
    }
    expect(groundOf(group)).toBeNull();
    group.answerTakeover([0, 1]);
    group.act(2, voidRecord(2).known.record);
    group.answerTakeover([2]);
    expect(groundOf(group)?.voided).toEqual([2]);
  });
});

describe('a member whose process was seen to end', () => {
  it('may have frames under way to a peer whose connection stands', () => {
    const group = votedGroup();
    group.die(3);
    setCutsHeard(group, false);
    group.rank(0).brokenPeers = [];
    group.beginTakeover(2);
    group.answerTakeover();
    expect(waitsFor(group)).toEqual([0]);
    group.act(0, voidRecord(2).known.record);
    group.rank(0).brokenPeers = [group.member(3)];
    group.answerTakeover([0]);
    expect(groundOf(group)?.voided).toEqual([2]);
  });

  it('is cut where a peer does not lose its connection', () => {
    const group = votedGroup();
    group.die(3);
    group.rank(0).brokenPeers = [];
    group.beginTakeover(2);
    group.answerTakeover();
    group.toTakeover({ kind: 'tick' });
    group.answerTakeover([0]);
    expect(group.rank(0).cuts).toEqual([group.member(3)]);
    expect(groundOf(group)?.newest.version).toBe(2);
  });

  it('is told by the agent of its own rank: no other can have seen it', () => {
    const group = votedGroup();
    group.rank(3).isSilent = true;
    group.rank(0).exited = [group.rank(3).incarnation];
    group.rank(0).brokenPeers = [group.member(3)];
    for (const rank of [1, 2]) group.rank(rank).brokenPeers = [group.member(3)];
    group.beginTakeover(2);
    group.answerTakeover();
    group.toTakeover({ kind: 'report', report: group.report(0) });
    expect(waitsFor(group)).toEqual([3]);
    expect(groundOf(group)).toBeNull();
  });
});

describe('an engine that was to join and has died', () => {
  it('is cut as well: it has voted, and may have acted', () => {
    const group = settledGroup(4);
    group.die(3);
    group.settle();
    group.restart(3, 1);
    group.adopt(3);
    group.storeIsDown = true;
    group.tick();
    group.tick();
    expect(group.rank(3).vote?.version).toBe(3);
    group.storeIsDown = false;
    vouchFor(group);
    setCutsHeard(group, false);
    group.beginTakeover(2);
    group.answerTakeover();
    expect(group.store.has(3)).toBe(false);
    expect(waitsFor(group)).toEqual([0, 1, 2]);
    group.act(1, voidRecord(3).known.record);
    setCutsHeard(group, true);
    group.toTakeover({ kind: 'tick' });
    group.answerTakeover();
    expect(groundOf(group)).toMatchObject({ newest: { version: 2 }, voided: [3] });
  });
});

describe('a member that only the leader before held for dead', () => {
  /** Rank 3 was to be removed by version 2; the others have voted, and its proof is lost. */
  function removing(areCut: boolean): Group {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    setCutsHeard(group, areCut);
    group.storeIsDown = true;
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(3)] }) });
    group.tick();
    group.rank(3).isSilent = false;
    group.storeIsDown = false;
    return group;
  }

  it('refutes by its answer what its peers could not have committed without it', () => {
    const group = removing(false);
    expect(group.state.swap.open?.phase).toBe('preparing');
    group.beginTakeover(2);
    group.answerTakeover([0, 1, 3]);
    expect(waitsFor(group)).toEqual([2]);
    group.answerTakeover([2]);
    expect(groundOf(group)).toMatchObject({ newest: { version: 1 }, voided: [2] });
  });
});

describe('a leader that removes a member vouched for as dead', () => {
  it('counts the votes of those that have cut it', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    setCutsHeard(group, false);
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(3)] }) });
    group.tick();
    expect(group.state.swap.open?.votes.size).toBe(3);
    expect(group.state.swap.open?.phase).toBe('preparing');
    expect(group.store.has(2)).toBe(false);
    for (const rank of [0, 1]) group.rank(rank).missesCuts = false;
    group.tick();
    expect(group.state.swap.open?.phase).toBe('preparing');
    group.rank(2).missesCuts = false;
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
  });

  it('asks for the cut at once', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    const effects = group.send({
      kind: 'control',
      control: controlOf({ dead: [group.member(3)] }),
    });
    const cuts = effects.filter((effect) => effect.kind === 'send-cut');
    expect(cuts).toMatchObject([{ message: { member: group.member(3) } }]);
  });

  it('needs no cut of one whose process has ended, where its peers have lost it', () => {
    const group = settledGroup(4);
    group.die(3);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    expect(group.effectsOf('send-cut')).toEqual([]);
  });
});
