import type { Random } from '@isobar/trace';
import type { Scheduler } from '../kernel/scheduler.js';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import { present } from '../present.js';
import type { Reachability } from './reachability.js';

/** What happens to messages on the way, each a probability per message. */
export interface Weather {
  lose: number;
  duplicate: number;
  /** Comes late, by up to `lateMs`: later messages overtake it. */
  delay: number;
  lateMs: number;
}

/** A process that talks over the bus, through the server that it is connected to. */
export interface BusClient {
  readonly process: VirtualProcess;
  readonly host: number;
  server: number;
  /** Looking for another server. */
  moving: boolean;
}

export interface BusServer {
  readonly process: VirtualProcess;
  readonly host: number;
}

const reconnect = { firstMs: 500, spreadMs: 3_000, againMs: 1_500 };

/** Core NATS at its worst: at most once, over servers that die and links that are cut. */
export class MessageNetwork {
  readonly servers: readonly BusServer[];
  readonly clients: BusClient[] = [];
  readonly weather: Weather = { lose: 0, duplicate: 0, delay: 0, lateMs: 0 };
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #reachability: Reachability;

  constructor(
    scheduler: Scheduler,
    random: Random,
    reachability: Reachability,
    servers: readonly BusServer[],
  ) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#reachability = reachability;
    this.servers = servers;
  }

  addClient(process: VirtualProcess, host: number): BusClient {
    const server = this.#random.integer(this.servers.length);
    const client: BusClient = { process, host, server, moving: false };
    this.clients.push(client);
    return client;
  }

  serverOf(client: BusClient): BusServer {
    return present(this.servers[client.server]);
  }

  isAttached(client: BusClient): boolean {
    const server = this.serverOf(client);
    return (
      server.process.alive &&
      !server.process.paused &&
      this.#reachability.passesBothWays(client.host, server.host)
    );
  }

  /** Servers or links have changed: clients that are cut off look for another server. */
  changed(): void {
    for (const client of this.clients) if (!this.isAttached(client)) this.#startMoving(client);
  }

  #startMoving(client: BusClient): void {
    if (client.moving) return;
    client.moving = true;
    const delayMs = reconnect.firstMs + this.#random.next() * reconnect.spreadMs;
    this.#scheduler.after(delayMs, () => this.#move(client));
  }

  #move(client: BusClient): void {
    if (!this.isAttached(client)) {
      const first = this.#random.integer(this.servers.length);
      for (let step = 0; step < this.servers.length; step += 1) {
        client.server = (first + step) % this.servers.length;
        if (this.isAttached(client)) break;
      }
    }
    client.moving = !this.isAttached(client);
    if (client.moving) this.#scheduler.after(reconnect.againMs, () => this.#move(client));
  }

  /** Milliseconds until a message arrives, at least one hop's. */
  latencyMs(): number {
    const { weather } = this;
    const usual = 0.5 + this.#random.next() * 4;
    if (weather.delay === 0 || this.#random.next() >= weather.delay) return usual;
    return usual + this.#random.next() * weather.lateMs;
  }

  #isLost(): boolean {
    return this.weather.lose > 0 && this.#random.next() < this.weather.lose;
  }

  /** From one client to whoever runs at the other when it comes. */
  send(from: BusClient, to: BusClient, receive: () => void): void {
    const entry = this.serverOf(from);
    const exit = this.serverOf(to);
    if (!entry.process.alive || !this.#reachability.passes(from.host, entry.host)) return;
    if (!this.#reachability.passes(entry.host, exit.host)) return;
    if (this.#isLost()) return;
    this.#carry(exit, to, receive);
    const { duplicate } = this.weather;
    if (duplicate > 0 && this.#random.next() < duplicate) this.#carry(exit, to, receive);
  }

  #carry(exit: BusServer, to: BusClient, receive: () => void): void {
    this.#scheduler.toAny(to.process, this.latencyMs(), () => {
      if (!exit.process.alive || this.serverOf(to) !== exit) return;
      if (this.#reachability.passes(exit.host, to.host)) receive();
    });
  }

  /**
   * From a client to one of the servers, as requests to the store go.
   * @returns false where it is lost on the way
   */
  toServer(from: BusClient, server: BusServer, receive: () => void): boolean {
    const entry = this.serverOf(from);
    if (!entry.process.alive || !this.#reachability.passes(from.host, entry.host)) return false;
    if (!this.#reachability.passes(entry.host, server.host) || this.#isLost()) return false;
    this.#scheduler.toAny(server.process, this.latencyMs(), receive);
    return true;
  }

  /**
   * The answer of a server to one life of a client.
   * @returns false where it is lost on the way
   */
  fromServer(server: BusServer, to: BusClient, life: number, receive: () => void): boolean {
    const exit = this.serverOf(to);
    if (!this.#reachability.passes(server.host, exit.host) || this.#isLost()) return false;
    this.#carry(exit, to, () => {
      if (to.process.life === life) receive();
    });
    return true;
  }
}
