import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory, fetchDebianPackage, findExecutable } from './debian-package.js';
import { testingError } from './testing-error.js';

const run = promisify(execFile);
const natsServer = { name: 'nats-server', folder: 'usr/sbin' };

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
  const found = findExecutable(natsServer, environment.PATH ?? '', cache);
  if (found !== null) return found;
  const attempts: unknown[] = [];
  for (const fetch of [() => fetchDebianPackage(natsServer, cache), () => fetchWithBrew()]) {
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

async function fetchWithBrew(): Promise<string> {
  await run('brew', ['install', natsServer.name]);
  const { stdout } = await run('brew', ['--prefix', natsServer.name]);
  return join(stdout.trim(), 'bin', natsServer.name);
}
