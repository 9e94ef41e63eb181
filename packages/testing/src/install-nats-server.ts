import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from './debian-package.js';

const run = promisify(execFile);
/** Pinned: a test's result should not change by itself. */
const version = 'v2.15.2';
const buildDeadlineMs = 600_000;

/**
 * Path of a current nats-server, built with Go into the project's cache.
 * @returns null where there is no Go
 */
export async function installNatsServer(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  cache: string = cacheDirectory,
): Promise<string | null> {
  const installed = installedNatsServer(cache);
  if (installed !== null) return installed;
  const folder = folderIn(cache);
  const folders = (environment.PATH ?? '').split(delimiter);
  if (!folders.some((each) => existsSync(join(each, 'go')))) return null;
  await run('go', ['install', `github.com/nats-io/nats-server/v2@${version}`], {
    env: { ...environment, GOBIN: folder },
    timeout: buildDeadlineMs,
  });
  return installedNatsServer(cache);
}

/** Path of the current nats-server that was built before, null where none was. */
export function installedNatsServer(cache: string = cacheDirectory): string | null {
  const executable = join(folderIn(cache), 'nats-server');
  return existsSync(executable) ? executable : null;
}

function folderIn(cache: string): string {
  return join(cache, `nats-server-${version}`);
}
