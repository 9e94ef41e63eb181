import { ExpertMapping } from '@isobar/eplb';
import { decodeProposal, decodeTransfers, type Proposal, roomForWaves } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { controlOf, Group, incarnationOf, settledGroup, slotsByRank } from '../support/group.js';
import { exchanges } from '../support/waves.js';

function proposals(group: Group): Proposal[] {
  const byVersion = new Map<number, Proposal>();
  for (const { message } of group.effectsOf('send-prepare')) {
    const proposal = decodeProposal(message.proposal);
    byVersion.set(proposal.version, proposal);
  }
  return [...byVersion.values()];
}

function rebalance(group: Group, pairs: readonly (readonly [number, number])[], token = 1): void {
  const { newest } = group.state.swap;
  const waves = exchanges(group.state.mapping, pairs);
  group.send({ kind: 'request', token, change: 'rebalance', waves, base: newest });
}

function alarms(group: Group, kind: string): Readonly<Record<string, unknown>>[] {
  return group
    .effectsOf('alarm')
    .filter(({ alarm }) => alarm === kind)
    .map(({ fields }) => fields);
}

/** The next leader finds a server whose messages have room for a layer and one move. */
function leadWithSmallMessages(group: Group): void {
  const { bytesMax, layerBytes, moveBytes } = roomForWaves(group.state);
  group.payloadBytesMax += layerBytes + moveBytes - bytesMax;
  group.lead(2);
  group.settle();
}

describe('messages that hold less than the change', () => {
  it('make waves of a removal', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    leadWithSmallMessages(group);
    group.die(1);
    group.settle();
    const [, ...removals] = proposals(group);
    expect(removals.map(({ members }) => members.map(({ rank }) => rank))).toEqual([
      [0, 1, 2],
      [0, 2],
    ]);
    expect(removals.map(({ transfers }) => decodeTransfers(transfers).length)).toEqual([1, 1]);
    expect(group.memberRanks).toEqual([0, 2]);
  });

  it('make waves of a drain', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    leadWithSmallMessages(group);
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    group.settle();
    const drains = proposals(group).filter(({ change }) => change === 'drain');
    expect(drains.map(({ transfers }) => decodeTransfers(transfers).length)).toEqual([1, 1]);
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1]);
  });

  it('keep a rank out whose joining they can’t hold, which is told once', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.die(1);
    group.settle();
    expect(group.memberRanks).toEqual([0, 2]);
    group.payloadBytesMax = 8_192;
    group.lead(2);
    group.settle();
    group.restart(1, 1);
    group.adopt(1);
    for (let ticks = 0; ticks < 40; ticks += 1) group.tick();
    expect(alarms(group, 'degraded')).toMatchObject([
      { change: 'membership', lacks: 'payload', code: 'ISOBAR_COORDINATOR_TOO_LARGE' },
    ]);
    expect(group.memberRanks).toEqual([0, 2]);
  });
});

