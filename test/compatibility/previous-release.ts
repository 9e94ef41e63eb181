import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ServiceScripts } from '@isobar/testing';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const cache = join(root, '.cache', 'releases');
const deadlineMs = 300_000;
const archiveBytesMax = 256 * 2 ** 20;

/** The release before this one: what runs beside it during an upgrade. */
export const previousRelease = {
  version: '0.1.0',
  commit: '8d2153c29c15dc185bf2caa9f44c7269c4f906bd',
} as const;

/** Processes of a release, and its command line. */
export interface Release {
  readonly scripts: ServiceScripts;
  readonly isobar: string;
}

/** Whether the history at hand holds the previous release; a copy without history does not. */
export async function hasPreviousRelease(): Promise<boolean> {
  const { commit } = previousRelease;
  try {
    await run('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: root });
    return true;
  } catch {
    return false;
  }
}

/** Builds the previous release from the history, once, into the project's cache. */
export async function buildPreviousRelease(): Promise<Release> {
  const { version, commit } = previousRelease;
  const folder = join(cache, `${version}-${commit.slice(0, 12)}`);
  if (!existsSync(folder)) await buildInto(folder, commit);
  const service = (name: string) => [join(folder, 'services', name, 'dist', 'main.js')];
  return {
    scripts: {
      engine: service('reference-engine'),
      agent: service('rank-agent'),
      coordinator: service('coordinator'),
    },
    isobar: join(folder, 'services', 'operator-cli', 'bin', 'isobar.js'),
  };
}

async function buildInto(folder: string, commit: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'build-'));
  try {
    const options = { maxBuffer: archiveBytesMax, encoding: 'buffer' } as const;
    const { stdout } = await run('git', ['archive', commit], { ...options, cwd: root });
    const archive = join(scratch, 'release.tar');
    await writeFile(archive, stdout);
    await run('tar', ['-xf', archive, '-C', scratch]);
    await rm(archive);
    const within = { cwd: scratch, timeout: deadlineMs };
    await run('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], within);
    await run('npx', ['--no-install', 'tsc', '-b'], within);
    await rename(scratch, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
