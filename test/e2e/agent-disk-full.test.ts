import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { noTokenWrong, SmallCluster } from './small-cluster.js';

const run = promisify(execFile);
const canMount = process.platform === 'linux' && process.getuid?.() === 0;

let running: SmallCluster | null = null;
let disk: string | null = null;

afterEach(async () => {
  await running?.close();
  running = null;
  if (disk === null) return;
  await run('umount', [disk]);
  await rm(disk, { recursive: true });
  disk = null;
});

async function smallDisk(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'isobar-agents-'));
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory]);
  disk = directory;
  return directory;
}

/** Leaves no byte free. */
async function fill(path: string): Promise<void> {
  const filler = await open(path, 'w');
  try {
    for (;;) await filler.write(new Uint8Array(4_096));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  } finally {
    await filler.close();
  }
}

it.runIf(canMount)(
  'agents whose disk is full promise nothing, say so, and go on once it is not',
  async () => {
    const stateDirectory = await smallDisk();
    const small = await SmallCluster.start({ agent: { stateDirectory } });
    running = small;
    await small.committed(2);
    const filler = join(stateDirectory, 'filler');
    await fill(filler);
    const told = await small.event(({ code }) => code === 'ISOBAR_AGENT_DISK_FULL');
    expect(told).toMatchObject({ kind: 'order-refused', order: 'state' });
    const { ranks, mapping } = await small.status();
    expect(ranks.find(({ rank }) => rank === told.rank)).toMatchObject({
      engineConnected: false,
      refused: { code: 'ISOBAR_AGENT_DISK_FULL' },
    });
    await rm(filler);
    await small.committed(mapping.version + 1);
    const after = await small.status();
    expect(after.ranks.map(({ engineConnected }) => engineConnected)).toEqual(
      after.ranks.map(() => true),
    );
    expect(await small.conclude()).toMatchObject(noTokenWrong);
  },
);
