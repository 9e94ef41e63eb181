import type { Bus } from '@isobar/bus';

/**
 * Leaves a server by which the store has not been reached for a while. After a partition a server can
 * stay without its cluster's streams for long, while others serve them.
 */
export class StorePatience {
  readonly #bus: Pick<Bus, 'leaveServer'>;
  readonly #patienceMs: number;
  readonly #onFailure: (cause: unknown) => void;
  readonly #now: () => number;
  #reachedAtMs: number;

  /** @param onFailure the server could not be left; it is tried again after as long */
  constructor(
    bus: Pick<Bus, 'leaveServer'>,
    patienceMs: number,
    onFailure: (cause: unknown) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#bus = bus;
    this.#patienceMs = patienceMs;
    this.#onFailure = onFailure;
    this.#now = now;
    this.#reachedAtMs = now();
  }

  reached(): void {
    this.#reachedAtMs = this.#now();
  }

  failed(): void {
    if (this.#now() - this.#reachedAtMs < this.#patienceMs) return;
    // The next server has as much time.
    this.reached();
    this.#bus.leaveServer().catch(this.#onFailure);
  }
}
