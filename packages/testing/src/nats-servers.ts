import { join } from 'node:path';
import { freePorts } from './free-ports.js';
import type { ManagedProcess } from './managed-process.js';
import { type NatsServer, startNatsServer } from './nats-server.js';
import type { Placement } from './placement.js';
import type { ProcessGuard } from './process-guard.js';

export interface NatsServersOptions {
  /** Of one server, or of a JetStream cluster of several. */
  readonly numServers: number;
  /** Folder for the folders of all servers. */
  readonly directory: string;
  readonly guard: ProcessGuard;
  readonly placementOf: (name: string) => Placement;
  /** Folder for a server's store. @default in the server's own folder */
  readonly storeDirectoryOf?: (name: string) => string;
  /** Configuration file of a single server, which names its store. */
  readonly configuration?: string;
  /** Path of the server. @default `locateNatsServer` */
  readonly executable?: string;
}

interface ServerPorts {
  readonly host: string;
  readonly port: number;
  readonly routePort: number;
}

/** `nats-0` and on: each keeps its ports and its store when it is started again. */
export class NatsServers {
  readonly #options: NatsServersOptions;
  readonly #ports: readonly ServerPorts[];
  readonly #servers = new Map<number, NatsServer>();

  private constructor(options: NatsServersOptions, ports: readonly ServerPorts[]) {
    this.#options = options;
    this.#ports = ports;
  }

  /** Chooses ports; nothing runs yet. @throws IsobarError ISOBAR_TESTING_PORTS */
  static async prepare(options: NatsServersOptions): Promise<NatsServers> {
    const ports: ServerPorts[] = [];
    for (let index = 0; index < options.numServers; index += 1) {
      const { host } = options.placementOf(natsServerName(index));
      const [port = 0, routePort = 0] = await freePorts(2);
      ports.push({ host, port, routePort });
    }
    return new NatsServers(options, ports);
  }

  get urls(): string[] {
    return this.#ports.map(({ host, port }) => `nats://${host}:${port}`);
  }

  /** Starts all of them together: each waits for a majority before it takes writes. */
  async startAll(): Promise<void> {
    await Promise.all(this.#ports.map((_, index) => this.start(index)));
  }

  /** Starts one, again on the same ports and store after it has ended. */
  async start(index: number): Promise<void> {
    const own = this.#ports[index];
    const name = natsServerName(index);
    if (own === undefined) throw new Error(`no server ${name} in the cluster`);
    const { directory, guard, placementOf, storeDirectoryOf, configuration, executable } =
      this.#options;
    const { host, commandPrefix } = placementOf(name);
    const { port, routePort } = own;
    const routes = this.#ports.map((other) => `nats://${other.host}:${other.routePort}`);
    const server = await startNatsServer({
      directory: join(directory, name),
      guard,
      name,
      host,
      port,
      commandPrefix,
      ...(storeDirectoryOf === undefined ? {} : { storeDirectory: storeDirectoryOf(name) }),
      ...(configuration === undefined ? {} : { configuration }),
      ...(executable === undefined ? {} : { executable }),
      ...(routes.length === 1 ? {} : { place: { cluster: 'isobar', routePort, routes } }),
    });
    this.#servers.set(index, server);
  }

  /** Null where it was never started. */
  process(index: number): ManagedProcess | null {
    return this.#servers.get(index)?.process ?? null;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.stop()));
  }
}

export function natsServerName(index: number): string {
  return `nats-${index}`;
}