describe('a removal', () => {
  it('brings back what the dead rank alone held, by the votes of the living', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    // Ranks hold 01 23 01: rank 1 alone holds 2 and 3.
    group.die(1);
    group.settle();
    const [, proposal] = proposals(group);
    expect(proposal).toMatchObject({ change: 'evacuation', members: [{ rank: 0 }, { rank: 2 }] });
    const slots = slotsByRank(group.state.mapping);
    expect([...(slots[0] ?? []), ...(slots[2] ?? [])].sort()).toEqual([0, 1, 2, 3]);
    expect(group.rank(0).retiredUpTo).toBe(2);
  });

  it('whose record no message could hold is not begun, and is told once', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.payloadBytesMax = 8_192;
    group.lead(2);
    group.settle();
    group.die(1);
    for (let ticks = 0; ticks < 40; ticks += 1) group.tick();
    expect(alarms(group, 'degraded')).toMatchObject([
      { change: 'evacuation', lacks: 'payload', code: 'ISOBAR_COORDINATOR_TOO_LARGE' },
    ]);
    expect(group.version).toBe(1);
    expect(group.state.swap.open).toBeNull();
  });

  it('waits for a living member that is silent, without a number, and tells once', () => {
    const group = settledGroup(4);
    group.rank(0).isSilent = true;
    for (let ticks = 0; ticks < 12; ticks += 1) group.tick();
    group.die(2);
    for (let ticks = 0; ticks < 80; ticks += 1) group.tick();
    expect([...group.store.keys()]).toEqual([1]);
    expect(alarms(group, 'members-silent')).toEqual([
      { changes: ['evacuation'], members: [group.member(0)] },
    ]);
    group.rank(0).isSilent = false;
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('that comes to nothing is tried again, less and less often', () => {
    const group = settledGroup(4);
    group.rank(0).refusal = 'never';
    group.die(2);
    const numbers = () => group.store.size;
    for (let ticks = 0; ticks < 60; ticks += 1) group.tick();
    const early = numbers();
    for (let ticks = 0; ticks < 60; ticks += 1) group.tick();
    expect(early).toBeGreaterThan(3);
    expect(numbers() - early).toBeLessThan(early - 1);
  });

  it('takes several waves where the spare buffers need them, the last one without the dead', () => {
    const group = settledGroup(3, { numLogicalExperts: 8, slotsPerRank: 4 });
    group.spareBuffers = 1;
    group.lead(2);
    group.die(1);
    group.settle();
    const listed = [2, 3].map((version) => {
      const record = group.store.get(version)?.record;
      return record?.outcome === 'committed' ? record.members.map(({ rank }) => rank) : [];
    });
    expect(listed).toEqual([
      [0, 1, 2],
      [0, 2],
    ]);
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1, -1, -1]);
  });

  it('is planned anew where another rank dies meanwhile', () => {
    const group = settledGroup(4);
    group.rank(3).isSilent = true;
    group.die(1);
    group.tick();
    expect(group.state.swap.open?.phase).toBe('preparing');
    group.rank(3).isSilent = false;
    group.die(3);
    group.settle();
    expect(group.memberRanks).toEqual([0, 2]);
    const voids = [...group.store.values()].filter(({ record }) => record.outcome === 'void');
    expect(voids.map(({ record }) => record.reason)).toEqual([
      `rank 3 has died, ${incarnationOf(3)}`,
    ]);
  });
});

