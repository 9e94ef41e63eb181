import { decode } from '../codec.js';
import { type ControlRecord, controlRecordSchema, type Mode } from '../control-record.js';
import { type DecidedVersion, readDecidedVersion } from '../decided-version.js';
import { type Fence, isFenced } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { StoredBytes } from '../lease/lease-types.js';

/** A control record with the revision under which the store has it. */
export interface StoredControl {
  readonly record: ControlRecord;
  readonly revision: number;
}

/** What reading throws as an IsobarError is given back: who can't read a record does not lead. */
export function readable<T>(read: () => T): T | IsobarError {
  try {
    return read();
  } catch (error) {
    if (error instanceof IsobarError) return error;
    throw error;
  }
}

export function readOutcome(bytes: Uint8Array): DecidedVersion | IsobarError {
  return readable(() => readDecidedVersion(bytes));
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, ISOBAR_PROTOCOL_SCHEMA_VERSION */
export function readControl(stored: StoredBytes | null): StoredControl | null {
  if (stored === null) return null;
  const record = decode('control record', stored.bytes, controlRecordSchema);
  return { record, revision: stored.revision };
}

/** What was stored, under this fence; what nobody has said yet is at its default. */
export function controlUnder(
  fence: Fence,
  stored: ControlRecord | null,
  mode: Mode,
): ControlRecord {
  const fresh = { mode, paused: false, held: null, drained: [], slotLimits: [], dead: [] };
  return { ...fresh, parameters: {}, requests: [], ...stored, schema: 1, fence };
}

/** The highest fence of any record that refuses this one, null where none does. */
export function highestAbove(
  fence: Fence,
  maps: readonly DecidedVersion[],
  control: StoredControl | null,
): Fence | null {
  const fences = maps.map(({ record }) => record.fence);
  if (control !== null) fences.push(control.record.fence);
  const above = fences.filter((other) => isFenced(other, fence));
  return above.reduce<Fence | null>(
    (highest, other) => (other.term > (highest?.term ?? 0) ? other : highest),
    null,
  );
}
