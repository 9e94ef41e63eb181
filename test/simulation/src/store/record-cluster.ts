import type { Random } from '@isobar/trace';
import type { Scheduler } from '../kernel/scheduler.js';
import type { BusClient, BusServer, MessageNetwork } from '../network/message-network.js';
import type { Reachability } from '../network/reachability.js';
import { present } from '../present.js';
import type { RecordStore, StoredValue, WriteResult } from './record-store.js';

/** What the store does to its clients, each a probability per request. */
export interface StoreWeather {
  /** A write lands late, by up to `lateMs`: after its client has given up. */
  late: number;
  lateMs: number;
  /** A write lands, and its answer never comes. */
  silent: number;
  /** A read is answered from an older state, by up to `staleWrites` writes. */
  stale: number;
  staleWrites: number;
}

export type CreateResult =
  | { readonly kind: 'created' }
  | { readonly kind: 'exists'; readonly bytes: Uint8Array }
  | { readonly kind: 'unknown' };
export type CompareAndSetResult = WriteResult | { readonly kind: 'unknown' };
/** `failed`: no answer in time. */
export type ReadResult =
  | { readonly kind: 'read'; readonly stored: StoredValue | null }
  | { readonly kind: 'failed' };
export type ListResult =
  | { readonly kind: 'listed'; readonly values: readonly Uint8Array[] }
  | { readonly kind: 'failed' };

export interface RecordClusterOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: MessageNetwork;
  readonly reachability: Reachability;
  readonly store: RecordStore;
  /** @param replaced what the key held before, null where nothing */
  readonly onWritten: (key: string, value: Uint8Array, replaced: Uint8Array | null) => void;
  /** A fault: what must never have been written is written over. */
  readonly overwrites: boolean;
}

/** Answers that don't come within this long, by the client's clock, are given up. */
const usualTimeoutMs = 5_000;
/** After its leader is gone the stream takes no writes for so long. */
const election = { leastMs: 4_000, spreadMs: 5_000 };

/**
 * Requests to the stream's leader, one of the servers. It answers while a majority can be
 * reached; after a change of leader nobody is answered for seconds.
 */
export class RecordCluster {
  readonly #options: RecordClusterOptions;
  readonly weather: StoreWeather = { late: 0, lateMs: 0, silent: 0, stale: 0, staleWrites: 0 };
  #leader = 0;
  #stalledUntilMs = 0;
  #delayNext: { readonly prefix: string; readonly byMs: number } | null = null;
  #electing = false;

  constructor(options: RecordClusterOptions) {
    this.#options = options;
  }

  get leader(): BusServer {
    return present(this.#options.network.servers[this.#leader]);
  }

  stall(forMs: number): void {
    const { nowMs } = this.#options.scheduler;
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, nowMs + forMs);
  }

  endStall(): void {
    this.#stalledUntilMs = 0;
  }

  /** Servers or links have changed: a leader without a majority is replaced, after a while. */
  changed(): void {
    if (this.#electing || this.#leads(this.#leader)) return;
    this.#electing = true;
    const { scheduler, random } = this.#options;
    const electionMs = election.leastMs + random.next() * election.spreadMs;
    scheduler.after(electionMs, () => {
      this.#electing = false;
      const { servers } = this.#options.network;
      const next = servers.findIndex((_, index) => this.#leads(index));
      if (next >= 0) this.#leader = next;
      else this.changed();
    });
  }

  #leads(index: number): boolean {
    const { network, reachability } = this.#options;
    const server = network.servers[index];
    if (server === undefined || !server.process.alive || server.process.paused) return false;
    return network.servers.some(
      (other) =>
        other !== server &&
        other.process.alive &&
        !other.process.paused &&
        reachability.passesBothWays(server.host, other.host),
    );
  }

  get #answers(): boolean {
    return !this.#electing && this.#options.scheduler.nowMs >= this.#stalledUntilMs;
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#options.random.next() < probability;
  }

