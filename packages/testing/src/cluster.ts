import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeLevelOf, parseTopology, TopologyError } from '@isobar/topology';
import { type Trace, writeTrace } from '@isobar/trace';
import { ManagedProcess } from './managed-process.js';
import { NatsServers, natsServerName } from './nats-servers.js';
import { loopbackPlacement, type Placement } from './placement.js';
import { ProcessGuard } from './process-guard.js';

/** Each service's script, and the words before its arguments; a library does not know where they are. */
export interface ServiceScripts {
  readonly engine: readonly string[];
  readonly agent: readonly string[];
  readonly coordinator: readonly string[];
}

/** One nats-server that asks for credentials, and those of each process. */
export interface ClusterSecurity {
  /** Configuration file of the server. */
  readonly serverConfiguration: string;
  /** Path of a process's context file, by its name: `agent-0`, `coordinator-0`, or the placeholder of all. */
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
  /** @default 1 */
  readonly numCoordinators?: number;
  /** One, or a JetStream cluster of so many. @default 1 */
  readonly numNatsServers?: number;
  /** Path of the nats-server. @default `locateNatsServer` */
  readonly natsServer?: string;
  /** Where a process runs, by its name. @default on the loopback interface */
  readonly placementOf?: (name: string) => Placement;
  /** Folder for the store of a nats-server, by its name. @default in the cluster's folder */
  readonly storeDirectoryOf?: (name: string) => string;
  /** Options of the group `nats` over the defaults. */
  readonly nats?: Readonly<Record<string, unknown>>;
  /** Options of the group `agent`, likewise. */
  readonly agent?: Readonly<Record<string, unknown>>;
  /** Options of the group `coordinator`, likewise. */
  readonly coordinator?: Readonly<Record<string, unknown>>;
  /** Options of the group `http`, likewise. */
  readonly http?: Readonly<Record<string, unknown>>;
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

/** Options by their groups in the configuration. */
export type ConfigurationGroups = Pick<ClusterOptions, 'nats' | 'coordinator' | 'agent' | 'http'>;

const stopDeadlineMs = 20_000;
/** Options in the environment of whoever starts a cluster are not the cluster's. */
const withoutOptions = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith('ISOBAR_') && name !== 'ISOBAR_LOG_LEVEL')
    .map((name) => [name, undefined]),
);
/** Copies of a record; a server more would only wait longer. */
const replicasMax = 3;

/**
 * A whole deployment in processes on this machine: private nats-servers, coordinators, and per rank
 * an agent and a reference engine. Each process has a name: `nats-0`, `coordinator-0`, `agent-0`,
 * `engine-0`. Nothing of it outlives its owner.
 */
export class Cluster {
  readonly options: ClusterOptions;
  /** Folder of everything that the cluster writes; gone after `close`. */
  readonly directory: string;
  readonly #guard: ProcessGuard;
  readonly #processes = new Map<string, ManagedProcess>();
  readonly #nats: NatsServers;
  readonly #security: ClusterSecurity | null;
  #scripts: ServiceScripts;

  private constructor(
    options: ClusterOptions,
    directory: string,
    guard: ProcessGuard,
    nats: NatsServers,
    security: ClusterSecurity | null,
  ) {
    this.options = options;
    this.#scripts = options.scripts;
    this.#nats = nats;
    this.#security = security;
    this.directory = directory;
    this.#guard = guard;
  }

