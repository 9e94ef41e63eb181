import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ProcessWitness } from '@isobar/rank-agent';
import { afterEach, describe, expect, it } from 'vitest';

const children: ChildProcess[] = [];
const directories: string[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

interface Told {
  readonly processId: number;
  readonly startTicks: string;
}

function start(command: string): ChildProcess {
  const child = spawn('bash', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  return child;
}

/** As an engine tells of itself. */
async function tell(processId: number | undefined): Promise<Told> {
  if (processId === undefined) throw new Error('the child has not started');
  const stat = await readFile(`/proc/${processId}/stat`, 'latin1');
  const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  if (startTicks === undefined) throw new Error('the stat is short');
  return { processId, startTicks };
}

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

function identified(witness: ProcessWitness, told: Told) {
  const process = witness.identify(told);
  if (process === null) throw new Error('the process was not identified');
  return process;
}

describe('without a /proc to be relied on', () => {
  it('identifies nothing', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-proc-'));
    directories.push(directory);
    const witness = new ProcessWitness(join(directory, 'absent'));
    expect(witness.identify({ processId: process.pid, startTicks: '1' })).toBeNull();
  });

  it('proves nothing of a process that was witnessed before', async () => {
    const witness = new ProcessWitness('/nonexistent');
    const scope = 'boot pid:[1] time:[1]';
    expect(witness.lookFor({ processId: 1, startTicks: '1', scope })).toBe('unknown');
  });
});

describe.skipIf(process.platform !== 'linux')('the witness of a process (needs Linux)', () => {
  const witness = new ProcessWitness();

  it('sees it running, and its end', async () => {
    const child = start('exec sleep 600');
    const seen = identified(witness, await tell(child.pid));
    expect(witness.lookFor(seen)).toBe('running');
    await end(child);
    expect(witness.lookFor(seen)).toBe('gone');
  });

  it('identifies no process that started at another moment, or has ended', async () => {
    const child = start('exec sleep 600');
    const told = await tell(child.pid);
    const startTicks = String(BigInt(told.startTicks) - 1n);
    expect(witness.identify({ ...told, startTicks })).toBeNull();
    expect(witness.identify(null)).toBeNull();
    await end(child);
    expect(witness.identify(told)).toBeNull();
  });

  it('takes a later process of the same id for another', async () => {
    const told = await tell(process.pid);
    const seen = identified(witness, told);
    expect(witness.lookFor({ ...seen, startTicks: '1' })).toBe('gone');
  });

  it('proves nothing in another boot or namespace', async () => {
    const child = start('exec sleep 600');
    const seen = identified(witness, await tell(child.pid));
    await end(child);
    expect(witness.lookFor({ ...seen, scope: `${seen.scope} other` })).toBe('unknown');
  });

  it('takes a zombie for ended', async () => {
    // The shell becomes a process that never asks for its child's end.
    const parent = start('sleep 600 & echo $!; exec sleep 600');
    if (parent.stdout === null) throw new Error('the child has no output');
    const [line] = await once(createInterface({ input: parent.stdout }), 'line');
    const processId = Number(line);
    // The shell itself may still ask.
    const nameOfParent = () => readFile(`/proc/${parent.pid}/comm`, 'latin1');
    await expect.poll(nameOfParent, { timeout: 30_000 }).toBe('sleep\n');
    const seen = identified(witness, await tell(processId));
    process.kill(processId, 'SIGKILL');
    await expect.poll(() => witness.lookFor(seen), { timeout: 30_000 }).toBe('gone');
    expect(await readFile(`/proc/${processId}/stat`, 'latin1')).toMatch(/\) Z /);
  });

  it('reads past blanks and brackets in names, and waits for the last thread', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-proc-'));
    directories.push(directory);
    const stat = (id: number, state: string, threads: number) =>
      `${id} (a ) Z b) ${state} ${'0 '.repeat(16)}${threads} 0 55 0\n`;
    const standIn = new ProcessWitness(directory);
    await mkdir(join(directory, 'self/ns'), { recursive: true });
    await mkdir(join(directory, 'sys/kernel/random'), { recursive: true });
    await mkdir(join(directory, '9'));
    await writeFile(join(directory, 'sys/kernel/random/boot_id'), 'boot\n');
    await writeFile(join(directory, 'self/stat'), stat(process.pid, 'R', 1));
    await symlink('pid:[1]', join(directory, 'self/ns/pid'));
    await writeFile(join(directory, '9/stat'), stat(9, 'S', 2));
    const seen = identified(standIn, { processId: 9, startTicks: '55' });
    await writeFile(join(directory, '9/stat'), stat(9, 'Z', 2));
    expect(standIn.lookFor(seen)).toBe('running');
    await writeFile(join(directory, '9/stat'), stat(9, 'Z', 1));
    expect(standIn.lookFor(seen)).toBe('gone');
  });

  it('proves nothing of a process that is hidden from /proc, yet takes signals', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'isobar-proc-'));
    directories.push(directory);
    for (const name of ['self', 'sys']) await symlink(`/proc/${name}`, join(directory, name));
    const hiding = new ProcessWitness(directory);
    const seen = identified(witness, await tell(process.pid));
    expect(hiding.lookFor(seen)).toBe('unknown');
  });
});
