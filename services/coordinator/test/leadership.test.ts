import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  command,
  committed,
  controlOf,
  earlier,
  fence,
  inForce,
  LeadershipWorld,
  mappingOf,
  memberOf,
  members,
  refusedWith,
} from './leadership-world.js';

let world: LeadershipWorld;
beforeEach(() => {
  world = new LeadershipWorld();
});
afterEach(() => world.leadership.stop());

const newest = { version: 2, digest: inForce.digest() };

describe('balancing by itself is held back', () => {
  it('not where nothing speaks against it', () => {
    expect(world.leadership.heldBack).toBeNull();
  });

  it('while paused, or held after a rollback', () => {
    world.change({ control: controlOf({ held: 'rolled back to version 1' }) });
    expect(world.leadership.heldBack).toBe('held: rolled back to version 1');
    world.change({ control: controlOf({ held: 'rolled back to version 1', paused: true }) });
    expect(world.leadership.heldBack).toBe('paused');
  });

  it('while a member is silent, or another engine reports in its place', () => {
    const reports = new Map(world.leader?.swap.reports);
    const report = reports.get(1);
    reports.delete(2);
    if (report?.engine != null) {
      const engine = { ...report.engine, incarnation: 'f'.repeat(16) };
      reports.set(1, { ...report, engine });
    }
    world.changeSwap({ reports });
    expect(world.leadership.silentRanks).toEqual([1, 2]);
    expect(world.leadership.heldBack).toBe('no engine of rank 1, 2');
  });

  it('for a while after a version came to nothing', () => {
    const cameToNothing = { version: 3, reason: 'rank 1: no buffers' };
    world.change({ backOff: { ...cameToNothing, untilMs: Number.POSITIVE_INFINITY } });
    expect(world.leadership.heldBack).toBe('backing off after version 3: rank 1: no buffers');
    world.change({ backOff: { ...cameToNothing, untilMs: 0 } });
    expect(world.leadership.heldBack).toBeNull();
  });
});

describe('what a leadership knows of its ranks', () => {
  it('is engines of members under their incarnations', () => {
    world.changeSwap({ members: [memberOf(0), { rank: 1, incarnation: 'f'.repeat(16) }] });
    expect(world.leadership.engines.map(({ rank }) => rank)).toEqual([0]);
  });

  it('is which may hold nothing: no members, or drained', () => {
    world.changeSwap({ members: members.slice(0, 2) });
    world.change({ control: controlOf({ drained: [0] }) });
    expect(world.leadership.unavailableRanks).toEqual([0, 2]);
  });

  it('ends with the leadership', () => {
    world.leader = null;
    expect(() => world.leadership.engines).toThrow(
      expect.objectContaining({ code: 'ISOBAR_COORDINATOR_DEPOSED' }),
    );
  });

  it('is told with the mapping in force', async () => {
    expect(await world.leadership.placements.exported(undefined)).toEqual({
      ...newest,
      numLogicalExperts: 4,
      modelLayerIds: [7],
      slotOffsets: [0, 2, 4, 6],
      physicalToLogical: [[0, 1, 2, 3, 0, 1]],
    });
  });
});

describe('loads', () => {
  const sample = (rank: number, lastStep: number, counts: number[], mappingVersion: number) => ({
    schema: 1 as const,
    ...memberOf(rank),
    mappingVersion,
    firstStep: 0,
    lastStep,
    destination: Float64Array.from(counts),
    stepMillis: { count: lastStep, sum: lastStep, max: 1 },
  });

  it('of another shape than the engines said are refused', () => {
    expect(() => world.leadership.addSample(sample(1, 1, [1, 2, 3], 2))).toThrow(
      expect.objectContaining({
        code: 'ISOBAR_PROTOCOL_MALFORMED',
        fields: expect.objectContaining({ field: 'destination', rank: 1 }),
      }),
    );
  });

  it('are read by each version that is decided, and expected of its members', () => {
    const { leadership } = world;
    for (const rank of [0, 1]) leadership.addSample(sample(rank, 1, [100, 100], 2));
    leadership.onDecided(
      committed(3, mappingOf([0, 1, 2, 3, -1, -1]), { members: members.slice(0, 2) }),
    );
    leadership.addSample(sample(0, 4, [5, 6], 3));
    expect(leadership.window.takePass()).toBeNull();
    leadership.addSample(sample(1, 4, [7, 8], 3));
    expect(leadership.window.takePass()?.logicalLoads).toEqual(Float64Array.of(5, 6, 7, 8));
    expect(leadership.rebalancing.mapping.row(0)).toEqual(Int32Array.of(0, 1, 2, 3, -1, -1));
  });

  it('are read as before where a version came to nothing', () => {
    world.leadership.onDecided({ schema: 1, outcome: 'void', version: 3, fence, reason: 'no' });
    expect(world.leadership.rebalancing.mapping.equals(inForce)).toBe(true);
    expect(world.told).toEqual([
      { kind: 'decided', fields: { version: 3, outcome: 'void', reason: 'no', askedBy: null } },
    ]);
  });
});

