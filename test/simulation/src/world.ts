import { ExpertMapping, type TransferTopology, type WaveRoom } from '@isobar/eplb';
import type { Activation, CoordinatorOptions, EngineDescription } from '@isobar/protocol';
import { createRandom, type Random } from '@isobar/trace';
import { GroupStep } from './engine/group-step.js';
import { SimulatedEngine } from './engine/simulated-engine.js';
import { Scheduler } from './kernel/scheduler.js';
import { type ProcessKind, VirtualProcess } from './kernel/virtual-process.js';
import { type Machines, Reader } from './machines.js';
import { Fabric } from './network/fabric.js';
import { type BusServer, MessageNetwork } from './network/message-network.js';
import { Reachability } from './network/reachability.js';
import type { LeaderPhase } from './phases.js';
import { present } from './present.js';
import { Operator } from './processes/operator.js';
import { type AgentDisk, SimulatedAgent } from './processes/simulated-agent.js';
import { SimulatedCoordinator } from './processes/simulated-coordinator.js';
import { Supervisor } from './processes/supervisor.js';
import { Rules } from './rules/rules.js';
import { Situations } from './situations.js';
import { RecordCluster } from './store/record-cluster.js';
import { RecordStore } from './store/record-store.js';
import { watchRecord } from './watch-situations.js';
import { noShellFaults, type ShellFaults, type WorldOptions } from './world-options.js';

const numServers = 3;
/** Machines that stand by, for ranks that are moved. */
const spareStations = 2;

/** Of a server, in bytes. */
const payloadDefault = 1_048_576;
/** Reports come each five seconds or more here, each second in production: words of the lost are newer than two. */
const cutAfterReports = 2.2;
/** Where messages are small: moves that one has room for beside a layer. */
const movesOfSmall = 3;

/** Layers, experts and slots of the simulated model: small, with few copies to spare. */
const model = { numLayers: 2, slotsPerRank: 2, spareSlots: 4 };

/** A deployment, whole: three servers, coordinators, and for each rank an agent and an engine. */
export class World {
  readonly machines: Machines;
  readonly reader: Reader;
  readonly random: Random;
  readonly scheduler = new Scheduler();
  readonly situations = new Situations();
  readonly faults: ShellFaults;
  readonly transcript: string[] = [];
  readonly rules: Rules;
  /** Hosts of the bus: coordinators, servers, stations, in this order. */
  readonly busLinks: Reachability;
  /** Hosts of the engines' own network: stations. */
  readonly fabricLinks: Reachability;
  readonly network: MessageNetwork;
  readonly fabric: Fabric;
  readonly store = new RecordStore();
  readonly cluster: RecordCluster;
  readonly servers: readonly BusServer[];
  readonly coordinators: readonly SimulatedCoordinator[];
  /** By station; those beyond the ranks stand by. */
  readonly engines: SimulatedEngine[] = [];
  readonly agents: SimulatedAgent[] = [];
  readonly operator: Operator;
  readonly supervisor: Supervisor;
  readonly activation: Activation;
  readonly groupStep: GroupStep;
  /** Slots of a layer that engines of a rank offer, where not all. */
  readonly offers = new Map<number, number>();
  readonly numRanks: number;
  readonly startMapping: ExpertMapping;
  readonly shape: { readonly spareBuffers: number; readonly reserveBuffers: number };
  readonly tickMs: { readonly agent: number; readonly coordinator: number };
  /** WorldOptions.olderAgents */
  readonly olderAgents: ReadonlySet<number>;
  /** What a wave's message has room for, where that is little. */
  readonly smallRoom: WaveRoom | null;
  readonly #keepsTranscript: boolean;
  readonly #drift: number;
  #starts = 0;
  #sparesTaken = 0;
  readonly #processes: VirtualProcess[] = [];
  /** Told when a coordinator that leads, or is about to, enters a phase. */
  onPhase: (phase: LeaderPhase) => void = () => {};

