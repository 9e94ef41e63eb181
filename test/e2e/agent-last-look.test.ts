import { join } from 'node:path';
import { DurableStateFile, ProcessWitness } from '@isobar/rank-agent';
import { afterEach, expect, it } from 'vitest';
import { SmallCluster } from './small-cluster.js';

const stopDeadlineMs = 20_000;
let running: SmallCluster | null = null;

afterEach(async () => {
  await running?.close();
  running = null;
});

it.runIf(process.platform === 'linux')(
  'an agent that is stopped with its engine writes down that the engine has ended',
  async () => {
    // Else it may look by itself in between.
    const small = await SmallCluster.start({ agent: { reportIntervalMs: 60_000 } });
    running = small;
    await small.committed(1);
    const rank = 1;
    const { ranks } = await small.status();
    const { cluster } = small;
    await cluster.process(`engine-${rank}`).kill();
    expect(await cluster.process(`agent-${rank}`).stop(stopDeadlineMs)).toBe(0);
    const file = await DurableStateFile.open({
      directory: join(cluster.directory, 'agents'),
      deployment: 'demo',
      rank,
      witness: new ProcessWitness(),
    });
    const { exited } = await file.load();
    await file.close();
    expect(exited).toContain(ranks[rank]?.incarnation);
  },
);
