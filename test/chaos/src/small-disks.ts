import { mkdir, mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { natsServerName } from '@isobar/testing';
import { numNatsServers } from './chaos-cluster.js';
import { isGone, runCommand, withoutRoot } from './run-command.js';

const prefix = 'isobar-chaos-disks-';
const diskMegabytes = 64;
const fillerName = 'filler';

/** For each server a disk of its own, small enough to be filled. */
export class SmallDisks {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Why there can be none on this machine; null where there can. */
  static missing(): string | null {
    return withoutRoot('a small disk');
  }

  static async create(): Promise<SmallDisks> {
    await removeLeftovers();
    const disks = new SmallDisks(await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`)));
    for (let index = 0; index < numNatsServers; index += 1) {
      const directory = disks.directoryOf(natsServerName(index));
      await mkdir(directory);
      await runCommand('mount', '-t', 'tmpfs', '-o', `size=${diskMegabytes}m`, 'tmpfs', directory);
    }
    return disks;
  }

  /** For Cluster's option: the store of that server. */
  directoryOf(serverName: string): string {
    return join(this.#directory, serverName);
  }

  /** Leaves no byte free on that server's disk. */
  async fill(serverName: string): Promise<void> {
    const filler = await open(join(this.directoryOf(serverName), fillerName), 'w');
    const block = new Uint8Array(65_536);
    try {
      for (;;) await filler.write(block);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      await filler.close();
    }
  }

  async free(serverName: string): Promise<void> {
    await rm(join(this.directoryOf(serverName), fillerName));
  }

  async remove(): Promise<void> {
    await removeDisks(this.#directory);
  }
}

/** Of runs that were killed: nothing else unmounts them. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && isGone(Number(owner))) await removeDisks(join(tmpdir(), name));
  }
}

async function removeDisks(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const mounts = await runCommand('mount');
    if (mounts.includes(` on ${join(directory, name)} `)) {
      await runCommand('umount', join(directory, name));
    }
  }
  await rm(directory, { recursive: true, force: true });
}
