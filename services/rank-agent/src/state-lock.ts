import { randomBytes } from 'node:crypto';
import { open, readFile, rename, unlink, utimes } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { IsobarError } from '@isobar/protocol';
import { z } from 'zod';
import type { ProcessWitness } from './process-witness.js';
import { isCoded } from './state-disk.js';

export interface StateLockOptions {
  readonly path: string;
  readonly witness: ProcessWitness;
  /** The holder touches the file this often. @default 1,000 */
  readonly touchMs?: number;
  /** A file that nobody touches for this long, by the taker's own clock, is stale. @default 5,000 */
  readonly staleMs?: number;
}

const holderSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  process: z
    .object({ processId: z.number().int(), startTicks: z.string(), scope: z.string() })
    .nullable(),
});
type Holder = z.infer<typeof holderSchema>;

/**
 * Lets one agent at a time keep a state file: two that write it in turn would forget each other's
 * votes (rule S3). The holder's process is looked for; where it can't be seen (another container's,
 * no /proc), the lock is stale once it is no longer touched. A holder that was paused for longer than
 * that finds the lock taken before it writes again.
 */
export class StateLock {
  /** Drawn when it was taken. */
  readonly id: string;
  readonly #path: string;
  readonly #touching: NodeJS.Timeout;
  #touchFailure: unknown = null;

  private constructor(path: string, id: string, touchMs: number) {
    this.#path = path;
    this.id = id;
    this.#touching = setInterval(() => void this.#touch(), touchMs);
    this.#touching.unref();
  }

  /**
   * In a folder that exists.
   * @throws IsobarError ISOBAR_AGENT_STATE_IN_USE naming the process that holds it
   */
  static async acquire(options: StateLockOptions): Promise<StateLock> {
    const { path, witness, touchMs = 1_000 } = options;
    const id = randomBytes(8).toString('hex');
    const holder = JSON.stringify({ id, process: witness.identifySelf() });
    while (!(await create(path, holder))) {
      const found = await readHolder(path);
      if (found !== null) await removeStale(options, found);
    }
    return new StateLock(path, id, touchMs);
  }

  /** @throws IsobarError ISOBAR_AGENT_STATE_IN_USE where another has taken the lock meanwhile */
  async assertHeld(): Promise<void> {
    if (this.#touchFailure !== null) throw this.#touchFailure;
    const found = await readHolder(this.#path);
    if (found?.id !== this.id) throw inUse(this.#path, found);
  }

  async release(): Promise<void> {
    clearInterval(this.#touching);
    const found = await readHolder(this.#path);
    if (found?.id === this.id) await unlink(this.#path);
  }

  async #touch(): Promise<void> {
    const now = new Date();
    try {
      await utimes(this.#path, now, now);
      this.#touchFailure = null;
    } catch (error) {
      // That the lock is gone is told by the next write as well.
      this.#touchFailure = isAbsent(error) ? null : error;
    }
  }
}

/** @returns false where there is a lock already */
async function create(path: string, holder: string): Promise<boolean> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    if (isCoded(error, 'EEXIST')) return null;
    throw error;
  });
  if (file === null) return false;
  try {
    await file.writeFile(holder);
    return true;
  } catch (error) {
    // A lock without its holder's name would keep everybody waiting.
    await unlink(path);
    throw error;
  } finally {
    await file.close();
  }
}

/** Null where there is none. One that is being written has no holder to be found yet. */
async function readHolder(path: string): Promise<Holder | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
  const nobody = { id: '0'.repeat(16), process: null };
  if (text === '') return nobody;
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return nobody;
  }
}

async function removeStale(options: StateLockOptions, found: Holder): Promise<void> {
  const { path, witness } = options;
  const sighting = found.process === null ? 'unknown' : witness.lookFor(found.process);
  if (sighting === 'running') throw inUse(path, found);
  if (sighting === 'unknown' && (await isTouched(options))) throw inUse(path, found);
  // Of several that find it stale one moves it away; who moves a lock that is not it puts it back.
  const away = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    await rename(path, away);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  const moved = await readHolder(away);
  if (moved?.id === found.id) return unlink(away);
  await rename(away, path);
  throw inUse(path, moved);
}

/** Whether somebody touches the lock, or takes it, while it is watched. */
async function isTouched({ path, staleMs = 5_000 }: StateLockOptions): Promise<boolean> {
  const before = await touchedAt(path);
  await delay(staleMs);
  return (await touchedAt(path)) !== before;
}

async function touchedAt(path: string): Promise<string> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (isAbsent(error)) return null;
    throw error;
  });
  if (file === null) return '';
  try {
    const { ino, mtimeMs } = await file.stat();
    return `${ino} ${mtimeMs}`;
  } finally {
    await file.close();
  }
}

function isAbsent(error: unknown): boolean {
  return isCoded(error, 'ENOENT');
}

function inUse(path: string, holder: Holder | null): IsobarError {
  const processId = holder?.process?.processId ?? null;
  const text = `another agent${processId === null ? '' : `, process ${processId},`} keeps its state under ${path}`;
  return new IsobarError('ISOBAR_AGENT_STATE_IN_USE', text, { path, processId });
}