describe('a death in each phase', () => {
  it('voids what is being prepared, at once, and names the rank', () => {
    const group = settledGroup(4);
    group.rank(2).isSilent = true;
    rebalance(group, [
      [0, 3],
      [1, 4],
    ]);
    group.tick();
    expect(group.state.swap.open?.phase).toBe('preparing');
    group.rank(2).isSilent = false;
    group.die(2);
    group.tick(1);
    expect(group.store.get(2)?.record).toMatchObject({
      outcome: 'void',
      reason: `rank 2 has died, ${incarnationOf(2)}`,
    });
    group.settle();
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 1, outcome: 'superseded' }]);
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('lets a creation under way settle first', () => {
    const group = settledGroup(4);
    group.storeIsDown = true;
    rebalance(group, [[0, 3]]);
    group.tick();
    expect(group.state.swap.open?.phase).toBe('deciding');
    group.die(2);
    group.tick();
    expect(group.state.swap.open?.record?.outcome).toBe('committed');
    group.storeIsDown = false;
    group.settle();
    expect(group.store.get(2)?.record).toMatchObject({ outcome: 'committed', change: 'rebalance' });
    expect(group.store.get(3)?.record).toMatchObject({ change: 'evacuation' });
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  /** Version 2 moved expert 3 from rank 1 to rank 0, which dies before rank 2 has activated. */
  function losesAfterCommit(group: Group): void {
    group.rank(2).missesOutcomes = true;
    // 01 23 01 becomes 03 21 01.
    rebalance(group, [[1, 3]]);
    group.tick();
    expect(group.state.swap.open?.phase).toBe('activating');
    group.die(0);
    group.tick();
    group.rank(2).missesOutcomes = false;
  }

  it('evacuates before retire, from the buffer that the version before still names', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    losesAfterCommit(group);
    const sent = group.effects.length;
    group.settle();
    const evacuation = proposals(group).at(-1);
    expect(evacuation).toMatchObject({ change: 'evacuation', base: { version: 2 } });
    const own = decodeTransfers(evacuation?.transfers ?? new Int32Array(0));
    // Rank 1 retains expert 3: it takes it back from itself.
    expect(own).toContainEqual(
      expect.objectContaining({ expert: 3, destinationRank: 1, sourceRank: 1 }),
    );
    const order = group.effects.slice(sent).flatMap((effect) => {
      if (effect.kind === 'send-retire') return `retire ${effect.message.version}`;
      if (effect.kind === 'decided') return `decided ${effect.record.version}`;
      return [];
    });
    expect([...new Set(order)]).toEqual(['decided 3', 'retire 3']);
  });

  it('takes from the backing store what such a buffer did not hold', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    losesAfterCommit(group);
    group.rank(1).refusal = 'ISOBAR_ENGINE_TRANSFER_FAILED: rank 1 does not give expert 3';
    for (let ticks = 0; ticks < 20; ticks += 1) group.tick();
    group.rank(1).refusal = null;
    for (let ticks = 0; ticks < 100; ticks += 1) group.tick();
    const evacuations = proposals(group).filter(({ change }) => change === 'evacuation');
    const sources = evacuations.map(({ transfers }) =>
      decodeTransfers(transfers).map(({ sourceRank }) => sourceRank),
    );
    expect(sources.slice(0, 2)).toEqual([[1], [-1]]);
    expect(group.memberRanks).toEqual([1, 2]);
  });

  it('retires first where nothing is missing, then removes the dead', () => {
    const group = settledGroup(4);
    group.rank(1).missesOutcomes = true;
    rebalance(group, [[0, 3]]);
    group.tick();
    expect(group.state.swap.open?.phase).toBe('activating');
    group.die(2);
    group.tick();
    group.rank(1).missesOutcomes = false;
    group.settle();
    const retired = [
      ...new Set(group.effectsOf('send-retire').map(({ message }) => message.version)),
    ];
    expect(retired).toEqual([1, 2, 3]);
    expect(group.memberRanks).toEqual([0, 1, 3]);
  });

  it('does not count on buffers of a rank that has retired them, under the leader before', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    rebalance(group, [[1, 3]]);
    for (const rank of group.ranks) rank.retiredUpTo = 1;
    group.rank(1).retiredUpTo = 2;
    group.die(0);
    group.lead(2);
    group.settle();
    const evacuation = proposals(group).at(-1);
    expect(evacuation?.change).toBe('evacuation');
    const own = decodeTransfers(evacuation?.transfers ?? new Int32Array(0));
    expect(own.find(({ expert }) => expert === 3)?.sourceRank).toBe(-1);
  });

  it('does not count on retained buffers of engines that activate in place', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.activation = 'in-place';
    group.lead(2);
    group.settle();
    losesAfterCommit(group);
    group.settle();
    const own = decodeTransfers(proposals(group).at(-1)?.transfers ?? new Int32Array(0));
    expect(own.find(({ expert }) => expert === 3)?.sourceRank).toBe(-1);
  });

  it('retires first where no buffer is left to evacuate into', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    // In place nothing is retained, so expert 3 must travel.
    group.activation = 'in-place';
    group.lead(2);
    group.settle();
    for (const rank of [1, 2]) group.rank(rank).freeBuffers = 0;
    losesAfterCommit(group);
    group.settle();
    const retired = [
      ...new Set(group.effectsOf('send-retire').map(({ message }) => message.version)),
    ];
    expect(retired).toEqual([1, 2, 3]);
    expect(group.memberRanks).toEqual([1, 2]);
  });
});

