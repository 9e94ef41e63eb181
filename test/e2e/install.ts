import { fileURLToPath } from 'node:url';
import { bundleServices } from '@isobar/testing';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the processes as they are shipped. */
    readonly installed: string;
  }
}

const bundler = fileURLToPath(new URL('../../scripts/bundle.js', import.meta.url));

/** Bundles the processes once for all tests of a project; afterwards removes them. */
export default async function install(project: TestProject): Promise<() => Promise<void>> {
  const { directory, remove } = await bundleServices(bundler);
  project.provide('installed', directory);
  return remove;
}
