import { basename, dirname } from 'node:path';
import type { StateDisk } from '@isobar/rank-agent';

export class Crash extends Error {}

interface Inode {
  bytes: Uint8Array;
  /** What is certain to be there after a crash; null before it was ever synced. */
  synced: Uint8Array | null;
}

type Names = ReadonlyMap<string, Inode>;
type NameChange = (names: Map<string, Inode>) => void;

/** A fault of the disk itself. */
export interface DiskFaults {
  /** Syncs of files, or of folders, do nothing. */
  readonly lies?: 'files' | 'folders';
}

/**
 * One folder of a file system as POSIX allows it to be after a crash: what was not synced may be there
 * whole, in part, as zeros or not at all, and of changes of names any may be there without those before
 * it. Each step of each operation is a place to crash at.
 */
export class CrashingDisk implements StateDisk {
  readonly #faults: DiskFaults;
  #names = new Map<string, Inode>();
  #syncedNames: Names = new Map();
  #pending: NameChange[] = [];
  /** Steps left until the crash; null: none comes. */
  stepsLeft: number | null = null;
  steps = 0;
  /** Files that can't be written beyond so many bytes. */
  bytesMax = Number.POSITIVE_INFINITY;
  /** Awaited before each rename. */
  beforeRename: () => Promise<void> = () => Promise.resolve();

  constructor(faults: DiskFaults = {}) {
    this.#faults = faults;
  }

  get names(): string[] {
    return [...this.#names.keys()];
  }

  /** Changes the bytes of a file where they lie. */
  damage(name: string, change: (bytes: Uint8Array) => Uint8Array): void {
    const inode = this.#names.get(name);
    if (inode === undefined) throw new Error(`there is no ${name}`);
    inode.bytes = change(inode.bytes);
    inode.synced = inode.bytes;
  }

  #step(): void {
    this.steps += 1;
    if (this.stepsLeft === null) return;
    if (this.stepsLeft === 0) throw new Crash();
    this.stepsLeft -= 1;
  }

  #change(change: NameChange): void {
    this.#step();
    change(this.#names);
    this.#pending.push(change);
  }

  async read(path: string): Promise<Uint8Array | null> {
    return this.#names.get(basename(path))?.bytes ?? null;
  }

  async list(): Promise<readonly string[]> {
    return this.names;
  }

  async makeFolder(): Promise<void> {}

  async create(path: string, bytes: Uint8Array): Promise<void> {
    if (this.#names.has(basename(path))) throw coded('EEXIST');
    const inode: Inode = { bytes: new Uint8Array(0), synced: null };
    this.#change((names) => names.set(basename(path), inode));
    for (const length of [1, bytes.length >> 1, bytes.length - 1, bytes.length]) {
      this.#step();
      inode.bytes = bytes.slice(0, Math.min(length, this.bytesMax));
      if (length > this.bytesMax) throw coded('ENOSPC');
    }
    this.#step();
    if (this.#faults.lies !== 'files') inode.synced = inode.bytes;
    this.#step();
  }

  async rename(from: string, to: string): Promise<void> {
    await this.beforeRename();
    const inode = this.#names.get(basename(from));
    if (inode === undefined) throw coded('ENOENT');
    this.#change((names) => {
      names.delete(basename(from));
      names.set(basename(to), inode);
    });
  }

  async remove(path: string): Promise<void> {
    if (this.#names.has(basename(path))) this.#change((names) => names.delete(basename(path)));
  }

  async syncFolder(path: string): Promise<void> {
    this.#step();
    if (dirname(path) === path) throw new Error('not a folder of this disk');
    if (this.#faults.lies === 'folders') return;
    this.#syncedNames = new Map(this.#names);
    this.#pending = [];
    this.#step();
  }

  /** Every disk that there may be after a crash now. */
  *afterCrash(): Generator<CrashingDisk> {
    const pending = this.#pending;
    for (let kept = 0; kept < 2 ** pending.length; kept += 1) {
      const names = new Map(this.#syncedNames);
      pending.forEach((change, index) => {
        if ((kept >> index) & 1) change(names);
      });
      for (const contents of contentsOf([...names])) {
        const disk = new CrashingDisk(this.#faults);
        for (const [name, bytes] of contents) {
          disk.#names.set(name, { bytes, synced: bytes });
        }
        disk.#syncedNames = new Map(disk.#names);
        yield disk;
      }
    }
  }
}

/** Every combination of what files may hold after a crash. */
function* contentsOf(
  files: readonly (readonly [string, Inode])[],
): Generator<readonly (readonly [string, Uint8Array])[]> {
  const [first, ...others] = files;
  if (first === undefined) {
    yield [];
    return;
  }
  const [name, { bytes, synced }] = first;
  const unsure = [0, bytes.length >> 1, bytes.length].map((length) => bytes.slice(0, length));
  const contents = synced === null ? [...unsure, new Uint8Array(bytes.length)] : [synced];
  for (const rest of contentsOf(others)) {
    for (const content of contents) yield [[name, content], ...rest];
  }
}

function coded(code: string): Error {
  return Object.assign(new Error(code), { code });
}
