import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  type DurableRankState,
  decode,
  digestSchema,
  emptyDurableRankState,
  encode,
  fenceSchema,
  IsobarError,
  incarnationSchema,
  knownOutcomeSchema,
  reasonSchema,
  schemaField,
  versionSchema,
} from '@isobar/protocol';
import { z } from 'zod';

const fileSchema = z.object({
  ...schemaField,
  fence: fenceSchema.nullable(),
  votedUpTo: versionSchema,
  vote: z
    .object({
      version: versionSchema,
      digest: digestSchema,
      base: z.object({ version: versionSchema, digest: digestSchema }),
      incarnation: incarnationSchema,
      yes: z.boolean(),
      reason: reasonSchema,
    })
    .nullable(),
  outcomes: z.array(knownOutcomeSchema).max(4_096),
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
      const { schema: _, ...state } = decode('agent state', await readFile(this.#path), fileSchema);
      return state;
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
      await writeThrough(draft, encode({ schema: 1, ...state }));
      await rename(draft, this.#path);
      await syncFolder(folder);
    } catch (cause) {
      throw this.#failed('written', cause);
    }
  }

  #failed(what: string, cause: unknown): IsobarError {
    const text = `the agent's state can't be ${what} at ${this.#path}`;
    return new IsobarError('ISOBAR_AGENT_STATE', text, { path: this.#path }, { cause });
  }
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
