import { IsobarError } from '@isobar/protocol';

/**
 * Lets well-formed messages in. What can't be read is counted and dropped, and told once per
 * subject kind and code: a sender of rubbish must not fill the log.
 */
export class Intake {
  readonly #onRefused: (what: string, error: IsobarError) => void;
  readonly #counts = new Map<string, number>();

  constructor(onRefused: (what: string, error: IsobarError) => void) {
    this.#onRefused = onRefused;
  }

  /** Messages refused so far. */
  get refused(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /**
   * @param what the kind of message
   * @returns null where `read` refuses with an IsobarError; any other error is thrown on
   */
  read<T>(what: string, read: () => T): T | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      const key = `${what} ${error.code}`;
      const count = this.#counts.get(key) ?? 0;
      this.#counts.set(key, count + 1);
      if (count === 0) this.#onRefused(what, error);
      return null;
    }
  }
}
