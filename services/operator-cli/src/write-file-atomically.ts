import { open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { IsobarError } from '@isobar/protocol';

/**
 * Writes a file that readers see whole or not at all. What is no ordinary file (a pipe, a device)
 * is written to as it is.
 * @throws IsobarError ISOBAR_CLI_OUTPUT naming the file
 */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  try {
    const target = await realpath(path).catch(() => path);
    const found = await stat(target).catch(() => null);
    if (found !== null && !found.isFile()) await writeFile(target, text);
    else await replaceFile(target, text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const fields = { file: path };
    throw new IsobarError('ISOBAR_CLI_OUTPUT', `${path}: can't be written: ${why}`, fields, {
      cause,
    });
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  try {
    const handle = await open(draft, 'w');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
