import { bundledIsobar, bundledScripts, type ServiceScripts } from '@isobar/testing';
import { inject } from 'vitest';

const directory = inject('installed');

/** The command line as it is installed. */
export const installedIsobar: string = bundledIsobar(directory);

/** The services likewise: what is shipped is what is tested. */
export const installedScripts: ServiceScripts = bundledScripts(directory);
