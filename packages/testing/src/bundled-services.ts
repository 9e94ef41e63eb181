import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServiceScripts } from './cluster.js';
import { ProcessGuard } from './process-guard.js';

const execute = promisify(execFile);
const bundleDeadlineMs = 300_000;

/** The processes as they are shipped, in a folder that is removed however this process ends. */
export interface BundledServices {
  readonly directory: string;
  remove(): Promise<void>;
}

/**
 * Bundles the services as they are installed: they start in a third of the time that their modules
 * take, and what is built anew meanwhile changes none of them.
 * @param bundler the project's script that bundles
 * @throws Error with what it said, or after five minutes
 */
export async function bundleServices(bundler: string): Promise<BundledServices> {
  const guard = new ProcessGuard();
  const parent = await mkdtemp(join(tmpdir(), 'isobar-bundled-'));
  guard.removeAtEnd(parent);
  const directory = join(parent, 'services');
  try {
    const args = [bundler, '--out', directory, '--with-reference-engine'];
    await execute(process.execPath, args, { timeout: bundleDeadlineMs });
  } catch (error) {
    await guard.close();
    throw error;
  }
  return { directory, remove: () => guard.close() };
}

/** The command line in a folder of bundled services. */
export function bundledIsobar(directory: string): string {
  return join(directory, 'isobar.js');
}

export function bundledScripts(directory: string): ServiceScripts {
  const isobar = bundledIsobar(directory);
  return {
    engine: [join(directory, 'reference-engine.js')],
    agent: [isobar, 'agent'],
    coordinator: [isobar, 'coordinator'],
  };
}
