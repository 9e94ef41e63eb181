import { commandNames } from '@isobar/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { overConnection, transports } from './command-transport.js';
import { currentNatsServerPath } from './go-executables.js';
import { type RawAnswer, RawClient } from './raw-client.js';
import { noTokenWrong, SmallCluster } from './small-cluster.js';

const waitMs = 60_000;
const shortLease = { leaseMs: 3_000, renewDeadlineMs: 2_000, renewMs: 800, retryMs: 400 };
const mappingSchema = z.looseObject({ physicalToLogical: z.array(z.array(z.number())) });

/** Every rank on a node of its own, so that a node can be spared. */
const topology = 'ranks: 4\nnodes: 4\n';

const service = 'isobar-demo';

async function rawClient(small: SmallCluster, bodies: 'json' | 'message-pack' = 'json') {
  return RawClient.over(await overConnection(small.cluster.natsUrl, bodies), service);
}

describe.each(transports)('every command, by $name', (transport) => {
  const { connect, isCurrent, takesAnyBody } = transport;
  let small: SmallCluster;
  let raw: RawClient;

  beforeAll(async () => {
    small = await SmallCluster.start({
      topology,
      coordinator: {
        mode: 'observe',
        backOffMs: 600_000,
        // Nobody is cut: an operator's word is all there is.
        cutAfterMs: 600_000,
        // All steps of the trace: a slow machine serves few in a pass, and these differ.
        windowPasses: 64,
      },
      ...(isCurrent && currentNatsServerPath !== null ? { natsServer: currentNatsServerPath } : {}),
    });
    await small.committed(1);
    raw = await RawClient.over(await connect(small.cluster.natsUrl), service);
  });
  afterAll(async () => {
    await raw?.close();
    await small?.close();
  });

  async function placement(): Promise<number[][]> {
    return mappingSchema.parse(await raw.done('export')).physicalToLogical;
  }

  /** Moves something whatever the load is: two slots of the first layer exchanged. */
  async function rearranged(): Promise<object> {
    const { version: _, digest: __, ...mapping } = await raw.done('export');
    const { physicalToLogical: rows } = mappingSchema.parse(mapping);
    const [first = []] = rows;
    const slots = first.length;
    const last = first[slots - 1] ?? -1;
    const exchanged = [last, ...first.slice(1, -1), first[0] ?? -1];
    return { ...mapping, physicalToLogical: [exchanged, ...rows.slice(1)] };
  }

  it('is found by its name', () => {
    expect(raw.commands.sort()).toEqual([...commandNames].sort());
  });

  it('status, plan, export and history tell what is', async () => {
    expect(await raw.done('status')).toMatchObject({ mode: 'observe', mapping: { version: 1 } });
    await small.event(({ kind }) => kind === 'plan');
    expect(await raw.done('plan')).toMatchObject({ baseVersion: 1, moves: expect.any(Number) });
    expect(await raw.done('export', { version: 1 })).toMatchObject({ version: 1 });
    expect(await raw.ask('export', { version: 77 })).toBe('ISOBAR_COORDINATOR_NO_VERSION');
    const history = await raw.done('history', { last: 5, of: 1 });
    expect(history.events).toContainEqual(expect.objectContaining({ kind: 'decided', version: 1 }));
  });

  it.runIf(takesAnyBody)('what is no question is refused, and the field named', async () => {
    const subject = 'isobar.v1.demo.command.mode';
    const code = 'ISOBAR_COORDINATOR_COMMAND_MALFORMED';
    for (const body of ['{"mode":"sometimes"}', '{"mode":"observe","other":1}', '{', '']) {
      expect(await raw.send(subject, new TextEncoder().encode(body))).toBe(code);
    }
    expect(await raw.send(subject, Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff))).toBe(code);
  });

  it('mode, pause and resume hold at once; a dry run changes nothing', async () => {
    const wouldBe = await raw.done('mode', { mode: 'approve', dryRun: true });
    expect(wouldBe).toMatchObject({ outcome: 'would-be-done', control: { mode: 'approve' } });
    expect(await raw.done('status')).toMatchObject({ mode: 'observe' });
    const paused = await raw.done('pause');
    expect(paused).toMatchObject({ state: 'done', outcome: 'done', control: { paused: true } });
    expect(await raw.ask('rebalance', {})).toBe('ISOBAR_COORDINATOR_PAUSED');
    const refused = await raw.done('rebalance', { dryRun: true });
    expect(refused).toMatchObject({
      outcome: 'would-be-refused',
      code: 'ISOBAR_COORDINATOR_PAUSED',
    });
    expect(await raw.done('resume')).toMatchObject({ control: { paused: false } });
  });

  it('rebalance acts in mode observe, of some layers alone, and explain tells its story', async () => {
    const before = await placement();
    const wouldBe = await raw.done('rebalance', { layers: [1], dryRun: true });
    expect(wouldBe).toMatchObject({
      outcome: 'would-be-done',
      plan: { pays: expect.any(Boolean) },
    });
    expect(await placement()).toEqual(before);

    const requestId = 'rebalance-once';
    const done = await raw.done('rebalance', { layers: [1], requestId, waitMs });
    expect(done).toMatchObject({ requestId, state: 'done', outcome: 'committed' });
    const after = await placement();
    expect(after[1]).not.toEqual(before[1]);
    expect([after[0], after[2], after[3]]).toEqual([before[0], before[2], before[3]]);

    const { version } = done;
    expect(await raw.done('explain', { version })).toMatchObject({
      version,
      outcome: 'committed',
      change: 'rebalance',
      askedBy: { id: requestId, command: 'rebalance', requester: { verified: false } },
      plan: { kind: 'plan', forecast: expect.anything(), rankShares: expect.anything() },
      durations: { preparingMs: expect.any(Number), totalMs: expect.any(Number) },
      votes: { yes: 4, needed: 4 },
    });
    expect(await raw.ask('explain', { version: 77 })).toBe('ISOBAR_COORDINATOR_NO_VERSION');
  });

  it('the same id acts once, whatever is asked under it', async () => {
    const requestId = 'rebalance-once';
    const { mapping } = await small.status();
    const again = await raw.done('rebalance', { layers: [1], requestId, waitMs: 0 });
    expect(again).toMatchObject({ requestId, outcome: 'committed', version: mapping.version });
    const other = await raw.ask('rebalance', { layers: [2], requestId });
    expect(other).toBe('ISOBAR_COORDINATOR_REQUEST_ID_REUSED');
    expect((await small.status()).mapping.version).toBe(mapping.version);
  });

  it('import takes what export gives, refuses what was changed since, and holds balancing', async () => {
    const exported = await raw.done('export');
    const same = await raw.ask('import', { mapping: exported });
    expect(same).toBe('ISOBAR_COORDINATOR_SAME_MAPPING');
    const wanted = await rearranged();
    const forged = { ...wanted, digest: exported.digest };
    expect(await raw.ask('import', { mapping: forged })).toBe('ISOBAR_COORDINATOR_IMPORT_INVALID');
    const done = await raw.done('import', { mapping: wanted, waitMs });
    expect(done).toMatchObject({
      outcome: 'committed',
      effect: { moves: expect.any(Number), ranks: [0, 3] },
      control: { held: 'a mapping was imported' },
    });
    expect(await placement()).toEqual(mappingSchema.parse(wanted).physicalToLogical);
    expect(await raw.done('resume')).toMatchObject({ control: { held: null } });
  });

  it('rollback goes back, once it is known whereto', async () => {
    expect(await raw.ask('rollback', { version: 77 })).toBe('ISOBAR_COORDINATOR_NO_VERSION');
    const done = await raw.done('rollback', { version: 1, waitMs });
    expect(done).toMatchObject({ outcome: 'committed', control: { held: expect.any(String) } });
    const first = mappingSchema.parse(await raw.done('export', { version: 1 }));
    expect(await placement()).toEqual(first.physicalToLogical);
    expect(await raw.done('resume')).toMatchObject({ control: { held: null } });
  });

  it('approve applies the plan that waits', async () => {
    expect(await raw.ask('approve')).toBe('ISOBAR_COORDINATOR_NO_PLAN');
    await raw.done('mode', { mode: 'approve' });
    await small.event(({ kind, outcome }) => kind === 'plan' && outcome === 'waiting');
    const approved = await raw.done('approve', { waitMs });
    expect(approved).toMatchObject({ outcome: 'committed', plan: { pays: true } });
    await raw.done('mode', { mode: 'observe' });
    await raw.done('rollback', { version: 1, waitMs });
    await raw.done('resume');
  });

  it('refuse drops the plan that waits, and none takes its place while loads are as they were', async () => {
    const plans = () =>
      small.events.flatMap(({ kind, outcome }) => (kind === 'plan' ? [outcome] : []));
    const before = plans().length;
    await raw.done('mode', { mode: 'approve' });
    await small.event(() => plans().slice(before).includes('waiting'));
    expect(await raw.ask('refuse', { plan: 'another' })).toBe('ISOBAR_COORDINATOR_PLAN_OUTDATED');
    const refused = await raw.done('refuse');
    expect(refused).toMatchObject({ outcome: 'done', plan: { id: expect.any(String) } });
    // Long enough for many plans, had any been made.
    await small.stepsServed(0, 60);
    expect(await raw.done('status')).toMatchObject({ pendingPlan: null });
    expect(await raw.ask('approve')).toBe('ISOBAR_COORDINATOR_NO_PLAN');
    expect(plans().slice(plans().indexOf('declined'))).toEqual(['declined']);
  });

  it('parameters tell what set-parameters has set, and where it comes from', async () => {
    const name = 'coordinator.passesMin';
    const question = (value: string | number | null) => ({ parameters: { [name]: value } });
    const refused = await raw.ask('set-parameters', question('many'));
    expect(refused).toBe('ISOBAR_CONFIGURATION_PARAMETER');
    const set = await raw.done('set-parameters', question(3));
    expect(set).toMatchObject({ outcome: 'done', control: { parameters: { [name]: 3 } } });
    const told = expect.objectContaining({ name, value: 3, origin: 'command' });
    expect((await raw.done('parameters')).parameters).toContainEqual(told);
    const reset = await raw.done('set-parameters', question(null));
    expect(reset).toMatchObject({ outcome: 'done', control: { parameters: {} } });
  });

  it('drain and undrain are of a rank or a node', async () => {
    expect(await raw.ask('drain', { node: 'elsewhere' })).toBe('ISOBAR_COORDINATOR_UNKNOWN_NODE');
    expect(await raw.ask('drain', {})).toBe('ISOBAR_COORDINATOR_COMMAND_MALFORMED');
    const wouldBe = await raw.done('drain', { node: 'node-3', dryRun: true });
    expect(wouldBe).toMatchObject({
      outcome: 'would-be-done',
      effect: { waves: expect.any(Number) },
      control: { drained: [3] },
    });
    const drained = await raw.done('drain', { node: 'node-3', waitMs });
    expect(drained).toMatchObject({ outcome: 'committed', control: { drained: [3] } });
    const { slotOffsets } = await raw.done('export');
    const [start = 0] = (slotOffsets as number[]).slice(3);
    expect((await placement()).flatMap((row) => [...new Set(row.slice(start))])).toEqual([
      -1, -1, -1, -1,
    ]);
    const tooMany = await raw.done('drain', { rank: 2, dryRun: true });
    expect(tooMany).toMatchObject({
      outcome: 'would-be-refused',
      code: 'ISOBAR_COORDINATOR_DEGRADED',
    });
    expect(await raw.done('undrain', { node: 'node-3' })).toMatchObject({
      outcome: 'done',
      control: { drained: [] },
    });
  });

  it('offer limits the slots of a rank, and lets it use them again', async () => {
    expect(await raw.ask('offer', { rank: 3, slots: 7 })).toBe(
      'ISOBAR_COORDINATOR_REQUEST_INVALID',
    );
    expect(await raw.ask('offer', { rank: 9, slots: 1 })).toBe('ISOBAR_COORDINATOR_UNKNOWN_MEMBER');
    const slotLimits = [{ rank: 3, slots: 4 }];
    const limited = await raw.done('offer', { rank: 3, slots: 4, waitMs });
    expect(limited).toMatchObject({ outcome: 'committed', control: { slotLimits } });
    const { slotOffsets } = await raw.done('export');
    const [start = 0] = (slotOffsets as number[]).slice(3);
    const closed = (await placement()).flatMap((row) => row.slice(start + 4));
    expect(new Set(closed)).toEqual(new Set([-1]));
    expect(await raw.done('offer', { rank: 3, slots: null })).toMatchObject({
      outcome: 'done',
      control: { slotLimits: [] },
    });
  });

  it('cancel voids a swap that is not decided yet', async () => {
    expect(await raw.ask('cancel')).toBe('ISOBAR_COORDINATOR_NO_SWAP');
    const agent = small.cluster.process('agent-2');
    agent.pause();
    try {
      // Without that rank's vote it can't be decided.
      expect(await raw.done('rebalance', { waitMs: 0 })).toMatchObject({ state: 'running' });
      await raw.done('cancel', { reason: 'not now', requestId: 'stop', waitMs: 0 });
    } finally {
      agent.resume();
    }
    const cancelled = { reason: 'not now', requestId: 'stop', waitMs };
    expect(await raw.done('cancel', cancelled)).toMatchObject({ outcome: 'cancelled' });
    await small.idle();
  });

  it('declare-dead takes the word of an operator, leave lets a rank go', async () => {
    const word = { rank: 1, incarnation: '0123456789abcdef' };
    expect(await raw.ask('declare-dead', word)).toBe('ISOBAR_COORDINATOR_UNKNOWN_MEMBER');
    const { ranks, mapping } = await small.status();
    const { rank = 3, incarnation = '' } = ranks[3] ?? {};
    const wouldBe = await raw.done('declare-dead', { rank, incarnation, dryRun: true });
    expect(wouldBe).toMatchObject({
      outcome: 'would-be-done',
      control: { dead: [{ rank, incarnation }] },
    });
    expect((await small.status()).dead).toEqual([]);

    await small.cluster.process('agent-3').kill();
    await small.cluster.process('engine-3').kill();
    expect(await raw.done('declare-dead', { rank, incarnation })).toMatchObject({
      outcome: 'done',
    });
    await small.committed(mapping.version + 1);
    expect((await small.status()).ranks[3]).toMatchObject({ member: null });

    await Promise.all([small.cluster.startEngine(3), small.cluster.startAgent(3)]);
    await vi.waitFor(
      async () => expect((await small.status()).ranks[3]?.member).toEqual(expect.any(String)),
      { timeout: waitMs, interval: 200 },
    );
    await small.idle();
    expect(await raw.done('leave', { rank: 3, waitMs })).toMatchObject({ outcome: 'committed' });
    expect((await small.status()).ranks[3]).toMatchObject({ member: null });
  });

  it('leaves none out', () => {
    expect(raw.commandsDone.sort()).toEqual([...commandNames].sort());
  });
});