  /** @throws IsobarError of the process that failed to start; nothing is left running */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const guard = new ProcessGuard();
    const directory = await mkdtemp(join(tmpdir(), 'isobar-'));
    guard.removeAtEnd(directory);
    const cluster = await Cluster.#prepare(options, directory, guard).catch(async (error) => {
      await guard.close();
      throw error;
    });
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  /** Nothing runs yet. */
  static async #prepare(
    options: ClusterOptions,
    directory: string,
    guard: ProcessGuard,
  ): Promise<Cluster> {
    const { numNatsServers: numServers = 1, storeDirectoryOf, secure, natsServer } = options;
    if (secure !== undefined && numServers > 1) {
      throw new Error('credentials are for one nats-server: routes between several have none');
    }
    const nats = {
      numServers,
      directory: join(directory, 'nats'),
      guard,
      placementOf: placementsOf(options),
      storeDirectoryOf:
        storeDirectoryOf ?? ((name: string) => join(directory, 'nats', name, 'store')),
    };
    const store = nats.storeDirectoryOf(natsServerName(0));
    const security = (await secure?.(join(directory, 'credentials'), store)) ?? null;
    const configuration = security === null ? {} : { configuration: security.serverConfiguration };
    const executable = natsServer === undefined ? {} : { executable: natsServer };
    const servers = await NatsServers.prepare({ ...nats, ...configuration, ...executable });
    return new Cluster(options, directory, guard, servers, security);
  }

  async #start(): Promise<void> {
    const {
      onProgress,
      numRanks,
      numCoordinators = 1,
      numNatsServers = 1,
      topology,
      trace,
      writeCheckpoint,
    } = this.options;
    for (const folder of ['sockets', 'checkpoint', 'results', 'settings', 'logs', 'agents']) {
      await mkdir(join(this.directory, folder));
    }
    await writeFile(this.topologyPath, topology);
    if (typeof trace !== 'string') await writeTrace(this.tracePath, trace);
    onProgress?.(
      `starting ${numNatsServers === 1 ? 'a private nats-server' : `${numNatsServers} private nats-servers`}`,
    );
    await this.#nats.startAll();
    await this.writeConfiguration();
    onProgress?.('drawing the weights of the model');
    await writeCheckpoint(this.checkpointDirectory);
    onProgress?.(
      `starting ${numRanks} engines and agents, and ${numCoordinators === 1 ? 'the coordinator' : `${numCoordinators} coordinators`}`,
    );
    const ranks = Array.from({ length: numRanks }, (_, rank) => rank);
    await Promise.all([
      ...ranks.flatMap((rank) => [this.startEngine(rank), this.startAgent(rank)]),
      ...Array.from({ length: numCoordinators }, (_, index) => this.startCoordinator(index)),
    ]);
  }

  /** Of one server per process, in the order of their names. */
  get natsUrls(): string[] {
    return this.#nats.urls;
  }

  /** Of the first server. */
  get natsUrl(): string {
    return this.natsUrls[0] ?? '';
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

  /** The newest process of that name. */
  process(name: string): ManagedProcess {
    const { kind, index } = parseName(name);
    const found = kind === 'nats' ? this.#nats.process(index) : this.#processes.get(name);
    if (found == null) throw new Error(`no process ${name} in the cluster`);
    return found;
  }

  /** Processes run these from now on, when they start: an upgrade, one by one. */
  useScripts(scripts: ServiceScripts): void {
    this.#scripts = scripts;
  }

  /** Starts a process that has ended again, as a platform would: same name, port and folders. */
  restart(name: string): Promise<void> {
    const { kind, index } = parseName(name);
    if (kind === 'nats') return this.startNatsServer(index);
    if (kind === 'coordinator') return this.startCoordinator(index);
    return kind === 'agent' ? this.startAgent(index) : this.startEngine(index);
  }

  /** Again on the same port and store after it was stopped. */
  startNatsServer(index = 0): Promise<void> {
    return this.#nats.start(index);
  }

  /** Of all agents and coordinators. */
  get configurationPath(): string {
    return join(this.directory, 'isobar.yaml');
  }

  /**
   * Writes the deployment's configuration; processes that run read it again at a SIGHUP.
   * @param over options of its groups over those of the cluster
   */
  async writeConfiguration(over: ConfigurationGroups = {}): Promise<void> {
    const { deployment, nats, coordinator, agent, http } = this.options;
    const replicas = Math.min(replicasMax, this.natsUrls.length);
    const engine = `unix:${join(this.directory, 'sockets', 'engine-{rank}.sock')}`;
    const identity =
      this.#security === null ? {} : { context: this.#security.contextOf('{process}') };
    const configuration = {
      deployment,
      topology: this.topologyPath,
      nats: { servers: this.natsUrls, ...identity, ...nats, ...over.nats },
      coordinator: { replicas, ...coordinator, ...over.coordinator },
      agent: { engine, stateDirectory: 'agents', ...agent, ...over.agent },
      // Processes of before know no such group.
      ...(http === undefined && over.http === undefined ? {} : { http: { ...http, ...over.http } }),
    };
    // JSON is YAML.
    await writeFile(this.configurationPath, `${JSON.stringify(configuration, null, 2)}\n`);
  }

  async startEngine(rank: number): Promise<void> {
    const { deployment, numRanks, numPhysicalExperts, activation } = this.options;
    const name = `engine-${rank}`;
    const path = join(this.directory, 'settings', `${name}.json`);
    const settings = {
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
    };
    await writeFile(path, JSON.stringify(settings));
    await this.#startService(name, this.#scripts.engine, [path]);
  }

  #engineAddress(rank: number): string {
    return `unix:${join(this.directory, 'sockets', `engine-${rank}.sock`)}`;
  }

  async startAgent(rank: number): Promise<void> {
    const name = `agent-${rank}`;
    const { agent: script } = this.#scripts;
    const args = ['--config', this.configurationPath, '--rank', `${rank}`];
    // All run on this machine, which stands for those of the topology; processes of before refuse
    // variables of ours that they don't know.
    await this.#startService(name, script, args, { SLURMD_NODENAME: this.#nodeOf(rank) });
  }

  #nodeOf(rank: number): string {
    try {
      const topology = parseTopology(this.options.topology, this.topologyPath);
      if (rank < topology.numRanks) return topology.domainName(nodeLevelOf(topology), rank);
    } catch (error) {
      // What is wrong with it is for the processes to say.
      if (!(error instanceof TopologyError)) throw error;
    }
    return 'elsewhere';
  }

  async startCoordinator(index = 0): Promise<void> {
    const name = `coordinator-${index}`;
    const { coordinator: script } = this.#scripts;
    const own = { ISOBAR_COORDINATOR_HOLDER: name };
    await this.#startService(name, script, ['--config', this.configurationPath], own);
  }

  async #startService(
    name: string,
    script: readonly string[],
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const { commandPrefix } = placementsOf(this.options)(name);
    const service = new ManagedProcess({
      name,
      command: [...commandPrefix, process.execPath, ...script, ...args],
      environment: { ...withoutOptions, ...environment },
      guard: this.#guard,
      logPath: join(this.directory, 'logs', `${name}.log`),
      isReady: saysServing,
    });
    this.#processes.set(name, service);
    await service.ready(this.options.readyDeadlineMs ?? 90_000);
  }

  /**
   * Ends the engines together, after a step that all of them finish; those that were killed are gone.
   * @throws IsobarError ISOBAR_TESTING_PROCESS_ENDED where one did not end by itself
   */
  async stopEngines(): Promise<void> {
    const engines = [...this.#processes.values()].filter(
      ({ name, killed }) => name.startsWith('engine-') && !killed,
    );
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
    await this.#nats.stopAll();
    await this.#guard.close();
  }
}

function placementsOf({ placementOf }: ClusterOptions): (name: string) => Placement {
  return placementOf ?? (() => loopbackPlacement);
}

function parseName(name: string): { readonly kind: string; readonly index: number } {
  const [, kind, index] = /^(nats|coordinator|agent|engine)-(\d+)$/.exec(name) ?? [];
  if (kind === undefined) throw new Error(`no process can have the name ${name}`);
  return { kind, index: Number(index) };
}

/** A service logs one line with this message once it does its work. */
function saysServing(line: string): boolean {
  return line.includes('"msg":"serving"');
}
