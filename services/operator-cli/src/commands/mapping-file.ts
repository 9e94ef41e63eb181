import { open } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { type ImportedMapping, IsobarError, importedMappingSchema } from '@isobar/protocol';

/** What a coordinator takes as one question. */
const fileBytesMax = 8_388_608;

/**
 * Reads a mapping as `isobar export` prints it.
 * @param path - is standard input
 * @throws IsobarError ISOBAR_CLI_MAPPING_FILE naming file and field
 */
export async function readMappingFile(path: string): Promise<ImportedMapping> {
  const name = path === '-' ? 'standard input' : path;
  let value: unknown;
  try {
    value = JSON.parse(path === '-' ? await text(process.stdin) : await readText(path));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw refuse(name, '', `can't be read as JSON: ${why}`, cause);
  }
  const parsed = importedMappingSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw refuse(name, issue?.path.join('.') ?? '', issue?.message ?? 'is invalid');
}

async function readText(path: string): Promise<string> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > fileBytesMax) throw new RangeError(`it has over ${fileBytesMax} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function refuse(file: string, field: string, why: string, cause?: unknown): IsobarError {
  const message = `${file}${field === '' ? '' : `, field ${field}`}: ${why}`;
  return new IsobarError('ISOBAR_CLI_MAPPING_FILE', message, { file, field }, { cause });
}
