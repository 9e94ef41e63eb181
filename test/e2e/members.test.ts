import { afterEach, describe, expect, it } from 'vitest';
import { runIsobar } from './run-isobar.js';
import { SmallCluster, type SmallClusterOptions } from './small-cluster.js';

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

async function members(small: SmallCluster): Promise<number[]> {
  const { ranks } = await small.status();
  return ranks.filter(({ member }) => member !== null).map(({ rank }) => rank);
}

describe('a rank that leaves', () => {
  it('is emptied, and no member any more; the others serve on', async () => {
    const small = await start({ coordinator: { mode: 'observe' } });
    await small.committed(1);
    expect((await isobar(small, 'leave', '3', '--yes')).code).toBe(0);
    await small.event(
      ({ kind, change, outcome }) =>
        kind === 'request-ended' && change === 'leave' && outcome === 'committed',
    );
    expect(await members(small)).toEqual([0, 1, 2]);
    await small.stepsServed(0, 20);
    const twice = await isobar(small, 'leave', '3', '--yes');
    expect(twice.stderr).toContain('ISOBAR_COORDINATOR_REQUEST_INVALID');
  });
});

describe('a rank whose whole machine is gone', () => {
  it("is removed on an operator's word, also where a new leader waits for its answer", async () => {
    // Nobody is cut: the word is all there is.
    const cutAfterMs = 600_000;
    const small = await start({ coordinator: { mode: 'observe', cutAfterMs } });
    await small.committed(1);
    const { ranks } = await small.status();
    const incarnation = ranks[2]?.member ?? '';
    await small.cluster.process('agent-2').kill();
    await small.cluster.process('engine-2').kill();
    await small.cluster.process('coordinator-0').stop(20_000);
    await small.cluster.startCoordinator();

    await small.refusal('status', 'ISOBAR_COORDINATOR_NOT_LEADING', `rank 2 (${incarnation})`);
    const word = await isobar(small, 'declare-dead', '2', incarnation, '--yes');
    expect(word.code, word.stderr).toBe(0);
    expect(word.stdout).toContain(`declared dead: rank 2 (${incarnation})`);
    await small.committed(2);
    expect(await members(small)).toEqual([0, 1, 3]);
    expect((await small.status()).ranks[2]).toMatchObject({ member: null, engineConnected: false });
    await small.stepsServed(0, 20);
  });
});
