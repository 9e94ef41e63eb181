import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessWitness, StateLock } from '@isobar/rank-agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const witness = new ProcessWitness();
const held: StateLock[] = [];
let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'isobar-lock-'));
  path = join(directory, 'state.lock');
});

afterEach(async () => {
  await Promise.all(held.splice(0).map((lock) => lock.release()));
  await rm(directory, { recursive: true });
});

async function acquire(staleMs = 5_000, touchMs = 60_000): Promise<StateLock> {
  const lock = await StateLock.acquire({ path, witness, staleMs, touchMs });
  held.push(lock);
  return lock;
}

const inUse = expect.objectContaining({ code: 'ISOBAR_AGENT_STATE_IN_USE' });

/** A holder that this machine can't tell anything of, as one in another container. */
const elsewhere = {
  id: '1'.repeat(16),
  process: { processId: 1, startTicks: '1', scope: 'another boot' },
};

async function endedProcess() {
  const self = witness.identifySelf();
  if (self === null) return null;
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const stat = await readFile(`/proc/${child.pid}/stat`, 'latin1');
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  child.kill('SIGKILL');
  await once(child, 'exit');
  return { ...self, processId: child.pid ?? 0, startTicks };
}

describe('a state lock', () => {
  it('of a process that runs is refused at once, however long it has not been touched', async () => {
    await acquire();
    await expect(acquire(0)).rejects.toEqual(inUse);
  });

  it('of a process that has ended is taken at once', async (context) => {
    const ended = await endedProcess();
    if (ended === null) return context.skip('no /proc here');
    await writeFile(path, JSON.stringify({ id: '2'.repeat(16), process: ended }));
    // Far beyond the test's own limit: nothing may wait for it.
    await (await acquire(600_000)).assertHeld();
  });

  it('that nobody can tell about is taken once it is no longer touched', async () => {
    for (const content of [JSON.stringify(elsewhere), '', 'rubbish']) {
      await writeFile(path, content);
      const lock = await acquire(20);
      await lock.assertHeld();
      await lock.release();
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('that nobody can tell about, but somebody touches, is refused', async () => {
    const blind = new ProcessWitness(join(directory, 'no-proc'));
    const holder = await StateLock.acquire({ path, witness: blind, touchMs: 1 });
    held.push(holder);
    await expect(acquire(500)).rejects.toEqual(inUse);
    await holder.assertHeld();
  });

  it('is taken by one of many that find it stale', async () => {
    await writeFile(path, JSON.stringify(elsewhere));
    await Promise.allSettled(Array.from({ length: 8 }, () => acquire(20)));
    const holding = await Promise.allSettled(held.map((lock) => lock.assertHeld()));
    expect(holding.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});
