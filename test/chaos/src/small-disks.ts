import { mkdir, mkdtemp, open, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { natsServerName } from '@isobar/testing';
import { numNatsServers } from './chaos-cluster.js';
import { isGone, runCommand, withoutRoot } from './run-command.js';

const prefix = 'isobar-chaos-disks-';
/** Of this a server grants three quarters to its streams, which reserve 256 for the audit trail. */
const diskBytes = 512 * 1_048_576;
/** Left by the disk's new end, for the filler. */
const remainderBytes = 65_536;
const fillerName = 'filler';

/** For each server a disk of its own, which is filled by making it as small as what is on it. */
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
    const disks = new SmallDisks(await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`)));
    for (let index = 0; index < numNatsServers; index += 1) {
      const directory = disks.directoryOf(natsServerName(index));
      await mkdir(directory);
      await runCommand('mount', '-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', directory);
    }
    return disks;
  }

  /** Of runs that were killed: nothing else unmounts them. */
  static async removeLeftovers(): Promise<void> {
    for (const name of await readdir(tmpdir())) {
      const owner = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
      if (owner !== undefined && isGone(Number(owner))) await removeDisks(join(tmpdir(), name));
    }
  }

  /** For Cluster's option: the store of that server. */
  directoryOf(serverName: string): string {
    return join(this.#directory, serverName);
  }

  /** Leaves no byte free on that server's disk. */
  async fill(serverName: string): Promise<void> {
    const directory = this.directoryOf(serverName);
    const { blocks, bfree, bsize } = await statfs(directory);
    await resize(directory, (blocks - bfree) * bsize + remainderBytes);
    const filler = await open(join(directory, fillerName), 'w');
    const block = new Uint8Array(4_096);
    try {
      for (;;) await filler.write(block);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      await filler.close();
    }
  }

  async free(serverName: string): Promise<void> {
    const directory = this.directoryOf(serverName);
    await resize(directory, diskBytes);
    await rm(join(directory, fillerName));
  }

  async remove(): Promise<void> {
    await removeDisks(this.#directory);
  }
}

async function resize(directory: string, bytes: number): Promise<void> {
  await runCommand('mount', '-o', `remount,size=${bytes}`, directory);
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
