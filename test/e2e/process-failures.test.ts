import { afterEach, describe, expect, it } from 'vitest';
import { noTokenWrong, SmallCluster, type SmallClusterOptions } from './small-cluster.js';

const shortLease = { leaseMs: 3_000, renewDeadlineMs: 2_000, renewMs: 800, retryMs: 400 };

let running: SmallCluster | null = null;

async function start(options?: SmallClusterOptions): Promise<SmallCluster> {
  running = await SmallCluster.start(options);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = null;
});

describe.each(['two-table', 'in-place'] as const)('an agent that is killed, %s', (activation) => {
  it('neither stops inference nor loses a token, and catches up when it returns', async () => {
    const small = await start({ activation });
    // Killed just as a version is decided: it may not have heard, or not have told its engine.
    const decided = await small.event(
      ({ kind, outcome, version = 0 }) =>
        kind === 'decided' && outcome === 'committed' && version > 1,
    );
    await small.cluster.process('agent-3').kill();
    await small.stepsServed(0, 20);
    await small.cluster.startAgent(3);
    await small.committed((decided.version ?? 0) + 1);
    const report = await small.conclude();
    expect(report).toMatchObject(noTokenWrong);
    expect(new Set(report.mappingVersionByRank).size).toBe(1);
    expect(report.mappingVersion).toBeGreaterThan(decided.version ?? 0);
  });
});

describe('inference goes on', () => {
  it('while no coordinator is there, and a new one takes over where the old one was', async () => {
    const small = await start({ coordinator: shortLease });
    const { version = 0 } = await small.committed(2);
    const before = await small.status();
    await small.cluster.process('coordinator-0').kill();
    await small.cluster.startCoordinator();
    await small.ledUnder(before.leader.term + 1);
    const after = await small.status();
    expect(after.leader.term).toBeGreaterThan(before.leader.term);
    expect(after.mapping.version).toBeGreaterThanOrEqual(version);
    await small.event(
      (event) =>
        event.kind === 'swap-finished' &&
        event.outcome === 'committed' &&
        (event.version ?? 0) > after.mapping.version,
    );
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it('while the leader dies, and the standby leads once its lease has run out', async () => {
    const small = await start({ numCoordinators: 2, coordinator: shortLease });
    await small.committed(2);
    const { leader, mapping } = await small.status();
    expect(['coordinator-0', 'coordinator-1']).toContain(leader.holder);
    // A standby leaves commands to the leader: whoever asks gets one answer.
    expect(await small.answersTo('status', 2)).toMatchObject([
      { leader: { holder: leader.holder } },
    ]);
    await small.cluster.process(leader.holder).kill();
    const led = await small.ledUnder(leader.term + 1);
    expect(led.holder).not.toBe(leader.holder);
    await small.committed(mapping.version + 1);
    await small.cluster.restart(leader.holder);
    expect(await small.answersTo('status', 2)).toMatchObject([{ leader: { holder: led.holder } }]);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it('while the leader stops in order, and the standby leads at once', async () => {
    const small = await start({ numCoordinators: 2 });
    await small.committed(2);
    const { leader, mapping } = await small.status();
    // With a lease of 15 s: another may claim what has been given up.
    expect(await small.cluster.process(leader.holder).stop(20_000)).toBe(0);
    const led = await small.ledUnder(leader.term + 1);
    expect(led.holder).not.toBe(leader.holder);
    await small.committed(mapping.version + 1);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it('while the NATS server is away, and balancing resumes when it is back', async () => {
    const small = await start();
    await small.committed(2);
    const before = await small.status();
    await small.cluster.process('nats-0').kill();
    await small.cluster.restart('nats-0');
    await small.committed(before.mapping.version + 1);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });
});
