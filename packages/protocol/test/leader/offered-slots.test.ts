import { decodeProposal, type LeaderEvent, type Wave } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf, type Group, settledGroup, slotsByRank } from '../support/group.js';
import { exchanged, waveTo } from '../support/waves.js';

function proposals(group: Group) {
  return group
    .effectsOf('send-prepare')
    .map(({ message }) => decodeProposal(message.proposal))
    .filter(({ version }, index, all) => version !== all[index - 1]?.version);
}

function request(group: Group, token: number, waves: readonly Wave[]): LeaderEvent {
  const base = group.state.swap.newest;
  return { kind: 'request', change: 'rollback', token, waves, base };
}

/** Three ranks of two slots for four experts: [[0, 1], [2, 3], [0, 1]]. */
function group(): Group {
  return settledGroup(3, { numLogicalExperts: 4 });
}

describe('an engine that offers fewer slots', () => {
  it('has the others emptied, and is filled again once it offers them', () => {
    const own = group();
    own.rank(1).offeredSlots = 1;
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]).toEqual([2, -1]);
    expect(proposals(own).at(-1)).toMatchObject({
      change: 'drain',
      reason: 'rank 1 offers 1 of 2 slots',
    });
    const rows = own.state.mapping.row(0).slice();
    rows[3] = 0;
    const filled = own.state.mapping.apply({ layers: Int32Array.of(0), rows });
    own.send(request(own, 7, [waveTo(own.state.mapping, filled, 'rollback')]));
    expect(own.effectsOf('request-refused')).toMatchObject([
      { token: 7, error: { code: 'ISOBAR_COORDINATOR_REQUEST_INVALID' } },
    ]);
    own.rank(1).offeredSlots = 2;
    own.tick();
    own.send(request(own, 8, [waveTo(own.state.mapping, filled, 'rollback')]));
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]).toEqual([2, 0]);
  });

  it('is known to the next leader by its answer', () => {
    const own = group();
    own.rank(1).offeredSlots = 1;
    own.lead(2);
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]).toEqual([2, -1]);
  });

  it('keeps what has no other place: told once, and nothing is committed', () => {
    const own = settledGroup(3, { numLogicalExperts: 6 });
    own.rank(1).offeredSlots = 1;
    own.settle();
    own.settle();
    expect(own.version).toBe(1);
    const told = own.effectsOf('alarm').filter(({ alarm }) => alarm === 'degraded');
    expect(told).toMatchObject([{ fields: { change: 'drain', lacks: 'slots', liveSlots: 5 } }]);
  });

  it('comes before a drain where not both can be had', () => {
    const own = settledGroup(4, { numLogicalExperts: 6 });
    own.send({ kind: 'control', control: controlOf({ drained: [3], paused: true }) });
    own.rank(1).offeredSlots = 0;
    own.settle();
    expect(own.version).toBe(1);
    own.send({ kind: 'control', control: controlOf({ drained: [3] }) });
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]).toEqual([-1, -1]);
    expect(slotsByRank(own.state.mapping)[3]).not.toContain(-1);
    const told = own.effectsOf('alarm').filter(({ alarm }) => alarm === 'degraded');
    expect(told).toMatchObject([{ fields: { change: 'drain', lacks: 'slots' } }]);
    own.rank(1).offeredSlots = 2;
    own.settle();
    expect(slotsByRank(own.state.mapping)[3]).toEqual([-1, -1]);
  });

  it('voids what was planned before, where that fills them', () => {
    const own = group();
    own.rank(0).isSilent = true;
    const filling = exchanged(own.state.mapping, 0, 3);
    own.send(request(own, 7, [waveTo(own.state.mapping, filling, 'rollback')]));
    own.tick();
    expect(own.state.swap.open?.phase).toBe('preparing');
    own.rank(1).offeredSlots = 1;
    own.rank(0).isSilent = false;
    own.send({ kind: 'report', report: own.report(1) });
    own.settle();
    expect(own.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'superseded' }]);
    expect(slotsByRank(own.state.mapping)[1]).toEqual([2, -1]);
  });

  it('takes in no expert of a rank that dies, nor of one that leaves', () => {
    for (const how of ['dies', 'leaves']) {
      const own = settledGroup(4, { numLogicalExperts: 4 });
      own.rank(1).offeredSlots = 1;
      own.settle();
      if (how === 'dies') own.die(2);
      else {
        const base = own.state.swap.newest;
        own.send({ kind: 'request', token: 7, change: 'leave', ranks: [2], base });
      }
      own.settle();
      expect(own.memberRanks).toEqual([0, 1, 3]);
      expect(slotsByRank(own.state.mapping)[1]?.[1]).toBe(-1);
    }
  });

  it('counts for what the others could hold when a member is to be cut', () => {
    const own = settledGroup(4, { numLogicalExperts: 6 });
    own.rank(1).offeredSlots = 1;
    own.settle();
    const lost = own.member(3);
    own.rank(3).isSilent = true;
    for (const rank of [0, 1, 2]) own.rank(rank).brokenPeers = [lost];
    for (let ticks = 0; ticks < 60; ticks += 1) own.tick();
    expect(own.effectsOf('send-cut')).toEqual([]);
    const [first] = own.effectsOf('alarm');
    expect(first).toMatchObject({
      alarm: 'degraded',
      fields: { change: 'evacuation', lacks: 'slots', members: [lost] },
    });
  });
});

describe('an operator’s limit', () => {
  const limited = controlOf({ slotLimits: [{ rank: 1, slots: 1 }] });

  it('is done once no slot beyond it holds anything', () => {
    const own = group();
    own.send({ kind: 'control', control: limited });
    const base = own.state.swap.newest;
    own.send({ kind: 'request', token: 7, change: 'limit-slots', ranks: [1], base });
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]).toEqual([2, -1]);
    expect(own.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'committed' }]);
  });

  it('gives way where a dead rank’s experts have no other place', () => {
    const own = settledGroup(4, { numLogicalExperts: 6 });
    own.send({ kind: 'control', control: limited });
    own.settle();
    expect(slotsByRank(own.state.mapping)[1]?.[1]).toBe(-1);
    own.die(3);
    own.settle();
    expect(own.memberRanks).toEqual([0, 1, 2]);
    expect(slotsByRank(own.state.mapping)[1]?.[1]).not.toBe(-1);
  });
});

describe('a leave', () => {
  it('of an incarnation that is gone does not make the next one leave', () => {
    const own = group();
    const base = own.state.swap.newest;
    const members = [own.member(2)];
    own.send({ kind: 'request', token: 7, change: 'leave', ranks: [2], members, base });
    own.die(2);
    own.settle();
    own.restart(2, 1);
    own.adopt(2);
    own.settle();
    expect(own.memberRanks).toEqual([0, 1, 2]);
  });

  it('is not followed by a return for as long as the engine wants to be away', () => {
    const own = group();
    own.die(2);
    own.settle();
    own.restart(2, 1);
    own.rank(2).leaving = true;
    own.adopt(2);
    own.settle();
    expect(own.memberRanks).toEqual([0, 1]);
    own.rank(2).leaving = false;
    own.settle();
    expect(own.memberRanks).toEqual([0, 1, 2]);
  });
});
