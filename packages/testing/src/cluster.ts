import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Trace, writeTrace } from '@isobar/trace';
import { ManagedProcess } from './managed-process.js';
import { type NatsServer, startNatsServer } from './nats-server.js';
import { ProcessGuard } from './process-guard.js';

/** Scripts of the services; a library does not know where they are. */
export interface ServiceScripts {
  readonly engine: string;
  readonly agent: string;
  readonly coordinator: string;
}

/** A nats-server that asks for credentials, and those of each process. */
export interface ClusterSecurity {
  /** Configuration file of the server. */
  readonly serverConfiguration: string;
  /** Path of a process's context file, by its name: `agent-0`, `coordinator-0`. */
  readonly contextOf: (name: string) => string;
}

export interface ClusterOptions {
  readonly scripts: ServiceScripts;
  readonly deployment: string;
  readonly numRanks: number;
  /** Slots of a layer over all ranks. */
  readonly numPhysicalExperts: number;
  /** Topology file's text. */
  readonly topology: string;
  /** The trace to serve, or the path of one. */
  readonly trace: string | Trace;
  /** Draws the model's weights into a folder. */
  readonly writeCheckpoint: (directory: string) => Promise<void>;
  readonly activation: 'two-table' | 'in-place';
  /** Settings of every engine over the defaults. */
  readonly engine?: Readonly<Record<string, unknown>>;
  /** Settings of one rank's engine over all others. */
  readonly engineOfRank?: (rank: number) => Readonly<Record<string, unknown>>;
  /** Settings of the coordinator over the defaults. */
  readonly coordinator?: Readonly<Record<string, unknown>>;
  /**
   * Writes credentials into a folder that is not there yet, for a server that keeps its records in
   * `storeDirectory`. @default none: anybody may do anything
   */
  readonly secure?: (directory: string, storeDirectory: string) => Promise<ClusterSecurity>;
  /** For each service to say that it serves. @default 90,000 */
  readonly readyDeadlineMs?: number;
  /** Told what is being started, for people who wait. */
  readonly onProgress?: (text: string) => void;
}

const stopDeadlineMs = 20_000;

/**
 * A whole deployment in processes on this machine: a private nats-server, a coordinator, and
 * per rank an agent and a reference engine. Nothing of it outlives its owner.
 */
export class Cluster {
  readonly options: ClusterOptions;
  /** Folder of everything that the cluster writes; gone after `close`. */
  readonly directory: string;
  readonly #guard: ProcessGuard;
  readonly #processes = new Map<string, ManagedProcess>();
  #nats: NatsServer | null = null;
  #security: ClusterSecurity | null = null;

  private constructor(options: ClusterOptions, directory: string, guard: ProcessGuard) {
    this.options = options;
    this.directory = directory;
    this.#guard = guard;
  }

