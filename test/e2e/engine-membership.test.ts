import { readFile } from 'node:fs/promises';
import { ExpertMapping } from '@isobar/eplb';
import { decodeKnownOutcome, type EngineState, type Member } from '@isobar/protocol';
import type { RankResults } from '@isobar/reference-engine';
import { afterEach, describe, expect, it } from 'vitest';
import { EngineGroup, type EngineGroupOptions, fence } from './engine-group.js';
import type { EngineUnderTest } from './engine-under-test.js';
import { withoutRanks } from './without-ranks.js';

let running: EngineGroup | null = null;

async function created(options: EngineGroupOptions): Promise<EngineGroup> {
  running = await EngineGroup.create(options);
  return running;
}

async function serving(options: EngineGroupOptions): Promise<EngineGroup> {
  running = await EngineGroup.serving(options);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = null;
});

const lacks = (member: Member) => (state: EngineState) =>
  state.brokenPeers.some(({ incarnation }) => incarnation === member.incarnation);

const lacksNobody = (state: EngineState) => state.brokenPeers.length === 0;

const routesBy = (version: number) => (state: EngineState) => state.activatedVersion === version;

function untilAll(engines: readonly EngineUnderTest[], matches: (state: EngineState) => boolean) {
  return Promise.all(engines.map((engine) => engine.until(matches)));
}

/** No wrong token, and none lost but where a connection was broken. */
const sound = { tokensLostUnmasked: 0, tokensMisrouted: 0, tokensChanged: 0 };
const nothingLost = { ...sound, tokensLost: 0 };

