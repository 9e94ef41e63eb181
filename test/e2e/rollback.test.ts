import { afterEach, describe, expect, it } from 'vitest';
import { runIsobar } from './run-isobar.js';
import { noTokenWrong, SmallCluster, type SmallClusterOptions } from './small-cluster.js';

let running: SmallCluster | null = null;

async function start(options?: SmallClusterOptions): Promise<SmallCluster> {
  running = await SmallCluster.start(options);
  return running;
}

afterEach(async () => {
  await running?.close();
  running = null;
});

function isobar(small: SmallCluster, ...args: string[]) {
  return runIsobar('--server', small.cluster.natsUrl, '--deployment', 'demo', ...args);
}

/** Experts of every rank in every layer, whatever the slots. */
async function placement(small: SmallCluster): Promise<number[][][]> {
  const { physicalToLogical, slotOffsets } = await small.client.ask('export', {});
  return physicalToLogical.map((row) =>
    slotOffsets
      .slice(1)
      .map((end, rank) => row.slice(slotOffsets[rank], end).sort((a, b) => a - b)),
  );
}

describe('a rollback', () => {
  it('brings an earlier placement back, and holds balancing until resumed', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const first = await placement(small);
    await isobar(small, 'mode', 'automatic', '--yes');
    await small.event(
      ({ kind, outcome }) => kind === 'rebalance-finished' && outcome === 'applied',
    );
    await small.idle();
    expect(await placement(small)).not.toEqual(first);

    const begun = await isobar(small, 'rollback', '1', '--json', '--yes', '--no-wait');
    expect(begun.code, begun.stderr).toBe(0);
    expect(JSON.parse(begun.stdout)).toMatchObject({
      command: 'rollback',
      baseVersion: expect.any(Number),
      control: { held: 'rolled back to version 1' },
    });
    await small.event(
      ({ kind, change, outcome }) =>
        kind === 'request-ended' && change === 'rollback' && outcome === 'committed',
    );
    expect(await placement(small)).toEqual(first);
    const held = await small.status();
    expect(held).toMatchObject({ mode: 'automatic', held: 'rolled back to version 1' });

    // Long enough for many plans, had any been made.
    await small.stepsServed(0, 40);
    expect((await small.status()).mapping.version).toBe(held.mapping.version);
    expect((await isobar(small, 'status')).stdout).toMatch(/^held +rolled back to version 1/m);

    expect((await isobar(small, 'resume', '--yes')).code).toBe(0);
    await small.committed(held.mapping.version + 1);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it('comes after the wave that is open when it is asked for, and before those that wait', async () => {
    const small = await start({
      engine: { spareBuffers: 4, reserveBuffers: 2, stagingBytesPerSecond: 64 * 1_024 },
      // Of reported times a busy machine may give none: then one layer at a time would change.
      coordinator: { perTokenSeconds: 0.001 },
    });
    await small.event(
      ({ kind, version = 0, wavesLeft = 0 }) =>
        kind === 'swap-finished' && version > 1 && wavesLeft > 1,
    );
    const first = await small.client.ask('rollback', { version: 1, waitMs: 0 });
    expect(first.control.held).toBe('rolled back to version 1');
    await small.event(
      ({ kind, change, outcome }) =>
        kind === 'request-ended' && change === 'rebalance' && outcome === 'superseded',
    );
    await small.event(
      ({ kind, change, outcome }) =>
        kind === 'request-ended' && change === 'rollback' && outcome === 'committed',
    );
    await small.idle();
    const again = await isobar(small, 'rollback', '1', '--yes');
    expect(again.stderr).toContain('ISOBAR_COORDINATOR_SAME_MAPPING');
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it('to a version that has no record, or was void, is refused', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const none = await isobar(small, 'rollback', '77', '--yes');
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('ISOBAR_COORDINATOR_NO_VERSION');
    const same = await isobar(small, 'rollback', '1', '--yes');
    expect(same.stderr).toContain('ISOBAR_COORDINATOR_SAME_MAPPING');
    expect(await small.status()).toMatchObject({ held: null, mapping: { version: 1 } });
  });
});

describe('a swap that an operator cancels', () => {
  it('is void, with the reason kept, and is not begun again at once', async () => {
    const small = await start({
      engine: { stagingBytesPerSecond: 16 * 1_024 },
      coordinator: { backOffMs: 600_000 },
    });
    await small.event(({ kind, outcome }) => kind === 'plan' && outcome === 'running');
    const cancelled = await isobar(small, 'cancel', '--yes', '--reason', 'not during the launch');
    expect(cancelled.code, cancelled.stderr).toBe(0);
    const decided = await small.event(
      ({ kind, outcome }) => kind === 'decided' && outcome === 'void',
    );
    expect(decided.reason).toBe('not during the launch');
    const { backOff, heldBack } = await small.status();
    expect(backOff).toMatchObject({ version: decided.version, reason: 'not during the launch' });
    expect(heldBack).toContain('backing off');
    await small.idle();
    const again = await isobar(small, 'cancel', '--yes');
    expect(again.stderr).toContain('ISOBAR_COORDINATOR_NO_SWAP');
    expect(await small.conclude()).toMatchObject({ ...noTokenWrong, swapsVoided: 1 });
  });
});

describe('a rank that is drained', () => {
  it('holds no expert, and is filled again once it is undrained', async () => {
    const small = await start();
    await small.committed(1);
    expect((await isobar(small, 'drain', '3', '--yes')).stdout).toContain('drained: rank 3');
    await small.event(
      ({ kind, change, outcome }) =>
        kind === 'request-ended' && change === 'drain' && outcome === 'committed',
    );
    for (const row of await placement(small)) expect(new Set(row[3])).toEqual(new Set([-1]));
    const status = await small.status();
    expect(status.ranks[3]).toMatchObject({ drained: true, standing: 'serving' });

    expect((await isobar(small, 'undrain', '3', '--yes')).code).toBe(0);
    const isFilled = async () =>
      (await placement(small)).some((row) => row[3]?.some((expert) => expert >= 0));
    // A rebalance may have been under way that still leaves the rank out.
    for (let rebalances = 0; rebalances < 8 && !(await isFilled()); rebalances += 1) {
      const { mapping } = await small.status();
      await small.committed(mapping.version + 1);
    }
    expect(await isFilled()).toBe(true);
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  });

  it("is not declared dead without the operator's explicit word, nor under another name", async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    const word = ['declare-dead', '2', '0123456789abcdef'];
    const unsaid = await isobar(small, ...word);
    expect(unsaid.code).toBe(2);
    expect(unsaid.stderr).toContain('--yes');
    const unknown = await isobar(small, ...word, '--yes');
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('ISOBAR_COORDINATOR_UNKNOWN_MEMBER');
    expect((await small.status()).dead).toEqual([]);
  });
});