describe('a joining engine', () => {
  it('is listed with empty slots once it has the base', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
    group.adopt(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
    expect(group.state.swap.members[2]?.incarnation).toBe(incarnationOf(2, 1));
    expect(slotsByRank(group.state.mapping)[2]).toEqual([-1, -1]);
    expect(proposals(group).at(-1)).toMatchObject({
      change: 'membership',
      layers: new Int32Array(0),
    });
    expect(group.rank(2).standing).toBe('serving');
  });

  it('is proposed at once above all that its agent has voted on for an engine before', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.rank(2).agentVotedUpTo = 40;
    group.adopt(2);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
    expect(group.version).toBe(41);
    expect([...group.store.keys()]).toEqual([1, 2, 41]);
  });

  it('waits until its rank’s old incarnation is proven dead and removed', () => {
    const group = settledGroup(4);
    const { incarnation } = group.rank(2);
    group.restart(2, 1);
    group.adopt(2);
    group.settle();
    expect(proposals(group)).toHaveLength(1);
    group.rank(2).exited = [incarnation];
    group.tick();
    expect(proposals(group).at(-1)?.change).toBe('evacuation');
    group.settle();
    group.adopt(2);
    group.settle();
    expect(group.state.swap.members[2]?.incarnation).toBe(incarnationOf(2, 1));
  });

  it('does not hold others up for long where it does not vote', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.adopt(2);
    group.rank(2).refusal = 'never';
    group.settle();
    group.rank(2).refusal = null;
    expect(group.store.get(3)?.record).toMatchObject({ outcome: 'void', reason: 'rank 2: never' });
    rebalance(group, [[0, 3]]);
    expect(group.effectsOf('request-accepted')).toMatchObject([{ token: 1 }]);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
    for (let ticks = 0; ticks < 120; ticks += 1) {
      group.adopt(2);
      group.tick();
    }
    expect(group.memberRanks).toEqual([0, 1, 2, 3]);
  });

  it('is not listed where it is dead by an operator’s word', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.send({ kind: 'control', control: controlOf({ dead: [group.member(2)] }) });
    group.adopt(2);
    group.settle();
    expect(group.version).toBe(2);
  });

  it('gives way to a death at once', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.adopt(2);
    group.rank(0).isSilent = true;
    group.tick();
    group.tick();
    expect(group.state.swap.open?.proposal.change).toBe('membership');
    group.die(3);
    group.tick();
    expect(group.store.get(3)?.record.outcome).toBe('void');
    group.rank(0).isSilent = false;
    group.tick(1_000);
    expect(proposals(group).at(-1)?.change).toBe('evacuation');
    group.settle();
    expect(group.memberRanks).toEqual([0, 1]);
  });

  it('is refused and told once where it differs from the group', () => {
    const group = settledGroup(4);
    group.die(2);
    group.settle();
    group.restart(2, 1);
    group.adopt(2);
    group.activation = 'in-place';
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 3]);
    expect(alarms(group, 'engines-disagree')).toMatchObject([{ rank: 2, field: 'activation' }]);
  });

  it('is remembered so that it is told once, up to a limit, the newest of them', () => {
    const group = settledGroup(4);
    const stranger = group.answer(2);
    const { engine } = stranger;
    if (engine === null) throw new Error('the rank has an engine');
    const tell = (life: number) => {
      const incarnation = incarnationOf(2, life);
      const description = { ...engine.description, incarnation, activation: 'in-place' as const };
      group.send({ kind: 'answer', answer: { ...stranger, engine: { ...engine, description } } });
      return alarms(group, 'engines-disagree').length;
    };
    for (let life = 1; life <= 1_030; life += 1) expect(tell(life)).toBe(life);
    expect(group.state.strangers).toHaveLength(1_024);
    expect([tell(1_030), tell(7), tell(6)]).toEqual([1_030, 1_030, 1_031]);
  });
});

