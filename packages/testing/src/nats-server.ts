import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { locateNatsServer } from './locate-nats-server.js';
import { ManagedProcess } from './managed-process.js';
import type { ProcessGuard } from './process-guard.js';

/** A server's place in a cluster of servers. */
export interface NatsClusterPlace {
  /** Name of the cluster, the same for all of its servers. */
  readonly cluster: string;
  /** For the routes of the other servers. */
  readonly routePort: number;
  /** Route URLs of all servers. */
  readonly routes: readonly string[];
}

export interface NatsServerOptions {
  /** Folder for its log and, by default, its store; made where it is not there. */
  readonly directory: string;
  /** Folder for its JetStream store. @default `store` in `directory` */
  readonly storeDirectory?: string;
  readonly guard: ProcessGuard;
  /** Of the process and of the server. @default nats-server */
  readonly name?: string;
  /** Address to listen on. @default 127.0.0.1 */
  readonly host?: string;
  /** @default a free one */
  readonly port?: number;
  readonly place?: NatsClusterPlace;
  /** Command that runs the server's, as `ip netns exec NAME` does. */
  readonly commandPrefix?: readonly string[];
  /** Configuration file, which says where records are kept; where it listens is said here. */
  readonly configuration?: string;
  /** Path of the server. @default `locateNatsServer` */
  readonly executable?: string;
}

const readyDeadlineMs = 15_000;
const stopDeadlineMs = 5_000;

/** A private nats-server with JetStream, with a store of its own. */
export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly process: ManagedProcess;
  stop(): Promise<void>;
}

/**
 * @throws IsobarError ISOBAR_TESTING_NATS_SERVER_MISSING, ISOBAR_TESTING_PROCESS_ENDED,
 *   ISOBAR_TESTING_NOT_READY
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { directory, guard, name = 'nats-server', host = '127.0.0.1', commandPrefix } = options;
  const command = options.executable ?? (await locateNatsServer());
  await mkdir(directory, { recursive: true });
  let port = options.port ?? 0;
  const server = new ManagedProcess({
    name,
    command: [...(commandPrefix ?? []), command, ...serverArguments(options, name, host)],
    guard,
    logPath: join(directory, `${name}.log`),
    isReady: (line) => {
      const listening = /client connections on .*:(\d+)$/.exec(line)?.[1];
      if (listening !== undefined) port = Number(listening);
      return line.includes('Server is ready');
    },
  });
  await server.ready(readyDeadlineMs);
  const stop = async () => {
    await server.stop(stopDeadlineMs);
  };
  return { url: `nats://${host}:${port}`, port, process: server, stop };
}

function serverArguments(options: NatsServerOptions, name: string, host: string): string[] {
  const { directory, storeDirectory = join(directory, 'store'), port = -1, place } = options;
  const { configuration } = options;
  // The server refuses to be told of its store twice.
  const records =
    configuration === undefined ? ['-js', '-sd', storeDirectory] : ['-c', configuration];
  const own = ['-n', name, '-a', host, '-p', String(port), ...records];
  if (place === undefined) return own;
  const { cluster, routePort, routes } = place;
  const listen = `nats://${host}:${routePort}`;
  return [...own, '--cluster_name', cluster, '--cluster', listen, '--routes', routes.join(',')];
}
