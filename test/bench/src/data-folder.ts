import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Captured loads: where ISOBAR_DATA says, or beside the project; null where there are none. */
export const dataFolder: string | null =
  [
    process.env.ISOBAR_DATA,
    fileURLToPath(new URL('../../../../shared/data', import.meta.url)),
  ].find((folder) => folder !== undefined && existsSync(folder)) ?? null;
