import { setTimeout as delay } from 'node:timers/promises';
import type { Bus, Records } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';
import { type Acknowledgements, probeIntervalMs } from './acknowledgements.js';
import { awaitServer } from './await-server.js';

export interface StoreProberOptions {
  /** The one server that this prober writes through. */
  readonly server: string;
  readonly bucket: string;
  readonly replicas: number;
  /** Key of its own. */
  readonly key: string;
  readonly acknowledgements: Acknowledgements;
}

const writeTimeoutMs = 1_000;
const value = new Uint8Array([1]);

/** Writes to the records' stream again and again, and tells when a write was acknowledged. */
export class StoreProber {
  readonly #options: StoreProberOptions;
  readonly #bus: Bus;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  private constructor(options: StoreProberOptions, bus: Bus) {
    this.#options = options;
    this.#bus = bus;
  }

  static async start(options: StoreProberOptions): Promise<StoreProber> {
    const { server, key } = options;
    const prober = new StoreProber(options, await awaitServer(server, key));
    prober.#running = prober.#run();
    return prober;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let records: Records | null = null;
    let revision: number | null = null;
    while (!signal.aborted) {
      try {
        records ??= await this.#openRecords();
        revision = await this.#write(records, revision);
      } catch (error) {
        // No answer, or a refusal: no acknowledgement, and the next attempt begins by a read.
        if (!(error instanceof IsobarError)) throw error;
        revision = null;
      }
      await delay(probeIntervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #openRecords(): Promise<Records> {
    const { bucket, replicas } = this.#options;
    return this.#bus.openRecords({ bucket, replicas, timeoutMs: writeTimeoutMs });
  }

  /** @returns the revision to expect next, null where it must be read */
  async #write(records: Records, expected: number | null): Promise<number | null> {
    const { key, acknowledgements } = this.#options;
    const revision = expected ?? (await records.get(key))?.revision ?? 0;
    const written = await records.compareAndSet(key, value, revision);
    if (written.kind !== 'set') return null;
    acknowledgements.add(performance.now());
    return written.revision;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#bus.close();
    await this.#running;
  }
}
