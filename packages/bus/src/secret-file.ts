import { type FileHandle, open } from 'node:fs/promises';
import { IsobarError } from '@isobar/protocol';

/** Of contexts, keys and certificates. */
const defaultBytesMax = 65_536;
/** Read, write and execute of everybody but the owner. */
const othersMask = 0o077;
const groupReads = 0o040;

/** Whose a file is, and who may use it. */
export interface FileAccess {
  readonly mode: number;
  readonly ownerId: number;
}

/** A file's content, and its access at the moment of reading. */
export interface SmallFile extends FileAccess {
  readonly content: string;
}

/**
 * @throws IsobarError ISOBAR_BUS_FILE_UNREADABLE naming the file, where it is missing, no file or
 *   too large
 */
export async function readSmallFile(path: string, bytesMax = defaultBytesMax): Promise<SmallFile> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(path, 'r');
    // Of the open file: the path may name another by now.
    const found = await handle.stat();
    if (!found.isFile()) throw unreadable(path, 'it is no file');
    if (found.size > bytesMax) throw unreadable(path, `it is over ${bytesMax} bytes`);
    const content = await handle.readFile('utf8');
    return { content, mode: found.mode & 0o7777, ownerId: found.uid };
  } catch (cause) {
    if (cause instanceof IsobarError) throw cause;
    throw unreadable(path, cause instanceof Error ? cause.message : String(cause), cause);
  } finally {
    await handle?.close();
  }
}

/**
 * A secret is its owner's alone. Of one that is root's a group may read as well, where this process is
 * not root's: so does root hand it over, as volumes of Kubernetes with `fsGroup` and systemd's
 * credentials do.
 * @param userId this process's
 * @throws IsobarError ISOBAR_BUS_SECRET_EXPOSED naming file and mode, where others may use it
 */
export function assertPrivate(
  path: string,
  { mode, ownerId }: FileAccess,
  userId = process.getuid?.() ?? 0,
): void {
  const isHandedOver = ownerId === 0 && userId !== 0;
  if ((mode & othersMask & ~(isHandedOver ? groupReads : 0)) === 0) return;
  const octal = mode.toString(8).padStart(4, '0');
  const text = `${path} has mode ${octal}: others may use it; a secret's mode is 0600 or 0400, or 0440 where it is root's and this process is not`;
  throw new IsobarError('ISOBAR_BUS_SECRET_EXPOSED', text, { file: path, mode: octal });
}

/** @throws IsobarError ISOBAR_BUS_SECRET_EXPOSED, ISOBAR_BUS_FILE_UNREADABLE */
export async function readSecretFile(path: string, bytesMax = defaultBytesMax): Promise<string> {
  const { content, ...access } = await readSmallFile(path, bytesMax);
  assertPrivate(path, access);
  return content;
}

function unreadable(path: string, why: string, cause?: unknown): IsobarError {
  const text = `${path} can't be read: ${why}`;
  return new IsobarError('ISOBAR_BUS_FILE_UNREADABLE', text, { file: path }, { cause });
}
