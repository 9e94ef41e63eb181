import { join } from 'node:path';
import type { ServiceScripts } from '@isobar/testing';
import { inject } from 'vitest';

const folder = inject('installed');

/** The command line as it is installed. */
export const installedIsobar: string = join(folder, 'isobar.js');

/** The services likewise: what is shipped is what is tested, and it starts in less than half the time. */
export const installedScripts: ServiceScripts = {
  engine: [join(folder, 'reference-engine.js')],
  agent: [installedIsobar, 'agent'],
  coordinator: [installedIsobar, 'coordinator'],
};