describe('a leave', () => {
  it('empties the rank, which gives what it holds, then goes on without it', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'leave', ranks: [1], base: newest });
    group.settle();
    expect(group.memberRanks).toEqual([0, 2]);
    expect(group.rank(1).standing).toBe('stopped');
    const sources = proposals(group).flatMap(({ transfers }) => decodeTransfers(transfers));
    expect(sources.map(({ sourceRank }) => sourceRank)).toEqual([1, 1]);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'committed' }]);
  });

  it('has the leaver’s vote', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(1).refusal = 'busy';
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'leave', ranks: [1], base: newest });
    group.settle();
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'void' }]);
    expect(group.memberRanks).toEqual([0, 1, 2]);
  });

  it('is not done by retiring while the leaver may still be serving', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(1).missesOutcomes = true;
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'leave', ranks: [1], base: newest });
    for (let ticks = 0; ticks < 10; ticks += 1) group.tick();
    expect(group.state.swap.open?.phase).toBe('activating');
    group.die(1);
    group.settle();
    expect(group.rank(0).retiredUpTo).toBe(2);
  });

  it('does not wait for the leaver to retire: it has activated, and may be gone', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(1).missesRetire = true;
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'leave', ranks: [1], base: newest });
    group.settle();
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'committed' }]);
  });

  it('is taken up again after a death', () => {
    const group = settledGroup(5);
    group.rank(4).isSilent = true;
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'leave', ranks: [1], base: newest });
    group.tick();
    group.rank(4).isSilent = false;
    group.die(4);
    group.settle();
    expect(group.memberRanks).toEqual([0, 2, 3]);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'committed' }]);
  });
});

describe('a drain', () => {
  it('empties the rank and keeps it as a member', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'drain', ranks: [1], base: newest });
    expect(group.effectsOf('request-accepted')).toMatchObject([{ token: 7 }]);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1]);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'committed' }]);
  });

  it('moves experts to the least loaded rank, from the nearest that holds them', () => {
    const group = new Group(4, { slotsPerRank: 3, numLogicalExperts: 5 });
    // Ranks 2 and 3 are one node, 0 and 1 the other.
    const fastDomains = Int32Array.of(0, 0, 1, 1);
    const isFar = (index: number) => fastDomains[index >> 2] !== fastDomains[index & 3];
    group.topology = {
      fastDomains,
      cost: new Float64Array(16).map((_, at) => (isFar(at) ? 9 : 1)),
    };
    group.lead(1);
    group.settle();
    expect(slotsByRank(group.state.mapping)).toEqual([
      [0, 1, 2],
      [3, 4, 0],
      [1, 2, 3],
      [4, 0, 1],
    ]);
    // Expert 2 is on the ranks that are to be empty alone; 3, which rank 1 has, is hot.
    group.send({ kind: 'loads', loads: Float64Array.of(1, 1, 10, 100, 1) });
    group.send({ kind: 'control', control: controlOf({ drained: [0, 2] }) });
    group.settle();
    expect(slotsByRank(group.state.mapping)[3]).toContain(2);
    const [first] = proposals(group).filter(({ change }) => change === 'drain');
    expect(decodeTransfers(first?.transfers ?? new Int32Array(0))).toMatchObject([
      { expert: 2, destinationRank: 3, sourceRank: 2 },
    ]);
  });

  it('goes on under the next leader', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.control = controlOf({ drained: [1] });
    group.lead(2);
    group.settle();
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1]);
  });

  it('takes from the backing store what its rank did not give', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(0).refusal = 'ISOBAR_ENGINE_TRANSFER_FAILED: rank 1 does not give it';
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    for (let ticks = 0; ticks < 20; ticks += 1) group.tick();
    const sources = () =>
      proposals(group)
        .filter(({ change }) => change === 'drain')
        .map(({ transfers }) => decodeTransfers(transfers).map(({ sourceRank }) => sourceRank));
    expect(sources().slice(0, 2)).toEqual([
      [1, 1],
      [-1, -1],
    ]);
    group.rank(0).refusal = null;
    for (let ticks = 0; ticks < 100; ticks += 1) group.tick();
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1]);
    expect(group.state.distrusted).toEqual([]);
  });

  it('goes on asking its rank where it came to nothing for another reason', () => {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    group.rank(0).refusal = 'ISOBAR_ENGINE_NO_BUFFER: 0 are free';
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    for (let ticks = 0; ticks < 20; ticks += 1) group.tick();
    const drains = proposals(group).filter(({ change }) => change === 'drain');
    expect(drains.length).toBeGreaterThan(1);
    for (const { transfers } of drains) {
      expect(decodeTransfers(transfers).map(({ sourceRank }) => sourceRank)).toEqual([1, 1]);
    }
  });

  it('that can not be is told once, and nothing is committed', () => {
    const group = settledGroup(3, { numLogicalExperts: 6 });
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    const { newest } = group.state.swap;
    group.send({ kind: 'request', token: 7, change: 'drain', ranks: [1], base: newest });
    group.settle();
    expect(group.version).toBe(1);
    expect(alarms(group, 'degraded')).toMatchObject([{ change: 'drain', lacks: 'slots' }]);
    expect(group.effectsOf('request-ended')).toMatchObject([{ token: 7, outcome: 'degraded' }]);
  });

  it('takes in no expert of a rank that dies', () => {
    const group = settledGroup(4, { numLogicalExperts: 4 });
    group.send({ kind: 'control', control: controlOf({ drained: [1] }) });
    group.settle();
    group.die(2);
    group.settle();
    expect(slotsByRank(group.state.mapping)[1]).toEqual([-1, -1]);
  });
});

