import { mkdir, open, readFile, rename } from 'node:fs/promises';
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

/** Raised whenever a reader of the format before would misread the file, or the other way about. */
const format = 2;

const fileSchema = z.object({
  ...schemaField,
  format: z.literal(format, `must be ${format}: another version of Isobar wrote the file`),
  ...durableRankStateSchema.shape,
});

/**
 * What an agent keeps across restarts (rules S3, S6), in one file that is replaced whole. It is
 * on disk before `save` resolves.
 */
export class DurableStateFile {
  readonly #path: string;

  constructor(directory: string, deployment: string, rank: number) {
    this.#path = join(directory, `${deployment}-${rank}.state`);
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
      throw this.#failed('read', cause);
    }
  }

  /** @throws IsobarError ISOBAR_AGENT_STATE */
  async save(state: DurableRankState): Promise<void> {
    const folder = dirname(this.#path);
    const draft = `${this.#path}.new`;
    try {
      await mkdir(folder, { recursive: true });
      await writeThrough(draft, encode({ schema: 1, format, ...state }));
      await rename(draft, this.#path);
      await syncFolder(folder);
    } catch (cause) {
      throw this.#failed('written', cause);
    }
  }

  #failed(what: string, cause: unknown): IsobarError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `the agent's state can't be ${what} at ${this.#path}: ${why}`;
    return new IsobarError('ISOBAR_AGENT_STATE', text, { path: this.#path }, { cause });
  }
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
