import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const downloadDeadlineMs = 120_000;

/** The project's cache folder: nothing outside it is written. */
export const cacheDirectory: string = fileURLToPath(new URL('../../../.cache/', import.meta.url));

/** An executable that a package of Debian's holds under the package's own name. */
export interface DebianExecutable {
  /** Of the package and of the executable. */
  readonly name: string;
  /** Where the package puts it, from the root: `usr/sbin`. */
  readonly folder: string;
}

/** The executable's path on `path` (as in PATH) or in the cache; null where it is in neither. */
export function findExecutable(
  { name, folder }: DebianExecutable,
  path: string,
  cache: string = cacheDirectory,
): string | null {
  // Debian installs servers where only root's PATH looks.
  const folders = [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin']
    .filter((candidate) => candidate !== '')
    .concat(join(cache, name, folder));
  return folders.map((each) => join(each, name)).find((each) => existsSync(each)) ?? null;
}

/**
 * Fetches the package by `apt-get download` and unpacks it into the cache: no root, nothing
 * installed or started.
 * @returns the executable's path
 * @throws whatever apt-get or dpkg failed with, ENOENT where they are missing
 */
export async function fetchDebianPackage(
  executable: DebianExecutable,
  cache: string = cacheDirectory,
): Promise<string> {
  const { name, folder } = executable;
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'fetch-'));
  try {
    await download(name, scratch);
    const archive = (await readdir(scratch)).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw new Error('apt-get download left no package');
    const unpacked = join(scratch, 'unpacked');
    await run('dpkg', ['-x', join(scratch, archive), unpacked], { timeout: downloadDeadlineMs });
    await publish(unpacked, executable, cache);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return join(cache, name, folder, name);
}

async function download(name: string, scratch: string): Promise<void> {
  const options = { cwd: scratch, timeout: downloadDeadlineMs };
  try {
    await run('apt-get', ['download', name], options);
  } catch {
    // A machine that never ran `apt-get update` has no lists; these are the project's own.
    const state = join(scratch, 'apt');
    await mkdir(join(state, 'lists', 'partial'), { recursive: true });
    await mkdir(join(state, 'cache', 'archives', 'partial'), { recursive: true });
    const own = ['-o', `Dir::State::lists=${state}/lists`, '-o', `Dir::Cache=${state}/cache`];
    await run('apt-get', [...own, 'update'], options);
    await run('apt-get', [...own, 'download', name], options);
  }
}

async function publish(
  unpacked: string,
  { name, folder }: DebianExecutable,
  cache: string,
): Promise<void> {
  try {
    await rename(unpacked, join(cache, name));
  } catch (cause) {
    // Another process of the project was first; its copy is as good.
    if (!existsSync(join(cache, name, folder, name))) throw cause;
  }
}