describe('a degraded group', () => {
  it('commits nothing, and tells once', () => {
    const group = settledGroup(3, { numLogicalExperts: 6 });
    group.die(1);
    group.settle();
    expect(group.version).toBe(1);
    expect(alarms(group, 'degraded')).toMatchObject([
      { change: 'evacuation', lacks: 'slots', liveSlots: 4 },
    ]);
  });

  it('lists no engine that does not help', () => {
    const group = settledGroup(4, { numLogicalExperts: 6 });
    group.die(3);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    for (const rank of [1, 2]) group.die(rank);
    group.settle();
    group.restart(3, 1);
    group.adopt(3);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
  });

  it('takes engines that would join with what their ranks’ slots hold, in one version', () => {
    const group = settledGroup(3, { numLogicalExperts: 6 });
    group.die(1);
    group.settle();
    group.restart(1, 1);
    group.adopt(1);
    group.settle();
    expect(group.memberRanks).toEqual([0, 1, 2]);
    const proposal = proposals(group).at(-1);
    expect(proposal).toMatchObject({ change: 'evacuation' });
    expect(decodeTransfers(proposal?.transfers ?? new Int32Array(0))).toMatchObject([
      { expert: 2, destinationRank: 1, sourceRank: -1 },
      { expert: 3, destinationRank: 1, sourceRank: -1 },
    ]);
  });
});

