import { describe, expect, it } from 'vitest';
import { controlOf, settledGroup, slotsByRank } from '../support/group.js';

describe('a death', () => {
  it('is proven by the end of the process, as its agent saw it', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
    expect(slotsByRank(group.state.mapping)[2]).toEqual([-1, -1]);
  });

  it('is not proven by the word of another rank’s agent', () => {
    const group = settledGroup(4);
    group.rank(2).isSilent = true;
    group.rank(1).exited = [group.rank(2).incarnation];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
    expect(group.version).toBe(1);
  });

  it('is not proven by the end of an earlier incarnation', () => {
    const group = settledGroup(4);
    group.rank(2).exited = ['0123456789abcdef'];
    group.settle();
    expect(group.version).toBe(1);
  });

  it('is proven by an operator’s word', () => {
    const group = settledGroup(4);
    group.rank(2).isSilent = true;
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(2)] }) });
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('is not proven by silence, lost connections or a new engine', () => {
    const group = settledGroup(4);
    group.restart(2, 1);
    group.adopt(2);
    for (const rank of [0, 1])
      group.rank(rank).brokenPeers = [
        { rank: 2, incarnation: group.state.swap.members[2]?.incarnation ?? '' },
      ];
    group.settle();
    expect(group.version).toBe(1);
  });
});