describe('commands while a swap is under way', () => {
  it('approve waits no longer than it is told, cancel ends both, and both are told', async () => {
    const small = await SmallCluster.start({
      engine: { stagingBytesPerSecond: 8 * 1_024 },
      coordinator: { mode: 'approve', backOffMs: 600_000 },
    });
    await small.committed(1);
    const raw = await rawClient(small);
    try {
      await small.event(({ kind, outcome }) => kind === 'plan' && outcome === 'waiting');
      const begun = await raw.done('approve', { requestId: 'approval', waitMs: 0 });
      expect(begun).toMatchObject({ state: 'running', outcome: null, plan: { pays: true } });
      const voided = await raw.done('cancel', { reason: 'not now', requestId: 'stop', waitMs });
      expect(voided).toMatchObject({ outcome: 'cancelled' });
      const told = await raw.done('approve', { requestId: 'approval', waitMs });
      expect(told).toMatchObject({ state: 'done', outcome: 'cancelled' });
      expect(told.reason).toContain('not now, cancel of');
      expect(told.reason).toContain('(request stop)');
      expect(await small.conclude()).toMatchObject(noTokenWrong);
    } finally {
      await raw.close();
      await small.close();
    }
  });

  it('two operators that want different mappings at once: one has hers, both are told', async () => {
    const small = await SmallCluster.start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const alice = await rawClient(small);
    const bob = await rawClient(small, 'message-pack');
    try {
      const { version: _, digest: __, ...exported } = await alice.done('export');
      const { physicalToLogical: rows } = mappingSchema.parse(exported);
      const wanted = (layer: number) => ({
        ...exported,
        physicalToLogical: rows.map((row, index) =>
          index === layer ? [row.at(-1) ?? -1, ...row.slice(1, -1), row[0] ?? -1] : row,
        ),
      });
      const answers = await Promise.all([
        alice.ask('import', { mapping: wanted(0), requestId: 'hers', waitMs }),
        bob.ask('import', { mapping: wanted(2), requestId: 'his', waitMs }),
      ]);
      const refused = answers.filter((answer) => typeof answer === 'string');
      const done = answers.filter((answer): answer is RawAnswer => typeof answer !== 'string');
      expect(refused).toEqual(['ISOBAR_COORDINATOR_SWAP_OPEN']);
      expect(done).toMatchObject([{ outcome: 'committed', baseVersion: 1, version: 2 }]);
      const layer = typeof answers[0] === 'string' ? 2 : 0;
      const after = mappingSchema.parse(await alice.done('export'));
      expect(after.physicalToLogical).toEqual(wanted(layer).physicalToLogical);
      expect(await small.conclude()).toMatchObject(noTokenWrong);
    } finally {
      await alice.close();
      await bob.close();
      await small.close();
    }
  });

  it('a command whose leader dies is told by the next, and not done again', async () => {
    const small = await SmallCluster.start({
      numCoordinators: 2,
      engine: { stagingBytesPerSecond: 8 * 1_024 },
      coordinator: { mode: 'observe', ...shortLease },
    });
    await small.committed(1);
    let raw = await rawClient(small);
    try {
      const question = { requestId: 'night-shift', waitMs: 0 };
      await small.event(({ kind }) => kind === 'plan');
      expect(await raw.done('rebalance', question)).toMatchObject({ state: 'running' });
      const { leader } = await small.status();
      await small.cluster.process(leader.holder).kill();
      await small.ledUnder(leader.term + 1);
      await raw.close();
      raw = await rawClient(small);
      const told = await raw.done('rebalance', { ...question, waitMs });
      expect(told.state).toBe('done');
      expect(['committed', 'unknown']).toContain(told.outcome);
      await small.idle();
      const { mapping } = await small.status();
      expect(await raw.done('rebalance', question)).toMatchObject({ outcome: told.outcome });
      await small.stepsServed(0, 20);
      expect((await small.status()).mapping.version).toBe(mapping.version);
    } finally {
      await raw.close();
      await small.close();
    }
  });
});
