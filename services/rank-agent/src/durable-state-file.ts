import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import {
  bytesSchema,
  type DurableRankState,
  decode,
  decodeKnownOutcome,
  durableRankStateSchema,
  emptyDurableRankState,
  encode,
  IsobarError,
  schemaField,
} from '@isobar/protocol';
import { z } from 'zod';
import { isCoded, nodeDisk, type StateDisk } from './state-disk.js';
import { StateLock, type StateLockOptions } from './state-lock.js';

/** Raised whenever a reader of the format before would misread the file, or the other way about. */
const format = 3;

const fileSchema = z.object({
  ...schemaField,
  format: z.literal(format, `must be ${format}: another version of Isobar wrote the file`),
  /** SHA-256 of the content: a disk may give back other bytes than it was given. */
  checksum: bytesSchema,
  content: bytesSchema,
});

export interface DurableStateFileOptions extends Omit<StateLockOptions, 'path'> {
  readonly directory: string;
  readonly deployment: string;
  readonly rank: number;
  /** @default the machine's */
  readonly disk?: StateDisk;
}

/**
 * What an agent keeps across restarts (rules S3, S6), in one file that is replaced whole. It is
 * on disk before `save` resolves, and nothing is acted on before that.
 *
 * A new state is a draft, complete and synced, before it takes the file's place. So a crash leaves
 * the state before or the new one, and a draft that is found was never acted on: it is removed. What
 * is in the file may have been acted on, so where it can't be read nothing older stands in for it.
 * Each holder of the lock has a draft of its own, and the next holder removes it before it reads the
 * file: one that was paused amid a save can neither write into the file in force nor replace it.
 */
export class DurableStateFile {
  readonly #path: string;
  readonly #draft: string;
  readonly #lock: StateLock;
  readonly #disk: StateDisk;

  private constructor(path: string, lock: StateLock, disk: StateDisk) {
    this.#path = path;
    this.#draft = `${path}.${lock.id}.new`;
    this.#lock = lock;
    this.#disk = disk;
  }

  /**
   * Held by one process at a time, until it is closed.
   * @throws IsobarError ISOBAR_AGENT_STATE_IN_USE, ISOBAR_AGENT_STATE, ISOBAR_AGENT_DISK_FULL
   */
  static async open(options: DurableStateFileOptions): Promise<DurableStateFile> {
    const { directory, deployment, rank, disk = nodeDisk, ...locking } = options;
    const path = join(directory, `${deployment}-${rank}.state`);
    let lock: StateLock | null = null;
    try {
      await disk.makeFolder(directory);
      lock = await StateLock.acquire({ path: `${path}.lock`, ...locking });
      await removeDrafts(disk, path);
      return new DurableStateFile(path, lock, disk);
    } catch (cause) {
      await lock?.release();
      throw cause instanceof IsobarError ? cause : failed('locked', path, cause);
    }
  }

  close(): Promise<void> {
    return this.#lock.release();
  }

  /**
   * The state last saved; the empty one where nothing was.
   * @throws IsobarError ISOBAR_AGENT_STATE: an agent that can't read what it promised must not
   *   start as if it had promised nothing
   */
  async load(): Promise<DurableRankState> {
    try {
      const bytes = await this.#disk.read(this.#path);
      return bytes === null ? emptyDurableRankState : readState(bytes);
    } catch (cause) {
      throw failed('read', this.#path, cause);
    }
  }

  /**
   * @throws IsobarError ISOBAR_AGENT_STATE_IN_USE, ISOBAR_AGENT_STATE, ISOBAR_AGENT_DISK_FULL: the
   *   state may be the one before or this one, and is to be saved anew before anything is acted on
   */
  async save(state: DurableRankState): Promise<void> {
    const disk = this.#disk;
    try {
      // Of a save that has failed.
      await disk.remove(this.#draft);
      await disk.create(this.#draft, writeState(state));
      await this.#lock.assertHeld();
      await disk.rename(this.#draft, this.#path);
      await disk.syncFolder(dirname(this.#path));
    } catch (cause) {
      if (cause instanceof IsobarError) throw cause;
      throw failed('written', this.#path, cause);
    }
  }
}

async function removeDrafts(disk: StateDisk, path: string): Promise<void> {
  const folder = dirname(path);
  const [start, end] = [`${basename(path)}.`, '.new'];
  for (const name of await disk.list(folder)) {
    if (name.startsWith(start) && name.endsWith(end)) await disk.remove(join(folder, name));
  }
}

function failed(what: string, path: string, cause: unknown): IsobarError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `the agent's state can't be ${what} at ${path}: ${why}`;
  const isFull = isCoded(cause, 'ENOSPC', 'EDQUOT');
  const code = isFull ? 'ISOBAR_AGENT_DISK_FULL' : 'ISOBAR_AGENT_STATE';
  return new IsobarError(code, text, { path }, { cause });
}

function writeState(state: DurableRankState): Uint8Array {
  const content = encode(state);
  return encode({ schema: 1, format, checksum: checksumOf(content), content });
}

function readState(bytes: Uint8Array): DurableRankState {
  if (bytes.byteLength === 0) throw new Error('the file is empty');
  const { checksum, content } = decode('agent state', bytes, fileSchema);
  if (Buffer.compare(checksum, checksumOf(content)) !== 0) {
    throw new Error('the file is damaged: its content is not that of its checksum');
  }
  const state = decode('agent state', content, durableRankStateSchema);
  for (const known of state.outcomes) decodeKnownOutcome(known);
  return state;
}

function checksumOf(content: Uint8Array): Uint8Array {
  return createHash('sha256').update(content).digest();
}
