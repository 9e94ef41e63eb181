import { readFile, stat } from 'node:fs/promises';
import { EplbError, ExpertMapping, uniformSlotOffsets } from '@isobar/eplb';
import { IsobarError } from '@isobar/protocol';

export interface MappingSizes {
  readonly numLayers: number;
  readonly numLogicalExperts: number;
  readonly numRanks: number;
  readonly numPhysicalExperts: number;
}

const fileBytesMax = 2 ** 26;

/**
 * Reads the mapping in force: what `isobar export` prints, what `isobar plan` writes, or SGLang's
 * expert location. Slots are even over the ranks unless the file says otherwise.
 * @throws IsobarError ISOBAR_CLI_CURRENT_MAPPING naming file, and field or layer and slot
 */
export async function readCurrentMapping(
  path: string,
  sizes: MappingSizes,
): Promise<ExpertMapping> {
  const file = parseObject(await readText(path), path);
  const { field, rows } = findRows(file, path);
  const { numLayers, numLogicalExperts } = sizes;
  if (rows.length !== numLayers) {
    throw refuse(path, `${field} has ${rows.length} layers, and the loads ${numLayers}`, { field });
  }
  assertExperts(file.get('numLogicalExperts'), numLogicalExperts, path);
  try {
    return ExpertMapping.create({
      numLayers,
      numLogicalExperts,
      slotOffsets: readSlotOffsets(file, sizes, path),
      physicalToLogical: Int32Array.from(
        rows.flatMap((row, layer) => readRow(row, layer, field, sizes, path)),
      ),
    });
  } catch (cause) {
    if (!(cause instanceof EplbError)) throw cause;
    throw refuse(path, cause.message, cause.fields, cause);
  }
}

function refuse(
  file: string,
  what: string,
  fields: Readonly<Record<string, unknown>>,
  cause?: unknown,
): IsobarError {
  const text = `${file}: ${what}`;
  return new IsobarError('ISOBAR_CLI_CURRENT_MAPPING', text, { file, ...fields }, { cause });
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= fileBytesMax) return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw refuse(path, `can't be read: ${why}`, {}, cause);
  }
  throw refuse(path, `is longer than ${fileBytesMax} bytes`, { limitBytes: fileBytesMax });
}

function parseObject(text: string, path: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse(path, 'is not JSON', {}, cause);
  }
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
}

function findRows(file: ReadonlyMap<string, unknown>, path: string) {
  for (const field of ['physical_to_logical_map', 'physicalToLogical']) {
    const rows = file.get(field);
    if (Array.isArray(rows)) return { field, rows: rows as readonly unknown[] };
  }
  const what = 'needs physical_to_logical_map or physicalToLogical, [layers][slots]';
  throw refuse(path, what, { field: 'physical_to_logical_map' });
}

function assertExperts(said: unknown, numLogicalExperts: number, path: string): void {
  if (said === undefined || said === numLogicalExperts) return;
  const what = `numLogicalExperts is ${JSON.stringify(said)}, and the loads have ${numLogicalExperts}`;
  throw refuse(path, what, { field: 'numLogicalExperts' });
}

function readRow(
  row: unknown,
  layer: number,
  field: string,
  { numLogicalExperts, numPhysicalExperts }: MappingSizes,
  path: string,
): readonly number[] {
  if (!Array.isArray(row) || row.length !== numPhysicalExperts) {
    const found = Array.isArray(row) ? `has ${row.length} slots` : 'is not a list of slots';
    throw refuse(path, `layer ${layer} ${found}, not ${numPhysicalExperts}`, { field, layer });
  }
  const slot = row.findIndex(
    (expert) => !Number.isInteger(expert) || expert < -1 || expert >= numLogicalExperts,
  );
  if (slot < 0) return row;
  const what = `layer ${layer}, slot ${slot}: ${JSON.stringify(row[slot])} is none of ${numLogicalExperts} experts`;
  throw refuse(path, what, { field, layer, slot });
}

function readSlotOffsets(
  file: ReadonlyMap<string, unknown>,
  { numRanks, numPhysicalExperts }: MappingSizes,
  path: string,
): Int32Array {
  const field = file.has('slot_offsets') ? 'slot_offsets' : 'slotOffsets';
  const offsets = file.get(field);
  if (offsets === undefined) return uniformSlotOffsets(numPhysicalExperts, numRanks);
  const isList = Array.isArray(offsets) && offsets.length === numRanks + 1;
  const falls = (offset: unknown, rank: number, list: readonly unknown[]) =>
    !Number.isInteger(offset) || Number(offset) < Number(list[rank - 1] ?? 0);
  if (isList && offsets[0] === 0 && offsets[numRanks] === numPhysicalExperts) {
    if (!offsets.some(falls)) return Int32Array.from(offsets);
  }
  const what = `${field} is not ${numRanks} + 1 slots, rising from 0 to ${numPhysicalExperts}`;
  throw refuse(path, what, { field });
}
