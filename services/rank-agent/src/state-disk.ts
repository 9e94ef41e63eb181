import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What keeping a state file asks of a file system; tests give it one that crashes. */
export interface StateDisk {
  /** Null where there is no such file. */
  read(path: string): Promise<Uint8Array | null>;
  /** Names in a folder. */
  list(folder: string): Promise<readonly string[]>;
  /** Makes a folder, and those above it, such that they outlive a crash. */
  makeFolder(path: string): Promise<void>;
  /** Writes a file that must not exist; once it resolves its content outlives a crash, not its name. */
  create(path: string, bytes: Uint8Array): Promise<void>;
  /** Puts a file in another's place, of which no crash leaves neither. */
  rename(from: string, to: string): Promise<void>;
  /** Nothing where there is no such file. */
  remove(path: string): Promise<void>;
  /** Once it resolves the folder's names outlive a crash. */
  syncFolder(path: string): Promise<void>;
}

export const nodeDisk: StateDisk = {
  async read(path) {
    try {
      return await readFile(path);
    } catch (error) {
      if (isCoded(error, 'ENOENT')) return null;
      throw error;
    }
  },
  list: (folder) => readdir(folder),
  async makeFolder(path) {
    const first = await mkdir(path, { recursive: true });
    if (first === undefined) return;
    // A folder's name lies in the one above it.
    for (let made = path; ; made = dirname(made)) {
      await syncFolder(dirname(made));
      if (made === first || made === dirname(made)) return;
    }
  },
  async create(path, bytes) {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  syncFolder,
};

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export function isCoded(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
