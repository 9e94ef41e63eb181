import { open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
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
import { StateLock, type StateLockOptions } from './state-lock.js';

/** Raised whenever a reader of the format before would misread the file, or the other way about. */
const format = 2;

const fileSchema = z.object({
  ...schemaField,
  format: z.literal(format, `must be ${format}: another version of Isobar wrote the file`),
  ...durableRankStateSchema.shape,
});

export interface DurableStateFileOptions extends Omit<StateLockOptions, 'path'> {
  readonly directory: string;
  readonly deployment: string;
  readonly rank: number;
}

/**
 * What an agent keeps across restarts (rules S3, S6), in one file that is replaced whole. It is
 * on disk before `save` resolves.
 */
export class DurableStateFile {
  readonly #path: string;
  readonly #lock: StateLock;

  private constructor(path: string, lock: StateLock) {
    this.#path = path;
    this.#lock = lock;
  }

  /**
   * Held by one process at a time, until it is closed.
   * @throws IsobarError ISOBAR_AGENT_STATE_IN_USE, ISOBAR_AGENT_STATE
   */
  static async open(options: DurableStateFileOptions): Promise<DurableStateFile> {
    const { directory, deployment, rank, ...locking } = options;
    const path = join(directory, `${deployment}-${rank}.state`);
    const lock = await StateLock.acquire({ path: `${path}.lock`, ...locking }).catch(
      (cause: unknown) => {
        throw cause instanceof IsobarError ? cause : failed('locked', path, cause);
      },
    );
    return new DurableStateFile(path, lock);
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
      return readState(await readFile(this.#path));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        return emptyDurableRankState;
      }
      throw failed('read', this.#path, cause);
    }
  }

  /** @throws IsobarError ISOBAR_AGENT_STATE_IN_USE, ISOBAR_AGENT_STATE: nothing was written */
  async save(state: DurableRankState): Promise<void> {
    const folder = dirname(this.#path);
    const draft = `${this.#path}.new`;
    try {
      await writeThrough(draft, encode({ schema: 1, format, ...state }));
      await this.#lock.assertHeld();
      await rename(draft, this.#path);
      await syncFolder(folder);
    } catch (cause) {
      if (cause instanceof IsobarError) throw cause;
      throw failed('written', this.#path, cause);
    }
  }
}

function failed(what: string, path: string, cause: unknown): IsobarError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `the agent's state can't be ${what} at ${path}: ${why}`;
  return new IsobarError('ISOBAR_AGENT_STATE', text, { path }, { cause });
}

function readState(bytes: Uint8Array): DurableRankState {
  const { schema: _, format: __, ...state } = decode('agent state', bytes, fileSchema);
  for (const known of state.outcomes) decodeKnownOutcome(known);
  return state;
}

async function writeThrough(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The rename itself lies in the folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
