import type { ExpertMapping } from '@isobar/eplb';
import type { EngineDescription, EngineState, EngineSwapState, Member } from '@isobar/protocol';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { FabricEnd } from '../network/fabric.js';
import type { World } from '../world.js';
import { EnginePeers } from './engine-peers.js';
import type { PortConnection } from './engine-port.js';
import type { ExpertMemory } from './expert-memory.js';
import { noPortFaults, type PortFaults } from './port-faults.js';
import type { StagingFaults } from './stager.js';
import { SwapPort } from './swap-port.js';
import { TokenTraffic } from './token-traffic.js';

/** `waiting`: for the peers of a group that starts; takes no agent yet. */
type EnginePhase = 'waiting' | 'running';

/** What an engine tells its agent without being asked. */
export interface EngineListener {
  hello(description: EngineDescription, state: EngineState): void;
  activated(state: EngineState): void;
  changed(state: EngineState): void;
}

const tokenEveryMs = 20_000;

/**
 * One rank's engine, as far as a swap can tell: the protocol's own guard (`EngineSwapState`), with
 * weights by identity, connections with peers, and tokens that take their time.
 */
export class SimulatedEngine implements FabricEnd {
  readonly process: VirtualProcess;
  rank: number;
  readonly station: number;
  readonly host: number;
  readonly #world: World;
  readonly port: SwapPort;
  readonly peers: EnginePeers;
  readonly traffic: TokenTraffic;
  phase: EnginePhase = 'waiting';
  /** Later starts have higher numbers. */
  startedAs = 0;
  readonly portFaults: PortFaults = { ...noPortFaults };
  #connections = 0;
  incarnation = '';
  #agent: { readonly connection: PortConnection; readonly listener: EngineListener } | null = null;
  /** Null: all slots. */
  offeredSlots: number | null = null;
  isLeaving = false;
  #told: { readonly swap: EngineSwapState; readonly state: EngineState } | null = null;

  constructor(world: World, process: VirtualProcess, rank: number, station: number, host: number) {
    this.#world = world;
    this.process = process;
    this.rank = rank;
    this.station = station;
    this.host = host;
    this.port = new SwapPort(world, this);
    this.peers = new EnginePeers(world, this);
    this.traffic = new TokenTraffic(world, this, () => this.port.settleDrained());
  }

  get swap(): EngineSwapState {
    return this.port.swap;
  }

  get memory(): ExpertMemory {
    return this.port.memory;
  }

  get member(): Member {
    return { rank: this.rank, incarnation: this.incarnation };
  }

  get name(): string {
    return `engine ${this.rank}`;
  }

  /** Takes requests, and routes them. */
  get routes(): boolean {
    return this.process.alive && this.phase === 'running' && this.swap.standing === 'serving';
  }

  hasCut(peer: SimulatedEngine): boolean {
    return this.swap.cuts.some(({ incarnation }) => incarnation === peer.incarnation);
  }

  get isStaging(): boolean {
    return this.port.stager.version !== null;
  }

  /** What may go wrong with its stagings. */
  get faults(): StagingFaults {
    return this.port.stager.faults;
  }

  /** Members of every version that it holds. */
  get listings(): readonly (readonly Member[])[] {
    return [...this.port.members.values()];
  }

  membersOf(version: number): readonly Member[] {
    return this.port.members.get(version) ?? [];
  }

  /** What it routes by, or would. */
  get mapping(): ExpertMapping {
    return this.memory.mappingOf(this.swap.mappingVersion) ?? this.#world.startMapping;
  }

  mappingOf(version: number): ExpertMapping {
    return this.port.mappingOf(version);
  }

  /** A station that stands by is given a rank, before it starts. */
  takeRank(rank: number): void {
    this.rank = rank;
  }

  /** A new process: another incarnation, with the weights of the start mapping. */
  start(): void {
    const { scheduler, fabric } = this.#world;
    scheduler.start(this.process);
    this.startedAs = this.#world.nextStart();
    this.incarnation = this.#world.drawIncarnation(this.rank, this.startedAs);
    this.port.reset();
    this.isLeaving = false;
    this.offeredSlots = this.#world.offers.get(this.rank) ?? null;
    if (this.offeredSlots !== null) this.memory.offer(this.offeredSlots);
    this.peers.reset();
    this.#agent = null;
    this.#told = null;
    this.phase = 'waiting';
    this.#world.log(() => `${this.name} starts as ${this.incarnation}`);
    fabric.started(this);
  }

  /** A group that starts together: serves the start mapping as version 0. */
  form(members: readonly Member[]): void {
    this.port.serveStart(members);
    this.#run();
  }

  /** A group runs already: this engine waits to be listed. */
  join(): void {
    this.#world.log(() => `${this.name} joins a group that runs`);
    this.#run();
  }

