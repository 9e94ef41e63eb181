import type { KnownOutcome } from './known-outcome.js';
import { decodeMapRecord, type MapRecord } from './map-record.js';

/** A version's outcome, its record's bytes and what they say. */
export interface DecidedVersion {
  readonly known: KnownOutcome;
  readonly record: MapRecord;
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, ISOBAR_PROTOCOL_SCHEMA_VERSION */
export function readDecidedVersion(bytes: Uint8Array): DecidedVersion {
  const record = decodeMapRecord(bytes);
  const { version, outcome } = record;
  return { known: { version, outcome, record: bytes }, record };
}

export function sameBytes(left: Uint8Array | null, right: Uint8Array | null): boolean {
  if (left === null || right === null) return left === right;
  return Buffer.compare(left, right) === 0;
}
