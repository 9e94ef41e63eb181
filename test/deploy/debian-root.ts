import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '@isobar/testing';

const run = promisify(execFile);
const deadlineMs = 900_000;
const release = 'bookworm';
const packages = ['systemd', 'systemd-sysv', 'dbus', 'procps'];

/** Why there can be no machine of its own to install on here; null where there can. */
export async function whyNoMachine(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux';
  if (await hasCommand('debootstrap')) return null;
  if (!process.env.CI) return 'it takes debootstrap';
  await run('apt-get', ['update', '-q'], { timeout: deadlineMs });
  await run('apt-get', ['install', '-q', '-y', 'debootstrap'], { timeout: deadlineMs });
  return null;
}

async function hasCommand(name: string): Promise<boolean> {
  const found = await run('which', [name]).catch(() => null);
  return found !== null;
}

/** Folder of a Debian with systemd, made in the project's cache where it is not there yet; it is only read. */
export async function debianRoot(): Promise<string> {
  const root = join(cacheDirectory, `debian-${release}`);
  if (existsSync(root)) return root;
  const draft = `${root}.${process.pid}.draft`;
  try {
    const include = `--include=${packages.join(',')}`;
    const args = ['--variant=minbase', include, release, draft];
    await run('debootstrap', args, { timeout: deadlineMs, maxBuffer: 2 ** 24 });
    await rename(draft, root);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return root;
}