  constructor(options: WorldOptions) {
    const { machines, numRanks, numCoordinators } = options;
    this.machines = machines;
    this.reader = new Reader(machines);
    this.random = createRandom(options.seed);
    this.faults = options.faults ?? noShellFaults;
    this.numRanks = numRanks;
    this.olderAgents = new Set(options.olderAgents);
    this.activation = options.activation ?? 'two-table';
    this.groupStep = new GroupStep(this);
    this.#keepsTranscript = options.transcript === true;
    this.#drift = options.clockDrift ?? 0;
    this.shape = { spareBuffers: 6, reserveBuffers: 2 };
    const { tickStretch = 1 } = options;
    this.tickMs = { agent: 5_000 * tickStretch, coordinator: 2_500 * tickStretch };
    this.startMapping = ExpertMapping.contiguous({
      numLayers: model.numLayers,
      numLogicalExperts: Math.max(2, numRanks * model.slotsPerRank - model.spareSlots),
      numRanks,
      numPhysicalExperts: numRanks * model.slotsPerRank,
    });
    this.smallRoom = options.smallMessages === true ? this.#smallRoom() : null;
    const stations = numRanks + spareStations;
    this.busLinks = new Reachability(numCoordinators + numServers + stations);
    this.fabricLinks = new Reachability(stations);
    this.servers = Array.from({ length: numServers }, (_, index) => ({
      process: this.#process('server', index),
      host: numCoordinators + index,
    }));
    this.network = new MessageNetwork(this.scheduler, this.random, this.busLinks, this.servers);
    this.fabric = new Fabric(this.scheduler, this.random, this.fabricLinks);
    this.cluster = new RecordCluster({
      scheduler: this.scheduler,
      random: this.random,
      network: this.network,
      reachability: this.busLinks,
      store: this.store,
      overwrites: this.faults.overwriteRecords,
      onWritten: (key, bytes, replaced) => {
        if (!key.startsWith('map.')) return;
        const record = this.reader.record(bytes);
        watchRecord(this, record);
        this.rules.outcomes.created(record, replaced);
      },
    });
    this.rules = new Rules(this);
    this.coordinators = Array.from({ length: numCoordinators }, (_, index) => {
      const process = this.#process('coordinator', index);
      return new SimulatedCoordinator(this, process, this.network.addClient(process, index));
    });
    for (let station = 0; station < stations; station += 1) this.#addStation(station);
    this.operator = new Operator(this);
    this.supervisor = new Supervisor(this, options.supervised !== false);
    this.scheduler.setHooks({
      afterEvent: () => this.rules.afterEvent(),
      onCrash: (process) => this.#onCrash(process),
    });
  }

