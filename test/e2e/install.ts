import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
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
  const folder = await mkdtemp(join(tmpdir(), 'isobar-installed-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const out = join(folder, 'bundle');
    await run(process.execPath, [script, '--out', out, '--with-reference-engine']);
    project.provide('installed', out);
  } catch (error) {
    await remove();
    throw error;
  }
  return remove;
}
