import type { Records } from '@isobar/bus';
import { IsobarError, readDecidedVersion } from '@isobar/protocol';

const mapPrefix = 'map.';

/** Versions that have a record, from the newest down. @throws IsobarError those of the bus */
export async function storedVersions(records: Records): Promise<number[]> {
  const keys = await records.keys(mapPrefix);
  return keys
    .map((key) => Number(key.slice(mapPrefix.length)))
    .filter((version) => Number.isSafeInteger(version) && version >= 0)
    .sort((a, b) => b - a);
}

/** Not for a record that can't be read: the machine finds that out by itself. */
export function isCommittedRecord(bytes: Uint8Array): boolean {
  try {
    return readDecidedVersion(bytes).known.outcome === 'committed';
  } catch (error) {
    if (error instanceof IsobarError) return false;
    throw error;
  }
}