it('counts swaps by what became of them', () => {
  for (const outcome of ['committed', 'void', 'committed'] as const) {
    world.leadership.onSwapFinished(outcome);
  }
  expect(world.leadership.swaps).toEqual({ committed: 2, void: 1 });
});

describe('a drain or a leave', () => {
  it('is asked of the leader on the newest version, a drain with its change of control', async () => {
    await world.begin(world.leadership.prepareDrain({ rank: 1 }));
    await world.begin(world.leadership.prepareLeave(2));
    expect(world.operated).toEqual([
      {
        change: { kind: 'drain', ranks: [1] },
        request: { change: 'drain', ranks: [1], base: newest },
        command,
      },
      {
        change: null,
        request: {
          change: 'leave',
          ranks: [2],
          members: [{ rank: 2, incarnation: '2'.repeat(16) }],
          base: newest,
        },
        command,
      },
    ]);
    world.leadership.onRequestEnded(2, 'committed', 'rank 2 leaves');
    expect(world.told.at(-1)).toEqual({
      kind: 'request-ended',
      fields: { change: 'leave', outcome: 'committed', reason: 'rank 2 leaves' },
    });
  });

  it('that is refused is refused to who asked', async () => {
    world.refusal = refusedWith('ISOBAR_COORDINATOR_PAUSED');
    await expect(world.begin(world.leadership.prepareLeave(2))).rejects.toBe(world.refusal);
  });
});

describe('a drain of a node', () => {
  it('is of all its ranks, and says what has no other place', () => {
    const drain = world.leadership.prepareDrain({ node: 'a' });
    expect(drain.operation.change).toEqual({ kind: 'drain', ranks: [0, 1, 2] });
    expect(drain.foreseen).toMatchObject({ code: 'ISOBAR_COORDINATOR_DEGRADED' });
    expect(() => world.leadership.prepareDrain({ node: 'b' })).toThrow(
      expect.objectContaining({ code: 'ISOBAR_COORDINATOR_UNKNOWN_NODE' }),
    );
  });
});

describe('an import', () => {
  const asTold = {
    numLogicalExperts: 4,
    slotOffsets: [0, 2, 4, 6],
    physicalToLogical: [[0, 1, 2, 3, 2, 3]],
  };
  const prepare = (changes: Partial<typeof asTold> & { digest?: string } = {}) =>
    world.leadership.placements.prepare({ kind: 'import', mapping: { ...asTold, ...changes } });

  it('asks for waves to the mapping, and for balancing to be held', async () => {
    expect(await prepare()).toMatchObject({
      operation: {
        change: { kind: 'hold', reason: 'a mapping was imported' },
        request: { change: 'rollback', base: newest, waves: [{ digest: earlier.digest() }] },
      },
      effect: { waves: 1, moves: 2, bytes: 128, ranks: [2] },
    });
  });

  it.each([
    ['has a row too short', { physicalToLogical: [[0]] }, 'ISOBAR_COORDINATOR_IMPORT_INVALID'],
    ['was changed since', { digest: inForce.digest() }, 'ISOBAR_COORDINATOR_IMPORT_INVALID'],
    ['lacks an expert', { physicalToLogical: [[0, 1, 2, 0, 1, 2]] }, 'ISOBAR_EPLB_MAPPING_INVALID'],
    ['is of another shape', { slotOffsets: [0, 3, 4, 6] }, 'ISOBAR_EPLB_MAPPING_SHAPE'],
    ['is in force', { physicalToLogical: [[0, 1, 2, 3, 0, 1]] }, 'ISOBAR_COORDINATOR_SAME_MAPPING'],
  ])('that %s is refused', async (_, changes, code) => {
    await expect(prepare(changes)).rejects.toMatchObject({ code });
  });
});