  #run(): void {
    this.phase = 'running';
    this.#world.rules.engineStarted(this);
    this.peersChanged();
    this.#world.scheduler.timer(this.process, tokenEveryMs * this.#world.random.next(), () =>
      this.#routeNow(),
    );
  }

  /** Called by the world when the process is dead. */
  died(): void {
    this.#agent?.connection.end();
    this.#agent = null;
    this.traffic.cutAll();
    this.#world.fabric.died(this);
  }

  // The port

  get listens(): boolean {
    return this.process.alive && this.phase === 'running';
  }

  nextConnection(): number {
    this.#connections += 1;
    return this.#connections;
  }

  /** An agent has greeted: of those that have, the one that connected last wins. */
  takeAgent(connection: PortConnection, listener: EngineListener): void {
    const serving = this.#agent?.connection;
    if (serving?.open === true && serving.number > connection.number) {
      this.#world.situations.count('port: greetings crossed');
      connection.replace();
      return;
    }
    serving?.replace();
    this.#agent = { connection, listener };
    const description = this.describe();
    const state = this.state();
    connection.toAgent(() => listener.hello(description, state));
    const { pauseOnceGreetedMs } = this.portFaults;
    if (pauseOnceGreetedMs === 0) return;
    this.portFaults.pauseOnceGreetedMs = 0;
    this.#world.scheduler.pause(this.process, pauseOnceGreetedMs);
  }

  describe(): EngineDescription {
    return this.#world.describeEngine(this.rank, this.incarnation, this.process.life);
  }

  state(): EngineState {
    const { swap } = this;
    if (this.#told?.swap === swap) return this.#told.state;
    const { mapping } = this;
    const state = this.#world.machines.engineStateOf(swap, {
      mappingDigest: mapping.digest(),
      physicalToLogical: mapping.physicalToLogical,
      brokenPeers: [...this.peers.broken],
      freeBuffers: this.memory.freeBuffers,
      step: Math.floor(this.#world.scheduler.nowMs / 100),
      ...(this.offeredSlots === null ? {} : { offeredSlots: this.offeredSlots }),
      ...(this.isLeaving ? { leaving: true } : {}),
    });
    this.#told = { swap, state };
    return state;
  }

  /** Offers fewer slots, or all again where null. */
  offer(slots: number | null): void {
    this.offeredSlots = slots;
    this.memory.offer(slots ?? Number.POSITIVE_INFINITY);
    this.#world.situations.count(slots === null ? 'offer grown' : 'offer shrunk');
    this.#world.log(() => `${this.name} offers ${slots ?? 'all'} slots`);
    this.#told = null;
    this.tellChanged();
  }

  /** It wants to leave, or does not any more. */
  wantToLeave(isLeaving: boolean): void {
    this.isLeaving = isLeaving;
    this.#world.log(() => `${this.name} wants to ${isLeaving ? 'leave' : 'stay'}`);
    this.#told = null;
    this.tellChanged();
  }

  #tell(tell: (listener: EngineListener, state: EngineState) => void): void {
    const agent = this.#agent;
    if (agent === null) return;
    const state = this.state();
    agent.connection.toAgent(() => tell(agent.listener, state));
  }

  tellActivated(): void {
    this.#tell((listener, state) => listener.activated(state));
  }

  tellChanged(): void {
    this.#tell((listener, state) => listener.changed(state));
  }

  // Peers

  accepts(end: FabricEnd): boolean {
    return this.peers.accepts(end);
  }

  onLinked(end: FabricEnd): void {
    const peer = this.#world.engineAt(end.station);
    if (this.phase === 'running') {
      if (this.#world.isInPlace) this.#world.groupStep.agree();
      this.peersChanged();
    } else if (peer.phase === 'running') this.join();
    else this.#world.formGroup();
  }

  onUnlinked(end: FabricEnd): void {
    this.traffic.cutPeer(this.#world.engineAt(end.station));
    if (this.phase !== 'running') return;
    this.port.settleDrained();
    this.peersChanged();
  }

  peersChanged(): void {
    if (!this.peers.look()) return;
    this.#told = null;
    this.tellChanged();
  }

  /** In place: takes part in the group's steps, if only idle while it waits to be listed. */
  get takesPartInSteps(): boolean {
    if (!this.process.alive || this.phase !== 'running') return false;
    const { standing, vote, switchingTo } = this.swap;
    return standing === 'serving' || vote !== null || switchingTo !== null;
  }

  /** In place: the highest version that it may follow. */
  get readyVersion(): number {
    const { switchingTo, standing, mappingVersion, committed } = this.swap;
    return switchingTo ?? (standing === 'serving' ? mappingVersion : committed.version);
  }

  #routeNow(): void {
    this.#world.scheduler.timer(this.process, tokenEveryMs, () => this.#routeNow());
    this.traffic.route(1);
  }
}
