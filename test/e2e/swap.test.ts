import { copyFile, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
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

describe.each(['two-table', 'in-place'] as const)('a swap, %s', (activation) => {
  it('moves experts without a token lost, misrouted or changed', async () => {
    const small = await start({ activation });
    await small.event(
      ({ kind, outcome }) => kind === 'rebalance-finished' && outcome === 'applied',
    );
    const report = await small.conclude();
    expect(report).toMatchObject(noTokenWrong);
    expect(report.movedExperts).toBeGreaterThan(0);
    expect(new Set(report.mappingVersionByRank).size).toBe(1);
  });

  it('is caught by the oracle where a rank serves wrong weights', async () => {
    const small = await start({ activation, engine: { faults: { wrongWeightsInVersion: 2 } } });
    await small.committed(2);
    await small.stepsServed(0, 4);
    const report = await small.conclude();
    expect(report.tokensChanged).toBeGreaterThan(0);
    expect(report).toMatchObject({ tokensLost: 0, tokensMisrouted: 0 });
  });

  it('is void where staged weights do not have the digest of the manifest', async () => {
    const small = await start({ activation, engine: { faults: { corruptStagingOfVersion: 2 } } });
    const decided = await small.event(({ kind, version }) => kind === 'decided' && version === 2);
    expect(decided).toMatchObject({
      outcome: 'void',
      reason: expect.stringContaining('ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH'),
    });
    await small.committed(3);
    const report = await small.conclude();
    expect(report).toMatchObject({ ...noTokenWrong, swapsVoided: 1 });
  });

  it('serves the very bytes that travelled from rank to rank', async () => {
    const small = await start({ activation });
    const { checkpointDirectory, directory } = small.cluster;
    const kept = join(directory, 'kept');
    await mkdir(kept);
    for (const file of ['weights.bin', 'manifest.json']) {
      await copyFile(join(checkpointDirectory, file), join(kept, file));
    }
    // Whoever read the backing store again would from now on serve nothing but zeros.
    const store = await open(join(checkpointDirectory, 'weights.bin'), 'r+');
    await store.write(new Uint8Array((await store.stat()).size));
    await store.close();
    await small.committed(2);
    const report = await small.conclude(kept);
    expect(report).toMatchObject(noTokenWrong);
    expect(report.movedExperts).toBeGreaterThan(0);
  });
});
