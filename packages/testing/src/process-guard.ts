import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a guard is told, one JSON line each. */
export type GuardOrder =
  | { readonly watch: number }
  | { readonly unwatch: number }
  | { readonly directory: string };

/**
 * Sees to it that processes and folders never outlive this process, however it ends: a child in
 * a session of its own waits for the end of its input, which comes even after SIGKILL, and then
 * kills and removes what it was told of.
 */
export class ProcessGuard {
  readonly #guard: ChildProcess;

  constructor() {
    const script = fileURLToPath(new URL('./process-guard-main.js', import.meta.url));
    this.#guard = spawn(process.execPath, [script], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#guard.unref();
    // Its end is noticed by nobody but us, and only matters while we give orders.
    this.#guard.stdin?.on('error', () => undefined);
  }

  watch(pid: number): void {
    this.#order({ watch: pid });
  }

  /** The process has ended: its number may become another's. */
  unwatch(pid: number): void {
    this.#order({ unwatch: pid });
  }

  /** The folder is removed at the end, with all that is in it. */
  removeAtEnd(directory: string): void {
    this.#order({ directory });
  }

  #order(order: GuardOrder): void {
    this.#guard.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  /** Ends the guard: kills what it still watches and removes its folders. */
  async close(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      if (this.#guard.exitCode !== null || this.#guard.signalCode !== null) resolve();
      else this.#guard.once('exit', () => resolve());
    });
    // Unreferenced so far, lest it keep its owner alive; now its end is awaited.
    this.#guard.ref();
    this.#guard.stdin?.end();
    await ended;
  }
}
