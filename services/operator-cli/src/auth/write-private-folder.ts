import { lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { IsobarError } from '@isobar/protocol';

const folderMode = 0o700;
const fileMode = 0o600;

/**
 * Writes a folder, whole or not at all, that nobody but its owner may read.
 * @param files contents by path within the folder
 * @throws IsobarError ISOBAR_CLI_AUTH_EXISTS where something is there already: it is never changed;
 *   ISOBAR_CLI_OUTPUT
 */
export async function writePrivateFolder(
  path: string,
  files: ReadonlyMap<string, string>,
): Promise<void> {
  await assertFree(path);
  const draft = `${path}.${process.pid}.draft`;
  try {
    await mkdir(draft, { mode: folderMode });
    for (const [name, content] of files) {
      const file = join(draft, name);
      await mkdir(dirname(file), { mode: folderMode, recursive: true });
      await writeFile(file, content, { mode: fileMode, flag: 'wx' });
    }
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true });
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `${path}: can't be written: ${why}`;
    throw new IsobarError('ISOBAR_CLI_OUTPUT', text, { file: path }, { cause });
  }
}

async function assertFree(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new IsobarError('ISOBAR_CLI_OUTPUT', `${path}: ${error.message}`, { file: path });
  });
  if (found === null) return;
  const text = `${path} is there already: keys in use are not overwritten; name another folder`;
  throw new IsobarError('ISOBAR_CLI_AUTH_EXISTS', text, { file: path });
}
