import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { locateNatsServer } from './locate-nats-server.js';
import { ManagedProcess } from './managed-process.js';
import type { ProcessGuard } from './process-guard.js';

export interface NatsServerOptions {
  /** Folder for its store and log, made where it is not there. */
  readonly directory: string;
  readonly guard: ProcessGuard;
  /** @default a free one */
  readonly port?: number;
  /** Configuration file, which says where records are kept; where it listens is said here. */
  readonly configuration?: string;
  /** Path of the server. @default `locateNatsServer` */
  readonly executable?: string;
}

const readyDeadlineMs = 15_000;
const stopDeadlineMs = 5_000;

/** A private nats-server with JetStream on the loopback interface, with a store of its own. */
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
  const { directory, guard, port: wanted, configuration } = options;
  const command = options.executable ?? (await locateNatsServer());
  await mkdir(directory, { recursive: true });
  let port = wanted ?? 0;
  const server = new ManagedProcess({
    name: 'nats-server',
    command,
    args: [
      ...['-a', '127.0.0.1', '-p', String(wanted ?? -1)],
      // The server refuses to be told of its store twice.
      ...(configuration === undefined
        ? ['-js', '-sd', join(directory, 'store')]
        : ['-c', configuration]),
    ],
    guard,
    logPath: join(directory, 'nats-server.log'),
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
  return { url: `nats://127.0.0.1:${port}`, port, process: server, stop };
}