  /** @throws IsobarError of the process that failed to start; nothing is left running */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const guard = new ProcessGuard();
    const directory = await mkdtemp(join(tmpdir(), 'isobar-'));
    guard.removeAtEnd(directory);
    const cluster = new Cluster(options, directory, guard);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { onProgress, numRanks, topology, trace, writeCheckpoint } = this.options;
    for (const folder of ['sockets', 'checkpoint', 'results', 'settings', 'logs', 'agents']) {
      await mkdir(join(this.directory, folder));
    }
    await writeFile(this.topologyPath, topology);
    if (typeof trace !== 'string') await writeTrace(this.tracePath, trace);
    const secured = this.options.secure?.(
      join(this.directory, 'credentials'),
      join(this.directory, 'nats', 'store'),
    );
    this.#security = (await secured) ?? null;
    onProgress?.('starting a private nats-server');
    await this.startNats();
    onProgress?.('drawing the weights of the model');
    await writeCheckpoint(this.checkpointDirectory);
    onProgress?.(`starting ${numRanks} engines and agents, and the coordinator`);
    const ranks = Array.from({ length: numRanks }, (_, rank) => rank);
    await Promise.all([
      ...ranks.flatMap((rank) => [this.startEngine(rank), this.startAgent(rank)]),
      this.startCoordinator(),
    ]);
  }

  get natsUrl(): string {
    return this.#nats?.url ?? '';
  }

  get resultsDirectory(): string {
    return join(this.directory, 'results');
  }

  get checkpointDirectory(): string {
    return join(this.directory, 'checkpoint');
  }

  get tracePath(): string {
    const { trace } = this.options;
    return typeof trace === 'string' ? trace : join(this.directory, 'trace.jsonl');
  }

  get topologyPath(): string {
    return join(this.directory, 'topology.yaml');
  }

  /** `engine-0`, `agent-0`, `coordinator`. */
  process(name: string): ManagedProcess {
    const found = this.#processes.get(name);
    if (found === undefined) throw new Error(`no process ${name} in the cluster`);
    return found;
  }

  /** Starts the nats-server, again on the same port and store after it was stopped. */
  async startNats(): Promise<void> {
    const port = this.#nats?.port;
    this.#nats = await startNatsServer({
      directory: join(this.directory, 'nats'),
      guard: this.#guard,
      ...(port === undefined ? {} : { port }),
      ...(this.#security === null ? {} : { configuration: this.#security.serverConfiguration }),
    });
  }

  stopNats(): Promise<void> {
    return this.#nats?.stop() ?? Promise.resolve();
  }

  /** Setting of a process that connects to NATS. */
  #identity(name: string): Readonly<Record<string, unknown>> {
    return this.#security === null ? {} : { context: this.#security.contextOf(name) };
  }

  async startEngine(rank: number): Promise<void> {
    const { deployment, numRanks, numPhysicalExperts, activation } = this.options;
    await this.#startService(`engine-${rank}`, this.options.scripts.engine, {
      deployment,
      rank,
      numRanks,
      listen: this.#engineAddress(rank),
      peerDirectory: join(this.directory, 'sockets'),
      checkpointDirectory: this.checkpointDirectory,
      resultsDirectory: this.resultsDirectory,
      trace: this.tracePath,
      numPhysicalExperts,
      activation,
      ...this.options.engine,
      ...this.options.engineOfRank?.(rank),
    });
  }

  #engineAddress(rank: number): string {
    return `unix:${join(this.directory, 'sockets', `engine-${rank}.sock`)}`;
  }

  async startAgent(rank: number): Promise<void> {
    await this.#startService(`agent-${rank}`, this.options.scripts.agent, {
      deployment: this.options.deployment,
      rank,
      servers: [this.natsUrl],
      engine: this.#engineAddress(rank),
      stateDirectory: join(this.directory, 'agents'),
      ...this.#identity(`agent-${rank}`),
    });
  }

  async startCoordinator(): Promise<void> {
    await this.#startService('coordinator', this.options.scripts.coordinator, {
      deployment: this.options.deployment,
      servers: [this.natsUrl],
      topology: this.topologyPath,
      ...this.#identity('coordinator-0'),
      ...this.options.coordinator,
    });
  }

  async #startService(
    name: string,
    script: string,
    settings: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const path = join(this.directory, 'settings', `${name}.json`);
    await writeFile(path, JSON.stringify(settings));
    const service = new ManagedProcess({
      name,
      command: process.execPath,
      args: [script, path],
      guard: this.#guard,
      logPath: join(this.directory, 'logs', `${name}.log`),
      isReady: saysServing,
    });
    this.#processes.set(name, service);
    await service.ready(this.options.readyDeadlineMs ?? 90_000);
  }

  /**
   * Ends the engines together, after a step that all of them finish.
   * @throws IsobarError ISOBAR_TESTING_PROCESS_ENDED where one did not end by itself
   */
  async stopEngines(): Promise<void> {
    const engines = [...this.#processes.values()].filter(({ name }) => name.startsWith('engine-'));
    await Promise.all(
      engines.map(async (engine) => {
        const code = await engine.stop(stopDeadlineMs);
        if (code !== 0) throw engine.ended(code);
      }),
    );
  }

  /** Stops every process and removes the folder. */
  async close(): Promise<void> {
    const running = [...this.#processes.values()].filter((service) => service.isRunning);
    await Promise.all(running.map((service) => service.stop(stopDeadlineMs)));
    await this.stopNats();
    await this.#guard.close();
  }
}

/** A service logs one line with this message once it does its work. */
function saysServing(line: string): boolean {
  return line.includes('"msg":"serving"');
}
