import { ExpertMapping } from '@isobar/eplb';
import { z } from 'zod';
import { changeSchema } from './change.js';
import { decode, encode } from './codec.js';
import { fenceSchema } from './fence.js';
import { IsobarError } from './isobar-error.js';
import { membersSchema } from './member.js';
import {
  digestSchema,
  int32ArraySchema,
  limits,
  reasonSchema,
  schemaField,
  versionSchema,
} from './schemas.js';
import { versionInForceSchema } from './version-in-force.js';

/** A mapping as it travels whole: shapes as in ExpertMapping. */
export const wholeMappingSchema = z.object({
  numLayers: z.number().int().min(1).max(limits.layers),
  numLogicalExperts: z.number().int().min(1).max(limits.logicalExperts),
  slotOffsets: int32ArraySchema,
  physicalToLogical: int32ArraySchema,
});

export type WholeMapping = Readonly<z.infer<typeof wholeMappingSchema>>;

const committedSchema = z.object({
  ...schemaField,
  outcome: z.literal('committed'),
  version: versionSchema,
  fence: fenceSchema,
  change: changeSchema,
  reason: reasonSchema,
  /** The version that this one was planned and voted against. */
  base: versionInForceSchema,
  digest: digestSchema,
  mapping: wholeMappingSchema,
  members: membersSchema,
  /** Versions decided void since the base: they outrank a contradicting record. */
  voided: z.array(versionSchema).max(4_096),
});

const voidSchema = z.object({
  ...schemaField,
  outcome: z.literal('void'),
  version: versionSchema,
  fence: fenceSchema,
  reason: reasonSchema,
});

export const mapRecordSchema = z.discriminatedUnion('outcome', [committedSchema, voidSchema]);

/** The record `map.N`: the outcome of version N, decided once (rule S1). */
export type MapRecord = Readonly<z.infer<typeof mapRecordSchema>>;
export type CommittedRecord = Readonly<z.infer<typeof committedSchema>>;
export type VoidRecord = Readonly<z.infer<typeof voidSchema>>;

export function encodeMapRecord(record: MapRecord): Uint8Array {
  return encode(record);
}

/** Records that have been read, by their bytes, which nobody writes into: a rank keeps them for long. */
const decoded = new WeakMap<Uint8Array, MapRecord>();

/**
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED, also where a committed record's mapping is
 *   not valid or does not have the digest that the record says
 */
export function decodeMapRecord(bytes: Uint8Array): MapRecord {
  const known = decoded.get(bytes);
  if (known !== undefined) return known;
  const record = readMapRecord(bytes);
  decoded.set(bytes, record);
  return record;
}

function readMapRecord(bytes: Uint8Array): MapRecord {
  const record = decode('map record', bytes, mapRecordSchema);
  if (record.outcome === 'committed' && mappingOfRecord(record).digest() !== record.digest) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_MALFORMED',
      `map record ${record.version} does not have the digest that it says`,
      { message: 'map record', field: 'digest', version: record.version },
    );
  }
  return record;
}

export function wholeMapping(mapping: ExpertMapping): WholeMapping {
  const { numLayers, numLogicalExperts, slotOffsets, physicalToLogical } = mapping;
  return { numLayers, numLogicalExperts, slotOffsets, physicalToLogical };
}

/** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED where the mapping is not valid */
export function mappingFromWhole(whole: WholeMapping): ExpertMapping {
  try {
    return ExpertMapping.create(whole);
  } catch (cause) {
    throw new IsobarError(
      'ISOBAR_PROTOCOL_MALFORMED',
      'a mapping in a message is not valid',
      { message: 'mapping', field: 'mapping' },
      { cause },
    );
  }
}

export function mappingOfRecord(record: CommittedRecord): ExpertMapping {
  return mappingFromWhole(record.mapping);
}