/** Every layer's slots hold what the slots three before them held. */
function rotated(mapping: ExpertMapping): ExpertMapping {
  const { numLayers, numLogicalExperts, numPhysicalExperts, slotOffsets } = mapping;
  const physicalToLogical = mapping.physicalToLogical.map((_, index, all) => {
    const layer = Math.floor(index / numPhysicalExperts);
    const from = (index - 3 + numPhysicalExperts) % numPhysicalExperts;
    return all[layer * numPhysicalExperts + from] ?? -1;
  });
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

/** Steps that began without one of the members, and the results that were lost in them. */
function masked(results: readonly RankResults[]) {
  const begun = results.flatMap(({ steps }) =>
    // In the first the connection broke.
    steps.filter(({ maskedRanks }) => maskedRanks > 0).slice(1),
  );
  const lost = begun.flatMap(({ checksums }) =>
    [...checksums].filter((checksum) => checksum === 0),
  );
  return { steps: begun.length, lost: lost.length };
}

describe.each(['two-table', 'in-place'] as const)('a group of engines, %s', (activation) => {
  it('goes on without one that is killed, and takes in its next incarnation', async () => {
    const group = await serving({ numRanks: 4, activation });
    const dead = group.engine(3).member;
    await group.engine(3).stepsServed(2);
    await group.kill(3);
    await untilAll(group.engines, lacks(dead));
    await group.engine(0).stepsServed(5);
    const mapping = withoutRanks(group.start, [3]);
    const removal = { mapping, members: group.members, deadRanks: [3] };
    await group.follow({ ...removal, change: 'evacuation' });

    const back = await group.startEngine(3);
    expect(back.state).toMatchObject({ standing: 'joining', committedVersion: 0 });
    await back.order({ kind: 'adopt', fence, record: group.newestRecord });
    await group.follow({ mapping, members: group.members, change: 'membership' });
    await untilAll(group.engines, lacksNobody);
    await back.stepsServed(5);
    const filled = { mapping: group.start, members: group.members };
    const { version } = await group.follow({ ...filled, change: 'rebalance' });
    await back.stepsServed(5);

    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject(sound);
    expect(missing).toBe(0);
    const [first, second] = (byRank[3] ?? []).map(({ steps }) => steps);
    expect(first?.length).toBeGreaterThan(0);
    // Every expert had a second replica elsewhere.
    expect(masked(byRank.flat()).steps).toBeGreaterThan(0);
    expect(masked(byRank.flat()).lost).toBe(0);
    const last = second?.at(-1);
    expect(last).toMatchObject({ mappingVersion: version, maskedRanks: 0 });
    expect(last?.numTokens).toBeGreaterThan(0);
    expect(last?.served.every((tokens) => tokens > 0)).toBe(true);
  });

  it('gives a new incarnation the slots of the old one, with the version that lists it', async () => {
    const group = await serving({ numRanks: 4, activation });
    const mapping = rotated(group.start);
    await group.follow({ mapping, members: group.members, change: 'rebalance' });
    await group.kill(3);
    const back = await group.startEngine(3);
    await back.order({ kind: 'adopt', fence, record: group.newestRecord });
    const refilled = { mapping, members: group.members, deadRanks: [3], refilledRank: 3 };
    await group.follow({ ...refilled, change: 'evacuation' });
    await untilAll(group.engines, lacksNobody);
    await back.stepsServed(5);
    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject(sound);
    expect(missing).toBe(0);
    const last = byRank[3]?.[1]?.steps.at(-1);
    expect(last?.served.every((tokens) => tokens > 0)).toBe(true);
    expect(byRank[3]?.[1]?.end?.swaps[0]?.stagedExperts).toBeGreaterThan(0);
  });

  it('lets one leave: it stops, and no token is lost', async () => {
    const group = await serving({ numRanks: 4, activation });
    const mapping = withoutRanks(group.start, [3]);
    const leaving = group.engine(3);
    const staying = group.engines.filter((engine) => engine !== leaving);
    const members = staying.map(({ member }) => member);
    await group.follow({ mapping, members, change: 'membership' });
    expect(leaving.state.standing).toBe('stopped');
    await group.engine(0).stepsServed(5);
    await untilAll(staying, lacksNobody);
    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject(nothingLost);
    expect(missing).toBe(0);
    expect(byRank[3]?.[0]?.end?.standing).toBe('stopped');
  });

  it('refuses one that it has cut off for good, and waits for it no longer', async () => {
    const group = await serving({ numRanks: 3, activation });
    const paused = group.engine(2);
    const { member } = paused;
    const others = [group.engine(0), group.engine(1)];
    paused.process.signal('SIGSTOP');
    for (const engine of others) {
      const { cuts } = await engine.order({ kind: 'cut', fence, member });
      expect(cuts).toEqual([member]);
    }
    await Promise.all(others.map((engine) => engine.stepsServed(5)));
    paused.process.signal('SIGCONT');
    await paused.until((state) => state.brokenPeers.length === 2);
    await group.logged(2, /rank 0 refuses this engine: .* cut off for good/);
    await group.logged(2, /rank 1 refuses this engine: .* cut off for good/);
    await Promise.all(others.map((engine) => engine.stepsServed(5)));
    for (const { state } of others) expect(state.brokenPeers).toEqual([member]);
    const { comparison } = await group.conclude();
    expect(comparison).toMatchObject(sound);
  });

  it('tells an outcome to one whose agent never did', async () => {
    const group = await serving({ numRanks: 3, activation });
    const members = group.members;
    const forgotten = group.engine(2);
    const told = [group.engine(0), group.engine(1)];

    const voided = group.plan({ mapping: group.start, members, change: 'rebalance' });
    await group.stage(voided);
    forgotten.disconnect();
    await group.tell(voided, 'void', told);
    await group.logged(2, /told by a peer/);
    await forgotten.connect();
    expect(forgotten.state).toMatchObject({ vote: null, votedUpTo: voided.version });

    const mapping = withoutRanks(group.start, [0]);
    const planned = group.plan({ mapping, members, change: 'drain' }, voided.version + 1);
    await group.stage(planned);
    forgotten.disconnect();
    await group.tell(planned, 'committed', told);
    await untilAll(told, routesBy(planned.version));
    await group.logged(2, new RegExp(`"version":${planned.version}.*told by a peer`));
    await forgotten.connect();
    const { outcomes } = await forgotten.until(routesBy(planned.version));
    expect(outcomes.map(decodeKnownOutcome)).toMatchObject([
      { version: planned.version, outcome: 'committed' },
    ]);
    await forgotten.stepsServed(3);
    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject(nothingLost);
    expect(missing).toBe(0);
    // Where all switch at one step, those told had waited for it.
    const steps = byRank.flat().flatMap((results) => results.steps);
    expect(steps.every(({ attempts }) => attempts === 1)).toBe(true);
  });

  it('begins anew as a whole, on its start mapping, above the versions that were', async () => {
    const group = await serving({ numRanks: 3, activation });
    await Promise.all([0, 1, 2].map((rank) => group.kill(rank)));
    await group.startAll();
    for (const { state } of group.engines) {
      expect(state).toMatchObject({ standing: 'serving', mappingVersion: 0 });
    }
    const record = group.newestRecord;
    await Promise.all(
      group.engines.map((engine) => engine.order({ kind: 'adopt', fence, record })),
    );
    const start = { mapping: group.start, members: group.members };
    const { version } = await group.follow({ ...start, change: 'start' });
    expect(version).toBe(2);
    await group.engine(0).stepsServed(3);
    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject({ tokensMisrouted: 0, tokensChanged: 0 });
    expect(missing).toBe(0);
    expect(byRank.map((incarnations) => incarnations.length)).toEqual([2, 2, 2]);
  });

  it('serves on the engines that came, where one never does', async () => {
    const engineOfRank = () => ({ groupDeadlineMs: 1_000 });
    const group = await created({ numRanks: 4, activation, engineOfRank });
    await Promise.all([0, 1, 2].map((rank) => group.startEngine(rank)));
    for (const { state } of group.engines) expect(state.standing).toBe('joining');
    const mapping = withoutRanks(group.start, [3]);
    await group.follow({ mapping, members: group.members, change: 'start', deadRanks: [3] });
    await Promise.all(group.engines.map((engine) => engine.stepsServed(5)));
    const { comparison, missing, byRank } = await group.conclude();
    expect(comparison).toMatchObject(sound);
    expect(missing).toBe(0);
    for (const rank of [0, 1, 2]) {
      expect(byRank[rank]?.[0]?.steps.at(-1)).toMatchObject({ mappingVersion: 1, maskedRanks: 0 });
    }
  });
});

describe('in place, two ranks that differ in whether the group has switched', () => {
  it('do the step anew by the later version, and no token is changed', async () => {
    const engineOfRank = (rank: number) =>
      rank === 3 ? { faults: { diesBefore: { version: 2, tokensTo: [0] } } } : {};
    const group = await serving({ numRanks: 4, activation: 'in-place', engineOfRank });
    const mapping = withoutRanks(group.start, [0]);
    const planned = group.plan({ mapping, members: group.members, change: 'drain' });
    await group.stage(planned);
    const told = [group.engine(0), group.engine(1), group.engine(2)];
    await group.tell(planned, 'committed', told);
    await group.gone(3);
    await untilAll(told, routesBy(planned.version));
    await group.engine(0).stepsServed(3);
    const { comparison, byRank } = await group.conclude();
    expect(comparison).toMatchObject(sound);
    const repeated = byRank
      .flat()
      .flatMap(({ rank, steps }) =>
        steps.filter(({ attempts }) => attempts > 1).map((step) => ({ rank, ...step })),
      );
    // Rank 0 alone had heard that rank 3 was not ready, and stayed behind with it.
    expect(repeated).toMatchObject([{ rank: 0, attempts: 2, mappingVersion: planned.version }]);
  });
});

describe('an engine process', () => {
  it('says which process it is, so that its end can be witnessed', async () => {
    const group = await serving({ numRanks: 2, activation: 'two-table' });
    const engine = group.engine(0);
    const { pid } = engine.process;
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
    const startTicks = stat?.slice(stat.lastIndexOf(')')).split(' ')[20];
    const expected = startTicks === undefined ? null : { processId: pid, startTicks };
    expect(engine.hello.description.process).toEqual(expected);
  });
});