describe('a whole group that starts again', () => {
  function restarted(standing: 'serving' | 'joining', ranks = [0, 1, 2]): Group {
    const group = settledGroup(3, { numLogicalExperts: 4 });
    rebalance(group, [[1, 3]]);
    group.settle();
    for (const { rank } of group.ranks) group.die(rank);
    group.settle();
    for (const rank of ranks) {
      group.restart(rank, 1, standing);
      // It keeps serving its start mapping, on the newest version as its base.
      const { newest } = group.state.swap;
      group.rank(rank).base = { version: newest.version, digest: newest.digest };
    }
    return group;
  }

  it('keeps the one start mapping that all hold', () => {
    const group = restarted('serving');
    group.settle();
    expect(proposals(group).at(-1)).toMatchObject({ change: 'start', base: { version: 2 } });
    expect(group.state.mapping.digest()).toBe(group.start.digest());
    expect(group.state.swap.members.map(({ incarnation }) => incarnation)).toEqual(
      [0, 1, 2].map((rank) => incarnationOf(rank, 1)),
    );
  });

  it('has nothing of the version before in its buffers', () => {
    const group = restarted('serving');
    group.rank(2).missesOutcomes = true;
    for (let ticks = 0; ticks < 5; ticks += 1) group.tick();
    expect(group.state.swap.open).toMatchObject({
      phase: 'activating',
      proposal: { change: 'start' },
    });
    // Under version 2 rank 0 held expert 3; the engine that is there now never has.
    group.die(1);
    group.tick();
    group.rank(2).missesOutcomes = false;
    group.settle();
    const evacuation = proposals(group).at(-1);
    expect(evacuation?.change).toBe('evacuation');
    const own = decodeTransfers(evacuation?.transfers ?? new Int32Array(0));
    expect(own.find(({ expert }) => expert === 3)?.sourceRank).toBe(-1);
  });

  it('waits for the proof that one which started with it and is replaced is dead', () => {
    const group = restarted('serving');
    const replaced = group.member(2);
    group.restart(2, 2);
    group.adopt(2);
    group.settle();
    expect(group.version).toBe(2);
    // Still connected with it, the others can't name it.
    expect(alarms(group, 'death-unproven')).toEqual([
      { members: [{ rank: 2, incarnation: null }] },
    ]);
    for (const rank of [0, 1]) group.rank(rank).brokenPeers = [replaced];
    group.settle();
    expect(group.version).toBe(2);
    expect(alarms(group, 'death-unproven').at(-1)).toEqual({ members: [replaced] });
    group.rank(2).exited = [...group.rank(2).exited, replaced.incarnation];
    group.settle();
    expect(proposals(group).at(-1)).toMatchObject({ change: 'start', base: { version: 2 } });
    expect(group.state.swap.members.map(({ incarnation }) => incarnation)).toEqual([
      incarnationOf(0, 1),
      incarnationOf(1, 1),
      incarnationOf(2, 2),
    ]);
  });

  it('counts no engine of another start, though it serves the same mapping', () => {
    const group = restarted('serving');
    // Rank 2 is heard as it was in a start before: it has lost ranks 0 and 1 of that one.
    group.rank(2).brokenPeers = [0, 1].map((rank) => ({
      rank,
      incarnation: incarnationOf(rank, 0),
    }));
    group.settle();
    expect(group.version).toBe(2);
    expect(alarms(group, 'death-unproven')).toEqual([
      { members: [{ rank: 2, incarnation: null }] },
    ]);
  });

  it('waits for every configured rank', () => {
    const group = restarted('serving', [0, 1]);
    group.settle();
    expect(group.version).toBe(2);
    expect(alarms(group, 'degraded')).toMatchObject([
      { lacks: 'members', missingRanks: [0, 1, 2] },
    ]);
  });

  it('takes the newest mapping where the engines differ, from the backing store', () => {
    const group = restarted('joining');
    const other = ExpertMapping.create({
      ...group.start,
      physicalToLogical: Int32Array.from([3, 2, 1, 0, 3, 2]),
    });
    group.rank(1).mapping = other;
    const { digest } = group.state.swap.newest;
    group.settle();
    expect(group.state.mapping.digest()).toBe(digest);
    expect(group.memberRanks).toEqual([0, 1, 2]);
    const transfers = decodeTransfers(proposals(group).at(-1)?.transfers ?? new Int32Array(0));
    expect(transfers).toHaveLength(6);
    expect(transfers.every(({ sourceRank }) => sourceRank === -1)).toBe(true);
  });
});