describe('a cut', () => {
  function lost(group: ReturnType<typeof settledGroup>, rank: number, by: readonly number[]): void {
    group.rank(rank).isSilent = true;
    for (const other of by) group.rank(other).brokenPeers = [group.member(rank)];
  }

  it('is asked for once all others have lost a member for long, and is a proof once all have made it', () => {
    const group = settledGroup(4);
    const member = group.member(2);
    lost(group, 2, [0, 1, 3]);
    for (const rank of [0, 1, 3]) group.rank(rank).missesCuts = true;
    group.tick(100);
    group.tick(100);
    group.tick(900);
    expect(group.effectsOf('send-cut')).toEqual([]);
    group.tick(100);
    expect(group.effectsOf('send-cut').at(-1)?.message.member).toEqual(member);
    for (const rank of [0, 1]) group.rank(rank).cuts = [member];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
    group.rank(3).cuts = [member];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('is asked for where an operator vouches, until all have cut it: it may only be paused', () => {
    const group = settledGroup(4);
    group.rank(2).isSilent = true;
    group.rank(3).isSilent = true;
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(2)] }) });
    group.tick();
    const asked = group.effectsOf('send-cut').map(({ message }) => message.member);
    // At once, and at the tick again.
    expect(asked).toEqual([group.member(2), group.member(2)]);
    group.rank(3).isSilent = false;
    group.settle();
    const before = group.effectsOf('send-cut').length;
    group.tick();
    expect(group.effectsOf('send-cut')).toHaveLength(before);
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('is not asked for while one other still has its connection; an operator is told, once', () => {
    const group = settledGroup(4);
    lost(group, 2, [0, 1]);
    for (let ticks = 0; ticks < 40; ticks += 1) group.tick();
    expect(group.effectsOf('send-cut')).toEqual([]);
    const alarms = group.effectsOf('alarm').filter(({ alarm }) => alarm === 'death-unproven');
    expect(alarms.map(({ fields }) => fields)).toEqual([{ members: [group.member(2)] }]);
  });

  it('is not asked for by words that are old', () => {
    const group = settledGroup(4);
    lost(group, 2, [0, 1, 3]);
    group.tick(100);
    group.rank(3).isSilent = true;
    for (let ticks = 0; ticks < 40; ticks += 1) group.tick();
    expect(group.effectsOf('send-cut')).toEqual([]);
  });

  it('is not asked for anew where the connection came back meanwhile', () => {
    const group = settledGroup(4);
    lost(group, 2, [0, 1, 3]);
    group.tick(100);
    group.tick(100);
    group.tick(800);
    group.rank(3).brokenPeers = [];
    group.tick(100);
    group.rank(3).brokenPeers = [group.member(2)];
    group.tick(100);
    group.tick(100);
    group.tick(800);
    expect(group.effectsOf('send-cut')).toEqual([]);
  });

  it('is not made by half of the members', () => {
    const group = settledGroup(2, { numLogicalExperts: 2 });
    const member = group.member(1);
    lost(group, 1, [0]);
    for (let ticks = 0; ticks < 20; ticks += 1) group.tick();
    expect(group.effectsOf('send-cut')).toEqual([]);
    group.rank(0).cuts = [member];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1]);
  });

  it('takes a minority that lost the majority together, whatever these say of one another', () => {
    const group = settledGroup(5);
    const minority = [group.member(3), group.member(4)];
    for (const rank of [0, 1, 2]) group.rank(rank).brokenPeers = minority;
    for (const rank of [3, 4]) {
      group.rank(rank).brokenPeers = [0, 1, 2].map((other) => group.member(other));
    }
    for (let ticks = 0; ticks < 15; ticks += 1) group.tick();
    const cut = new Set(group.effectsOf('send-cut').map(({ message }) => message.member.rank));
    expect([...cut]).toEqual([3, 4]);
    for (const rank of [0, 1, 2]) group.rank(rank).cuts = minority;
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
  });

  it('is not asked for where the others could not hold every expert: that is told, once', () => {
    const group = settledGroup(5, { numLogicalExperts: 8 });
    const minority = [group.member(3), group.member(4)];
    for (const rank of [0, 1, 2]) group.rank(rank).brokenPeers = minority;
    for (let ticks = 0; ticks < 30; ticks += 1) group.tick();
    expect(group.effectsOf('send-cut')).toEqual([]);
    const degraded = group.effectsOf('alarm').filter(({ alarm }) => alarm === 'degraded');
    expect(degraded.map(({ fields }) => fields)).toEqual([
      { change: 'evacuation', lacks: 'slots', members: minority },
    ]);
    // One of them is reached again, and the other can be done without.
    for (const rank of [0, 1, 2, 3]) group.rank(rank).brokenPeers = [group.member(4)];
    for (let ticks = 0; ticks < 15; ticks += 1) group.tick();
    const cut = new Set(group.effectsOf('send-cut').map(({ message }) => message.member.rank));
    expect([...cut]).toEqual([4]);
  });

  it('is asked for where an engine that would join has the slots that would be missing', () => {
    const group = settledGroup(5, { numLogicalExperts: 8 });
    const minority = [group.member(3), group.member(4)];
    group.restart(4, 1);
    for (const rank of [0, 1, 2]) group.rank(rank).brokenPeers = minority;
    for (let ticks = 0; ticks < 15; ticks += 1) group.tick();
    const cut = new Set(group.effectsOf('send-cut').map(({ message }) => message.member.rank));
    expect([...cut]).toEqual([3, 4]);
  });

  it('counts whom an earlier leader has begun to cut as lost', () => {
    const group = settledGroup(6, { numLogicalExperts: 9 });
    group.rank(0).cuts = [group.member(4)];
    for (const rank of [0, 1, 2, 3, 4]) group.rank(rank).brokenPeers = [group.member(5)];
    for (let ticks = 0; ticks < 30; ticks += 1) group.tick();
    expect(group.effectsOf('send-cut')).toEqual([]);
  });

  it('is no proof while one survivor has not made it, however many have', () => {
    const group = settledGroup(5);
    const member = group.member(4);
    group.rank(4).isSilent = true;
    for (const rank of [0, 1, 2]) group.rank(rank).cuts = [member];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3, 4]);
    group.rank(3).cuts = [member];
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
  });

  it('counts dead members against the majority', () => {
    const group = settledGroup(5);
    group.storeIsDown = true;
    for (const rank of [2, 3]) group.die(rank);
    const member = group.member(4);
    lost(group, 4, [0, 1]);
    for (const rank of [0, 1]) group.rank(rank).cuts = [member];
    for (let ticks = 0; ticks < 20; ticks += 1) group.tick();
    expect(group.state.swap.dead.map(({ rank }) => rank)).toEqual([2, 3]);
  });
});
