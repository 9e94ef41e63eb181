import { setTimeout as delay } from 'node:timers/promises';
import { type DurableRankState, IsobarError } from '@isobar/protocol';

export interface PatientStateOptions {
  readonly save: (state: DurableRankState) => Promise<void>;
  readonly retryMs: number;
  /** Told at every attempt that found the disk full. */
  readonly onFull: (error: IsobarError, isFirst: boolean) => void;
  /** The state is on disk after all. */
  readonly onSpace: () => void;
}

/** Saves an agent's state, and where the disk is full for as long as that takes. */
export class PatientState {
  readonly #options: PatientStateOptions;
  readonly #stopping = new AbortController();
  #isFull = false;

  constructor(options: PatientStateOptions) {
    this.#options = options;
  }

  /** A state waits for space. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * Resolves once the state is on disk, or when stopped.
   * @throws IsobarError what `save` throws but ISOBAR_AGENT_DISK_FULL
   */
  async save(state: DurableRankState): Promise<void> {
    const { save, retryMs, onFull, onSpace } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        await save(state);
        const wasFull = this.#isFull;
        this.#isFull = false;
        if (wasFull) onSpace();
        return;
      } catch (error) {
        if (!(error instanceof IsobarError) || error.code !== 'ISOBAR_AGENT_DISK_FULL') throw error;
        const isFirst = !this.#isFull;
        this.#isFull = true;
        onFull(error, isFirst);
      }
      await this.#wait(retryMs);
    }
  }

  /** Waits for nothing any more: whoever saves must not act on what was not saved. */
  stop(): void {
    this.#stopping.abort();
  }

  async #wait(forMs: number): Promise<void> {
    const { signal } = this.#stopping;
    try {
      await delay(forMs, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
