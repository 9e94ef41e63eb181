import { setTimeout as delay } from 'node:timers/promises';
import type { ChangeAnswer, CommandEffect } from '@isobar/protocol';
import { type CoordinatorClient, isLeaderless } from '../coordinator-client.js';
import { printable } from '../drawing/fit.js';
import type { Paint } from '../terminal/paint.js';
import { RedrawnLines } from '../terminal/redrawn-lines.js';
import { progressLine, progressLines } from './render-progress.js';

const redrawMs = 250;
/** Without a terminal. */
const lookMs = 1_000;

export interface ChangeProgressOptions {
  readonly command: string;
  readonly stream: NodeJS.WriteStream;
  readonly paint: Paint;
}

/**
 * Shows how far a running command is: drawn in place on a terminal, else a line whenever wave or
 * phase change.
 */
export class ChangeProgress {
  readonly #client: CoordinatorClient;
  readonly #options: ChangeProgressOptions;
  readonly #lines: RedrawnLines;
  readonly #stopping = new AbortController();
  readonly #beganMs = performance.now();
  #effect: CommandEffect | null = null;
  #isWatching = false;
  #lineTold = '';

  constructor(client: CoordinatorClient, options: ChangeProgressOptions) {
    this.#client = client;
    this.#options = options;
    this.#lines = new RedrawnLines(options.stream);
  }

  /** The command runs on. */
  show({ effect }: ChangeAnswer): void {
    this.#effect ??= effect;
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#watch().catch((error: unknown) => {
      // Whoever waits for the command goes on without.
      if (!this.#stopping.signal.aborted) this.#options.stream.write(`no progress: ${error}\n`);
    });
  }

  /** Nothing is drawn any more. */
  stop(): void {
    this.#stopping.abort();
    this.#lines.erase();
  }

  async #watch(): Promise<void> {
    const { stream } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#look();
      const waitMs = stream.isTTY ? redrawMs : lookMs;
      await delay(waitMs, undefined, { signal });
    }
  }

  async #look(): Promise<void> {
    const { command, stream, paint } = this.#options;
    try {
      const status = printable(await this.#client.ask('status', {}));
      if (this.#stopping.signal.aborted) return;
      const elapsedMs = performance.now() - this.#beganMs;
      const running = { command, effect: this.#effect, elapsedMs };
      if (stream.isTTY) this.#lines.draw(progressLines(status, running, paint));
      else this.#say(progressLine(status, running));
    } catch (error) {
      // Whoever waits for the command itself says so where nobody leads for long.
      if (!isLeaderless(error)) throw error;
      if (!stream.isTTY) this.#say(`${command}: nobody leads at the moment`);
      else this.#lines.draw([`${command}  nobody leads at the moment`]);
    }
  }

  #say(line: string): void {
    if (line !== this.#lineTold) this.#options.stream.write(`${line}\n`);
    this.#lineTold = line;
  }
}
