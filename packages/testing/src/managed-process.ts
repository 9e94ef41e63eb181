import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { ProcessGuard } from './process-guard.js';
import { testingError } from './testing-error.js';

export interface ManagedProcessOptions {
  readonly name: string;
  /** The executable and its arguments. */
  readonly command: readonly string[];
  readonly guard: ProcessGuard;
  /** Standard error and output go there. */
  readonly logPath: string;
  /** Over its owner's; undefined: without that variable. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** A line that says the process is up. */
  readonly isReady: (line: string) => boolean;
}

/** Last lines kept for the error of a process that ended unasked. */
const lastLinesMax = 20;

/** A child process in a group of its own: a terminal's Ctrl-C reaches only its owner. */
export class ManagedProcess {
  readonly name: string;
  readonly logPath: string;
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];
  readonly #exited: Promise<number | null>;
  readonly #ready: Promise<string>;
  #killed = false;

  constructor(options: ManagedProcessOptions) {
    const { name, command, guard, logPath, environment, isReady } = options;
    const [executable = '', ...args] = command;
    this.name = name;
    this.logPath = logPath;
    this.#child = spawn(executable, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    const { pid } = this.#child;
    if (pid !== undefined) guard.watch(pid);
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#keep(String(error));
        resolve(null);
      });
      this.#child.once('close', (code) => {
        if (pid !== undefined) guard.unwatch(pid);
        resolve(code);
      });
    });
    this.#ready = this.#readLines(isReady);
    // Awaited by `ready`; a process whose readiness nobody awaits may end as it likes.
    this.#ready.catch(() => undefined);
  }

  #readLines(isReady: (line: string) => boolean): Promise<string> {
    const log = createWriteStream(this.logPath, { flags: 'a' });
    const ready = new Promise<string>((resolve, reject) => {
      for (const stream of [this.#child.stdout, this.#child.stderr]) {
        if (stream === null) continue;
        createInterface({ input: stream }).on('line', (line) => {
          this.#keep(line);
          log.write(`${line}\n`);
          if (isReady(line)) resolve(line);
        });
      }
      void this.#exited.then((code) => {
        log.end();
        reject(this.ended(code));
      });
    });
    return ready;
  }

  #keep(line: string): void {
    this.#lastLines.push(line);
    if (this.#lastLines.length > lastLinesMax) this.#lastLines.shift();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The exit code, null after a signal. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The error that tells of this process's end, with its last words. */
  ended(code: number | null): Error {
    const { name, logPath } = this;
    const text = `${name} has ended with ${code ?? this.#child.signalCode}:\n${this.#lastLines.join('\n')}`;
    return testingError('ISOBAR_TESTING_PROCESS_ENDED', text, { name, code, logPath });
  }

  /**
   * Resolves with the line that said so.
   * @throws IsobarError ISOBAR_TESTING_PROCESS_ENDED, ISOBAR_TESTING_NOT_READY
   */
  async ready(deadlineMs: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const { name, logPath } = this;
        const text = `${name} is not ready after ${deadlineMs} ms:\n${this.#lastLines.join('\n')}`;
        reject(testingError('ISOBAR_TESTING_NOT_READY', text, { name, logPath, deadlineMs }));
      }, deadlineMs);
    });
    try {
      return await Promise.race([this.#ready, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(name);
  }

  /** Whether `kill` ended it. */
  get killed(): boolean {
    return this.#killed;
  }

  /** SIGKILL; resolves once the process has ended. */
  async kill(): Promise<void> {
    this.#killed ||= this.isRunning;
    this.signal('SIGKILL');
    await this.#exited;
  }

  /** SIGSTOP: it does nothing, but its connections stay, until `resume`. */
  pause(): void {
    this.signal('SIGSTOP');
  }

  resume(): void {
    this.signal('SIGCONT');
  }

  /** SIGTERM, also to a paused process, and SIGKILL after the deadline. */
  async stop(deadlineMs: number): Promise<number | null> {
    this.signal('SIGTERM');
    this.resume();
    const timer = setTimeout(() => this.signal('SIGKILL'), deadlineMs);
    const code = await this.#exited;
    clearTimeout(timer);
    return code;
  }
}
