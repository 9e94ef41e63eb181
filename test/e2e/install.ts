import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ProcessGuard } from '@isobar/testing';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the processes as they are shipped. */
    readonly installed: string;
  }
}

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../scripts/bundle.js', import.meta.url));

/** Bundles the processes once for all tests of a project; afterwards removes them. */
export default async function install(project: TestProject): Promise<() => Promise<void>> {
  const guard = new ProcessGuard();
  const folder = await mkdtemp(join(tmpdir(), 'isobar-installed-'));
  guard.removeAtEnd(folder);
  try {
    const out = join(folder, 'bundle');
    await run(process.execPath, [script, '--out', out, '--with-reference-engine']);
    project.provide('installed', out);
  } catch (error) {
    await guard.close();
    throw error;
  }
  return () => guard.close();
}
