import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testingError } from './testing-error.js';

const run = promisify(execFile);
const binary = 'nats-server';
const downloadDeadlineMs = 120_000;

/** The project's cache folder: nothing outside it is written. */
const cacheDirectory = fileURLToPath(new URL('../../../.cache/', import.meta.url));

/**
 * Path of a nats-server: NATS_SERVER, else from PATH, else the project's cache, else Debian's
 * package fetched into that cache (no root, no service started), else Homebrew's.
 * @throws IsobarError ISOBAR_TESTING_NATS_SERVER_MISSING saying how to get one
 */
export async function locateNatsServer(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  cache: string = cacheDirectory,
): Promise<string> {
  const named = environment.NATS_SERVER;
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw missing(`NATS_SERVER names ${named}, which is not there`);
  }
  const found = onPath(environment.PATH ?? '') ?? inCache(cache);
  if (found !== null) return found;
  const attempts: unknown[] = [];
  for (const fetch of [() => fetchWithApt(cache), () => fetchWithBrew()]) {
    try {
      return await fetch();
    } catch (cause) {
      attempts.push(cause);
    }
  }
  const why = 'no nats-server is on PATH, and neither apt-get nor brew could fetch one';
  throw missing(why, new AggregateError(attempts, 'apt-get and brew'));
}

function missing(why: string, cause?: unknown) {
  const how = 'install it (apt install nats-server, brew install nats-server, or go install';
  const text = `${why}; ${how} github.com/nats-io/nats-server/v2@latest) or name it in NATS_SERVER`;
  return testingError('ISOBAR_TESTING_NATS_SERVER_MISSING', text, {}, cause);
}

function onPath(path: string): string | null {
  // Debian installs servers where only root's PATH looks.
  const folders = [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const paths = folders.filter((folder) => folder !== '').map((folder) => join(folder, binary));
  return paths.find((candidate) => existsSync(candidate)) ?? null;
}

function cachedPath(cache: string): string {
  return join(cache, 'nats-server', 'usr', 'sbin', binary);
}

function inCache(cache: string): string | null {
  const path = cachedPath(cache);
  return existsSync(path) ? path : null;
}

async function fetchWithApt(cache: string): Promise<string> {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'fetch-'));
  try {
    await download(scratch);
    const archive = (await readdir(scratch)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) throw new Error('apt-get download left no package');
    const unpacked = join(scratch, 'unpacked');
    await run('dpkg', ['-x', join(scratch, archive), unpacked], { timeout: downloadDeadlineMs });
    await publish(unpacked, join(cache, 'nats-server'));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return cachedPath(cache);
}

async function download(scratch: string): Promise<void> {
  const options = { cwd: scratch, timeout: downloadDeadlineMs };
  try {
    await run('apt-get', ['download', binary], options);
  } catch {
    // A machine that never ran `apt-get update` has no lists; these are the project's own.
    const state = join(scratch, 'apt');
    await mkdir(join(state, 'lists', 'partial'), { recursive: true });
    await mkdir(join(state, 'cache', 'archives', 'partial'), { recursive: true });
    const own = ['-o', `Dir::State::lists=${state}/lists`, '-o', `Dir::Cache=${state}/cache`];
    await run('apt-get', [...own, 'update'], options);
    await run('apt-get', [...own, 'download', binary], options);
  }
}

async function publish(unpacked: string, target: string): Promise<void> {
  try {
    await rename(unpacked, target);
  } catch (cause) {
    // Another process of the project was first; its copy is as good.
    if (!existsSync(join(target, 'usr', 'sbin', binary))) throw cause;
  }
}

async function fetchWithBrew(): Promise<string> {
  await run('brew', ['install', binary], { timeout: downloadDeadlineMs });
  const { stdout } = await run('brew', ['--prefix', binary]);
  return join(stdout.trim(), 'bin', binary);
}
