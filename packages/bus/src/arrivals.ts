import type { NatsConnection, Subscription } from 'nats';
import { coded } from './nats-errors.js';

/** Tells that something has come on a subject; what it was is looked up elsewhere. */
export class Arrivals {
  readonly #subscription: Subscription;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#wake();
  #wake: () => void = () => undefined;
  #isTold = false;
  #failure: Error | null = null;

  /** @param signal ends every wait */
  constructor(connection: NatsConnection, subject: string, signal?: AbortSignal) {
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort);
    this.#subscription = connection.subscribe(subject, {
      callback: (error) => {
        this.#failure = error === null ? null : coded(subject, error);
        this.#isTold = true;
        this.#wake();
      },
    });
  }

  /**
   * Resolves once something has come since the last call, after mostMs at the latest.
   * @throws IsobarError ISOBAR_BUS_NOT_PERMITTED, ISOBAR_BUS_FAILED
   */
  async next(mostMs: number): Promise<void> {
    if (!this.#isTold && this.#signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, mostMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#isTold = false;
    if (this.#failure !== null) throw this.#failure;
  }

  stop(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#subscription.unsubscribe();
  }
}