  /**
   * Sends `act` to the leader. `settle` is told its answer; or null when the client gives up, where
   * the answer is lost or late. Where a server dies with the request nothing is told: the machines
   * must not wait for ever.
   */
  #request<T>(
    client: BusClient,
    timeoutMs: number,
    act: () => T | null,
    settle: (result: T | null) => void,
  ): void {
    const { scheduler, network, random } = this.#options;
    const { process } = client;
    const { life } = process;
    const deadlineMs = scheduler.nowMs + timeoutMs / process.clockRate;
    const giveUp = () => {
      if (process.life !== life) return;
      const leftMs = Math.max(0, deadlineMs - scheduler.nowMs);
      scheduler.toLife(process, leftMs, () => settle(null));
    };
    const { leader } = this;
    const answer = () => {
      const result = act();
      const sent =
        result !== null &&
        network.fromServer(leader, client, life, () => {
          if (scheduler.nowMs < deadlineMs) settle(result);
          else settle(null);
        });
      if (!sent) giveUp();
    };
    const arrive = () => {
      if (this.#answers) answer();
      // Some requests are kept until there is a leader again, and carried out then.
      else if (this.#chance(0.5)) giveUp();
      else
        scheduler.toAny(leader.process, random.next() * 6_000, this.#answersLater(answer, giveUp));
    };
    if (!network.toServer(client, leader, arrive)) giveUp();
  }

  #answersLater(answer: () => void, giveUp: () => void): () => void {
    return () => {
      if (this.#answers) answer();
      else giveUp();
    };
  }

  compareAndSet(
    client: BusClient,
    key: string,
    value: Uint8Array,
    expectedRevision: number,
    timeoutMs: number,
    settle: (result: CompareAndSetResult) => void,
  ): void {
    const { store, scheduler, onWritten } = this.#options;
    const write = (): WriteResult => {
      const before = store.read(key, store.lastSequence);
      const result = store.write(key, value, expectedRevision);
      if (result.kind === 'set') onWritten(key, value, before?.bytes ?? null);
      return result;
    };
    const act = (): WriteResult | null => {
      const lateMs = this.#lateness(key, timeoutMs);
      if (lateMs > 0) {
        scheduler.after(lateMs, write);
        return null;
      }
      const result = write();
      return this.#chance(this.weather.silent) ? null : result;
    };
    this.#request(client, timeoutMs, act, (result) => settle(result ?? { kind: 'unknown' }));
  }

  /** How long a write is under way before it lands, 0 where it lands at once. */
  #lateness(key: string, timeoutMs: number): number {
    const delay = this.#delayNext;
    if (delay !== null && key.startsWith(delay.prefix)) {
      this.#delayNext = null;
      return delay.byMs;
    }
    if (!this.#chance(this.weather.late)) return 0;
    return timeoutMs + this.#options.random.next() * this.weather.lateMs;
  }

  /** The next write of a key that begins so lands only after so long, unanswered. */
  delayNext(prefix: string, byMs: number): void {
    this.#delayNext = { prefix, byMs };
  }

  /** A record that must never have been written; where it has been, it is told. */
  create(
    client: BusClient,
    key: string,
    value: Uint8Array,
    settle: (result: CreateResult) => void,
  ): void {
    const { overwrites, store } = this.#options;
    const expected = overwrites ? (store.read(key, store.lastSequence)?.revision ?? 0) : 0;
    this.compareAndSet(client, key, value, expected, usualTimeoutMs, (written) => {
      if (written.kind === 'set') settle({ kind: 'created' });
      else if (written.kind === 'unknown') settle({ kind: 'unknown' });
      else {
        this.read(client, key, usualTimeoutMs, (read) => {
          if (read.kind === 'failed' || read.stored === null) settle({ kind: 'unknown' });
          else settle({ kind: 'exists', bytes: read.stored.bytes });
        });
      }
    });
  }

  #asOf(): number {
    const { store, random } = this.#options;
    if (!this.#chance(this.weather.stale)) return store.lastSequence;
    return Math.max(0, store.lastSequence - random.integer(this.weather.staleWrites + 1));
  }

  /** @param timeoutMs by the client's own clock */
  read(
    client: BusClient,
    key: string,
    timeoutMs: number,
    settle: (result: ReadResult) => void,
  ): void {
    const act = () =>
      ({ kind: 'read', stored: this.#options.store.read(key, this.#asOf()) }) as const;
    this.#request(client, timeoutMs, act, (result) => settle(result ?? { kind: 'failed' }));
  }

  /**
   * Deletes what is chosen of what is there, at once where the stream has a leader. Nothing is drawn for
   * it: when it happens makes no difference, as what is old is never wanted again.
   */
  prune(prefix: string, choose: (values: readonly Uint8Array[]) => readonly string[]): void {
    if (!this.#answers) return;
    const { store } = this.#options;
    for (const key of choose(store.list(prefix, store.lastSequence))) store.purge(key);
  }

  list(client: BusClient, prefix: string, settle: (result: ListResult) => void): void {
    const act = () =>
      ({ kind: 'listed', values: this.#options.store.list(prefix, this.#asOf()) }) as const;
    this.#request(client, usualTimeoutMs, act, (result) => settle(result ?? { kind: 'failed' }));
  }
}