  /** Of a message that nothing else is in, where messages are small. */
  #smallRoom(): WaveRoom {
    const { machines, startMapping, numRanks } = this;
    const members = Array.from({ length: numRanks }, (_, rank) => ({ rank, incarnation: '' }));
    const whole = machines.wholeMapping(startMapping);
    const room = machines.roomForWave(whole, { members, voided: [] }, 0, payloadDefault);
    return { ...room, bytesMax: room.layerBytes + movesOfSmall * room.moveBytes };
  }

  #process(kind: ProcessKind, index: number): VirtualProcess {
    const rate = 1 + this.#drift * (this.random.next() - 0.5);
    const process = new VirtualProcess(kind, index, rate, this.random.integer(1_000_000));
    this.#processes.push(process);
    return process;
  }

  #addStation(station: number): void {
    // A station that stands by takes whichever rank is moved there.
    const rank = station < this.numRanks ? station : 0;
    const engine = new SimulatedEngine(
      this,
      this.#process('engine', station),
      rank,
      station,
      station,
    );
    this.engines.push(engine);
    this.fabric.add(engine);
    this.addAgent(engine, this.emptyDisk());
  }

  emptyDisk(): AgentDisk {
    return { durable: this.machines.emptyDurableRankState, holder: null };
  }

  /** An agent beside an engine; there may be two, on one disk or on two. */
  addAgent(engine: SimulatedEngine, disk: AgentDisk): SimulatedAgent {
    const process = this.#process('agent', engine.station);
    const host = this.coordinators.length + numServers + engine.station;
    const agent = new SimulatedAgent(
      this,
      process,
      this.network.addClient(process, host),
      engine,
      disk,
    );
    this.agents.push(agent);
    return agent;
  }

  /** Everything but the stations that stand by starts. */
  start(): void {
    for (const { process } of this.servers) this.scheduler.start(process);
    for (const coordinator of this.coordinators) coordinator.start();
    for (let rank = 0; rank < this.numRanks; rank += 1) {
      this.engineAt(rank).start();
      this.agentAt(rank).start();
    }
  }

  /** A machine that stands by, once; null where none is left. */
  takeSpare(): SimulatedEngine | null {
    const spare = this.engines[this.numRanks + this.#sparesTaken] ?? null;
    this.#sparesTaken += 1;
    return spare;
  }

  get processes(): readonly VirtualProcess[] {
    return this.#processes;
  }

  get busHosts(): readonly number[] {
    const count = this.coordinators.length + numServers + this.engines.length;
    return Array.from({ length: count }, (_, host) => host);
  }

  engineAt(station: number): SimulatedEngine {
    return present(this.engines[station]);
  }

  /** The first agent of a station. */
  agentAt(station: number): SimulatedAgent {
    return present(this.agents[station]);
  }

  get isInPlace(): boolean {
    return this.activation === 'in-place';
  }

  log(text: () => string): void {
    if (!this.#keepsTranscript) return;
    const seconds = (this.scheduler.nowMs / 1_000).toFixed(3).padStart(8);
    this.transcript.push(`${seconds} ${text()}`);
  }

  nextStart(): number {
    this.#starts += 1;
    return this.#starts;
  }

  /** Numbers that an engine draws are told apart by people here. */
  drawIncarnation(rank: number, start: number): string {
    return `${rank.toString(16).padStart(4, 'e')}${start.toString(16).padStart(12, '0')}`;
  }

  describeEngine(rank: number, incarnation: string, life: number): EngineDescription {
    const { numLayers, numLogicalExperts, slotOffsets } = this.startMapping;
    return {
      deployment: 'simulated',
      rank,
      numRanks: this.numRanks,
      incarnation,
      process: { processId: 1_000 + rank, startTicks: String(life) },
      engine: 'simulated engine',
      modelRevision: 'r1',
      phase: 'mixed',
      modelLayerIds: Int32Array.from({ length: numLayers }, (_, layer) => layer),
      numLogicalExperts,
      slotOffsets,
      pinnedSlots: new Int32Array(0),
      bytesPerExpert: 64,
      ...this.shape,
      replicaChoice: 'uniform',
      activation: this.activation,
      staging: 'one-sided',
      digestAlgorithm: 'sha256',
      ownBalancer: false,
    };
  }

  coordinatorOptions(process: VirtualProcess): CoordinatorOptions {
    const nonce = `c${process.index}${process.life.toString(16)}`.padEnd(16, '0');
    return {
      holder: process.name,
      nonce,
      timings: {
        lease: { leaseMs: 15_000, renewDeadlineMs: 10_000, renewMs: 5_000, retryMs: 2_000 },
        leader: {
          prepareDeadlineMs: 15_000,
          discardDeadlineMs: 10_000,
          decideDeadlineMs: 20_000,
          activateDeadlineMs: 20_000,
          retireDeadlineMs: 20_000,
          cutAfterMs: this.tickMs.agent * cutAfterReports,
          backOffMs: 15_000,
          retryMs: 3_000,
        },
        askMs: 2_000,
      },
      configuredRanks: Array.from({ length: this.numRanks }, (_, rank) => rank),
      topology: twoNodes(this.numRanks),
      payloadBytesMax: payloadDefault,
      mode: 'automatic',
    };
  }

  /** Engines that wait for a group start one, once every rank has one and all are linked. */
  formGroup(): void {
    const waiting = this.engines.filter(
      ({ phase, process }) => process.alive && phase === 'waiting',
    );
    const isLinked = (one: SimulatedEngine, other: SimulatedEngine) =>
      this.fabric.isLinked(one, other);
    const newest = new Map<number, SimulatedEngine>();
    for (const engine of waiting) {
      // Of two processes of a rank the later one counts, once others can reach it.
      const ranks = waiting.filter((peer) => isLinked(engine, peer)).map(({ rank }) => rank);
      if (new Set(ranks).size < this.numRanks - 1) continue;
      const other = newest.get(engine.rank);
      if (other === undefined || other.startedAs < engine.startedAs)
        newest.set(engine.rank, engine);
    }
    if (newest.size < this.numRanks) return;
    const group = [...newest.values()].sort((a, b) => a.rank - b.rank);
    const linked = group.every((engine) =>
      group.every((peer) => peer === engine || isLinked(engine, peer)),
    );
    if (!linked) return;
    const members = group.map(({ member }) => member);
    this.log(() => 'the group starts, on its start mapping');
    for (const engine of group) engine.form(members);
    // A second process of a rank finds a group that runs.
    for (const engine of waiting) {
      if (engine.phase === 'waiting' && group.some((peer) => isLinked(engine, peer))) engine.join();
    }
  }

  /** Links or servers have changed: who notices, does. */
  linksChanged(): void {
    this.network.changed();
    this.cluster.changed();
    this.fabric.changed();
  }

  #onEngineCrash(engine: SimulatedEngine): void {
    engine.died();
    const agents = this.agents.filter((agent) => agent.engine === engine);
    this.rules.engineDied(engine, agents);
  }

  #onCrash(process: VirtualProcess): void {
    this.log(() => `${process.name} dies`);
    switch (process.kind) {
      case 'engine':
        this.#onEngineCrash(this.engineAt(process.index));
        break;
      case 'agent':
        for (const agent of this.agents) if (agent.process === process) agent.died();
        break;
      case 'server':
        this.linksChanged();
        break;
      case 'coordinator':
        break;
    }
    this.supervisor.onCrash(process);
  }
}

/** The lower half of the ranks on one node, the others on another. */
function twoNodes(numRanks: number): TransferTopology {
  const fastDomains = Int32Array.from({ length: numRanks }, (_, rank) =>
    rank < numRanks / 2 ? 0 : 1,
  );
  const cost = new Float64Array(numRanks * numRanks).map((_, index) => {
    const [source, destination] = [Math.floor(index / numRanks), index % numRanks];
    if (source === destination) return 0;
    return fastDomains[source] === fastDomains[destination] ? 0.001 : 0.01;
  });
  return { fastDomains, cost };
}