describe('a rollback', () => {
  it('asks for waves to the earlier mapping, and for balancing to be held', async () => {
    world.keep(committed(1, earlier));
    expect(await world.rollback(1)).toMatchObject({ effect: { waves: 1, moves: 2, ranks: [2] } });
    expect(world.operated).toMatchObject([
      {
        change: { kind: 'hold', reason: 'rolled back to version 1' },
        request: { change: 'rollback', base: newest, waves: [{ digest: earlier.digest() }] },
      },
    ]);
  });

  it('places nothing on ranks that may hold nothing now', async () => {
    world.keep(committed(1, mappingOf([0, 1, 0, 1, 2, 3])));
    world.change({ control: controlOf({ drained: [2] }) });
    await world.rollback(1);
    const rows = world.operated[0]?.request?.waves?.at(-1)?.mapping.physicalToLogical ?? [];
    expect([...rows.slice(0, 4)].sort()).toEqual([0, 1, 2, 3]);
    expect([...rows.slice(4)]).toEqual([-1, -1]);
  });

  it.each([
    ['of which there is no record', 'ISOBAR_COORDINATOR_NO_VERSION', () => undefined],
    [
      'that was void',
      'ISOBAR_COORDINATOR_NO_VERSION',
      () => world.keep({ schema: 1, outcome: 'void', version: 1, fence, reason: 'no' }),
    ],
    [
      'that placed experts as they are placed now',
      'ISOBAR_COORDINATOR_SAME_MAPPING',
      () => world.keep(committed(1, inForce)),
    ],
    [
      'that the ranks which are left can not hold',
      'ISOBAR_COORDINATOR_DEGRADED',
      () => {
        world.keep(committed(1, earlier));
        world.change({ control: controlOf({ drained: [0, 1] }) });
      },
    ],
  ])('to a version %s is refused', async (_, code, arrange) => {
    arrange();
    await expect(world.rollback(1)).rejects.toMatchObject({ code });
    expect(world.operated).toEqual([]);
  });

  it('that was overtaken is planned anew, on the version that is in force by then', async () => {
    world.keep(committed(1, earlier));
    await world.rollback(1);
    const overtaking = mappingOf([0, 1, 2, 3, 0, 3]);
    world.change({ mapping: overtaking });
    world.changeSwap({ newest: { version: 3, digest: overtaking.digest() } });
    world.leadership.onDecided(committed(3, overtaking));
    world.leadership.onRequestEnded(1, 'outdated', 'version 3 is in force');
    await world.next();
    expect(world.operated).toHaveLength(2);
    expect(world.operated[1]?.request).toMatchObject({
      change: 'rollback',
      base: { version: 3 },
      waves: [{ digest: earlier.digest() }],
    });
    // Once it has ended otherwise it is not taken up again.
    world.leadership.onRequestEnded(2, 'committed', '');
    world.leadership.onRequestEnded(1, 'outdated', '');
    expect(world.operated).toHaveLength(2);
  });

  it('that was refused is not taken up again', async () => {
    world.keep(committed(1, earlier));
    world.refusal = refusedWith('ISOBAR_COORDINATOR_PAUSED');
    await expect(world.rollback(1)).rejects.toBe(world.refusal);
    world.leadership.onRequestEnded(1, 'outdated', '');
    expect(world.operated).toHaveLength(1);
  });

  it('that can not be planned anew has come to nothing, and is kept so with why', async () => {
    world.keep(committed(1, earlier));
    await world.rollback(1);
    world.store.clear();
    world.leadership.onRequestEnded(1, 'outdated', '');
    await world.next();
    expect(world.operated.at(-1)).toMatchObject({
      change: null,
      request: null,
      command: {
        id: command.id,
        goesOn: true,
        ended: {
          outcome: 'outdated',
          reason: expect.stringContaining('ISOBAR_COORDINATOR_NO_VERSION'),
        },
      },
    });
    expect(world.failures).toEqual([]);
  });

  it('that fails in a way nobody knows is a failure of the process', async () => {
    world.keep(committed(1, earlier));
    await world.rollback(1);
    world.readFailure = new TypeError('a fault of the program');
    world.leadership.onRequestEnded(1, 'outdated', '');
    await world.next();
    expect(world.failures).toEqual([world.readFailure]);
  });
});
