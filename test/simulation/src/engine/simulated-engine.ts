import type { ExpertMapping } from '@isobar/eplb';
import type {
  EngineCommand,
  EngineDescription,
  EngineState,
  EngineSwapState,
  Fence,
  Member,
  OutcomeTaken,
  Proposal,
} from '@isobar/protocol';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { FabricEnd } from '../network/fabric.js';
import { present } from '../present.js';
import type { SwapCause } from '../rules/engine-rules.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { World } from '../world.js';
import type { CommandReply } from './engine-commands.js';
import { EnginePeers } from './engine-peers.js';
import type { PortConnection } from './engine-port.js';
import { ExpertMemory } from './expert-memory.js';
import { Stager, type StagingFaults } from './stager.js';
import { compute, type Token, TokenTraffic } from './token-traffic.js';

/** `waiting`: for the peers of a group that starts; takes no agent yet. */
type EnginePhase = 'waiting' | 'running';

/** What an engine tells its agent without being asked. */
export interface EngineListener {
  hello(description: EngineDescription, state: EngineState): void;
  activated(state: EngineState): void;
  changed(state: EngineState): void;
}

const boundary = { leastMs: 1, spreadMs: 40 };
const computing = { usualMs: 15, slow: 0.08, slowMs: 2_500 };
const tokenEveryMs = 12_000;
const burst = 3;

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
  readonly peers: EnginePeers;
  readonly #stager: Stager;
  phase: EnginePhase = 'waiting';
  /** Later starts have higher numbers. */
  startedAs = 0;
  incarnation = '';
  traffic: TokenTraffic;
  #swap: EngineSwapState | null = null;
  #memory: ExpertMemory | null = null;
  readonly #members = new Map<number, readonly Member[]>();
  #agent: { readonly connection: PortConnection; readonly listener: EngineListener } | null = null;
  #switching = false;
  #told: { readonly swap: EngineSwapState; readonly state: EngineState } | null = null;

  constructor(world: World, process: VirtualProcess, rank: number, station: number, host: number) {
    this.#world = world;
    this.process = process;
    this.rank = rank;
    this.station = station;
    this.host = host;
    this.traffic = this.#newTraffic();
    this.peers = new EnginePeers(world, this);
    this.#stager = new Stager(world, this, (proposal, bytes) => this.#onStaged(proposal, bytes));
  }

  get swap(): EngineSwapState {
    return present(this.#swap, 'an engine that runs');
  }

  get memory(): ExpertMemory {
    return present(this.#memory, 'an engine that runs');
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

  /**
   * One of a new group, on its start mapping, that was listed by no record and has lost all its
   * peers: the group has begun without it, and nothing that it routes gets anywhere.
   */
  get isAbandoned(): boolean {
    const { listed, mappingVersion } = this.swap;
    if (listed || mappingVersion > 0) return false;
    return this.peers.broken.length === this.membersOf(0).length - 1;
  }

  hasCut(peer: SimulatedEngine): boolean {
    return this.swap.cuts.some(({ incarnation }) => incarnation === peer.incarnation);
  }

  get isStaging(): boolean {
    return this.#stager.version !== null;
  }

  /** What may go wrong with its stagings. */
  get faults(): StagingFaults {
    return this.#stager.faults;
  }

  /** Members of every version that it holds. */
  get listings(): readonly (readonly Member[])[] {
    return [...this.#members.values()];
  }

  membersOf(version: number): readonly Member[] {
    return this.#members.get(version) ?? [];
  }

  /** What it routes by, or would. */
  get mapping(): ExpertMapping {
    return this.memory.mappingOf(this.swap.mappingVersion) ?? this.#world.startMapping;
  }

  mappingOf(version: number): ExpertMapping {
    return present(this.memory.mappingOf(version), `version ${version}`);
  }

  /** A station that stands by is given a rank, before it starts. */
  takeRank(rank: number): void {
    this.rank = rank;
  }

  #newTraffic(): TokenTraffic {
    const { scheduler, random } = this.#world;
    return new TokenTraffic({
      name: this.name,
      scheduler,
      random,
      dispatch: (token) => this.#dispatch(token),
      stationOf: (version, rank) => this.#stationOf(version, rank),
    });
  }

  /** A new process: another incarnation, with the weights of the start mapping. */
  start(): void {
    const { scheduler, machines, shape, fabric } = this.#world;
    scheduler.start(this.process);
    this.startedAs = this.#world.nextStart();
    this.incarnation = this.#world.drawIncarnation(this.rank, this.startedAs);
    const start = this.#world.startMapping;
    this.#swap = machines.initialEngineSwap(this.rank, this.incarnation, start.digest(), 'joining');
    this.#memory = new ExpertMemory({ rank: this.rank, ...shape }, start);
    this.#members.clear();
    this.#stager.reset();
    this.peers.reset();
    this.#switching = false;
    this.#agent = null;
    this.#told = null;
    this.phase = 'waiting';
    this.traffic = this.#newTraffic();
    this.#world.log(() => `${this.name} starts as ${this.incarnation}`);
    fabric.started(this);
  }

  /** A group that starts together: serves the start mapping as version 0. */
  form(members: readonly Member[]): void {
    const { machines, startMapping } = this.#world;
    const digest = startMapping.digest();
    this.#swap = machines.initialEngineSwap(this.rank, this.incarnation, digest, 'serving');
    this.#members.set(0, members);
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
    this.#peersChanged();
    this.#world.scheduler.timer(this.process, tokenEveryMs * this.#world.random.next(), () =>
      this.#routeTokens(),
    );
    this.peers.start();
  }

  /** Called by the world when the process is dead. */
  died(): void {
    this.#agent?.connection.close();
    this.#agent = null;
    this.traffic.cutAll();
    this.#world.fabric.died(this);
  }

  // The port

  /** The newest agent wins. @returns false where the engine takes none yet */
  takeAgent(connection: PortConnection, listener: EngineListener): boolean {
    if (this.phase !== 'running') return false;
    this.#agent?.connection.replace();
    this.#agent = { connection, listener };
    const description = this.describe();
    const state = this.state();
    connection.toAgent(() => listener.hello(description, state));
    return true;
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
    });
    this.#told = { swap, state };
    return state;
  }

  #tell(tell: (listener: EngineListener, state: EngineState) => void): void {
    const agent = this.#agent;
    if (agent === null) return;
    const state = this.state();
    agent.connection.toAgent(() => tell(agent.listener, state));
  }

  #tellChanged(): void {
    this.#tell((listener, state) => listener.changed(state));
  }

  handle(command: EngineCommand, reply: CommandReply): void {
    this.#guarded(reply, () => this.#carryOut(command, reply));
  }

  /** Coded refusals go back to the agent; anything else that a machine throws is a finding. */
  #guarded(reply: CommandReply, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof this.#world.machines.IsobarError)) throw error;
      reply({ ok: false, code: error.code, message: error.message });
    }
  }

  #carryOut(command: EngineCommand, reply: CommandReply): void {
    const { machines, reader } = this.#world;
    const { fence } = command;
    switch (command.kind) {
      case 'stage':
        this.#stage(fence, command.proposal, reply);
        return;
      case 'query':
        this.#take(machines.raiseFence(this.swap, fence), { fence });
        break;
      case 'activate':
      case 'discard': {
        const record = reader.record(command.record);
        const taken = machines.applyOutcome(this.swap, fence, record, command.record);
        this.#follow(taken, { fence, record });
        break;
      }
      case 'adopt': {
        const record = reader.record(command.record);
        const taken = machines.adoptBase(this.swap, fence, record, command.record);
        this.#follow(taken, { fence, record, adopted: true });
        break;
      }
      case 'retire':
        this.#take(machines.recordRetired(this.swap, fence, command.version), { fence });
        this.memory.retire(command.version);
        this.#forgetMembers(command.version);
        break;
      case 'cut':
        this.#take(machines.recordCut(this.swap, fence, command.member), { fence });
        this.peers.leaveBehind();
        break;
    }
    reply({ ok: true, state: this.state() });
  }

  /** Every change of the guard's state passes here, and is held against the rules. */
  #take(next: EngineSwapState, cause: SwapCause): void {
    const before = this.swap;
    this.#swap = next;
    this.#world.rules.engineChanged(this, before, next, cause);
    const { version } = this.#stager;
    if (version === null || next.staging?.version === version) return;
    const text = `staging of version ${version} is no longer wanted`;
    const { IsobarError } = this.#world.machines;
    this.#stager.end(new IsobarError('ISOBAR_ENGINE_STAGING_ABANDONED', text));
  }

  #stage(fence: Fence, proposalBytes: Uint8Array, reply: CommandReply): void {
    const { machines, reader } = this.#world;
    const proposal = reader.proposal(proposalBytes);
    const { state, action } = machines.admitProposal(this.swap, fence, proposal);
    this.#take(state, { fence });
    if (action === 'voted') {
      reply({ ok: true, state: this.state() });
      return;
    }
    if (action === 'staging') {
      this.#stager.join(reply);
      return;
    }
    if (this.#stager.begin(proposal, proposalBytes, reply)) return;
    this.abandon(proposal.version);
    const text = `too few buffers are spare for version ${proposal.version}`;
    throw new machines.IsobarError('ISOBAR_ENGINE_NO_SPARE_BUFFERS', text, {});
  }

  #onStaged(proposal: Proposal, proposalBytes: Uint8Array): void {
    this.#members.set(proposal.version, proposal.members);
    const { machines } = this.#world;
    this.#take(machines.recordVote(this.swap, proposal, proposalBytes), { proposal });
    this.#world.log(() => `${this.name} has staged version ${proposal.version}`);
  }

  /** No vote was given for a version, and none will be. */
  abandon(version: number): void {
    const abandoned = this.#world.machines.abandonStaging(this.swap, version);
    if (abandoned !== this.swap) this.#take(abandoned, {});
  }

  // Outcomes

  #follow({ state, action, discarded }: OutcomeTaken, cause: SwapCause): void {
    const { record } = cause;
    if (action === 'adopt' && record?.outcome === 'committed') {
      const startUncounted = this.swap.standing === 'joining';
      this.memory.adopt(record.version, this.#world.reader.mapping(record), startUncounted);
      this.#members.set(record.version, record.members);
      this.#world.log(() => `${this.name} adopts version ${record.version} as its base`);
    }
    this.#take(state, cause);
    if (discarded !== null) this.#discard(discarded);
    if (action === 'switch') this.#switchSoon();
    if (action === 'adopt') this.#peersChanged();
    if (action === 'stop') {
      this.#world.log(() => `${this.name} stops: version ${record?.version} does not list it`);
      this.#tellChanged();
    }
  }

  #discard(version: number): void {
    this.memory.discard(version);
    this.#members.delete(version);
    this.#world.log(() => `${this.name} discards version ${version}`);
  }

  #switchSoon(): void {
    if (this.#switching) return;
    this.#switching = true;
    const { scheduler, random } = this.#world;
    const waitMs = boundary.leastMs + random.next() * boundary.spreadMs;
    scheduler.toLife(this.process, waitMs, () => this.#switch());
  }

  /** Between two steps. */
  #switch(): void {
    this.#switching = false;
    const { machines } = this.#world;
    const version = this.swap.switchingTo;
    if (version === null) return;
    if (this.memory.mappingOf(version) === null) {
      throw new RuleViolation('S4', `${this.name} switches to version ${version}, not staged`);
    }
    if (this.routes) this.#route(burst);
    this.memory.beginServing(version);
    this.#take(machines.recordSwitch(this.swap, version), {});
    this.#world.log(() => `${this.name} routes by version ${version}`);
    this.peers.leaveBehind();
    this.#peersChanged();
    if (this.routes) this.#route(burst);
    this.#settleDrained();
  }

  #settleDrained(): void {
    const { mappingVersion, activatedVersion } = this.swap;
    const drained = this.#world.faults.activatedAtOnce || this.traffic.isDrained(mappingVersion);
    if (mappingVersion <= activatedVersion || !drained) return;
    this.#take(this.#world.machines.recordActivated(this.swap, mappingVersion), {});
    this.#tell((listener, state) => listener.activated(state));
  }

  #forgetMembers(below: number): void {
    for (const version of this.#members.keys()) if (version < below) this.#members.delete(version);
  }

  // Peers

  accepts(end: FabricEnd): boolean {
    return this.peers.accepts(end);
  }

  onLinked(end: FabricEnd): void {
    if (this.phase === 'running') this.#peersChanged();
    else if (this.#world.engineAt(end.station).phase === 'running') this.join();
    else this.#world.formGroup();
  }

  onUnlinked(end: FabricEnd): void {
    this.traffic.cutStation(end.station);
    if (this.phase !== 'running') return;
    this.#settleDrained();
    this.#peersChanged();
  }

  #peersChanged(): void {
    if (!this.peers.look()) return;
    this.#told = null;
    this.#tellChanged();
  }

  /** An outcome that a peer has acted on: needs no fence (rule S6). */
  hearFromPeer(recordBytes: Uint8Array): void {
    const { machines, reader, situations } = this.#world;
    const record = reader.record(recordBytes);
    const before = this.swap;
    this.#guarded(
      () => {},
      () => {
        const taken = machines.applyPeerOutcome(before, record, recordBytes);
        if (taken.state === before) return;
        if (taken.action !== 'none') situations.count(`peer tells: ${taken.action}`);
        this.#follow(taken, { record, peer: true });
        this.#tellChanged();
      },
    );
  }

  // Tokens

  #routeTokens(): void {
    this.#world.scheduler.timer(this.process, tokenEveryMs, () => this.#routeTokens());
    if (this.routes) this.#route(1);
  }

  #route(count: number): void {
    const { mappingVersion } = this.swap;
    const mapping = this.mappingOf(mappingVersion);
    for (let index = 0; index < count; index += 1) this.traffic.route(mappingVersion, mapping);
  }

  #stationOf(version: number, rank: number): number | null {
    if (rank === this.rank) return this.station;
    const member = this.membersOf(version).find((candidate) => candidate.rank === rank);
    const peer = member === undefined ? undefined : this.peers.engineOf(member);
    if (peer === undefined || !this.#world.fabric.isLinked(this, peer)) return null;
    return peer.station;
  }

  #computingMs(): number {
    const { random } = this.#world;
    const usual = random.next() * computing.usualMs;
    return random.next() < computing.slow ? usual + random.next() * computing.slowMs : usual;
  }

  #dispatch(token: Token): boolean {
    const { scheduler, fabric } = this.#world;
    const tookMs = this.#computingMs();
    if (token.station === this.station) {
      scheduler.toLife(this.process, tookMs, () => {
        if (token.open) compute(this.name, this.memory, this.mappingOf(token.version), token);
        this.#answered(token);
      });
      return true;
    }
    const peer = this.#world.engineAt(token.station);
    return fabric.send(this, peer, () => {
      peer.peers.seeVersion(token.version, this);
      scheduler.toLife(peer.process, tookMs, () => {
        if (!token.open) return;
        compute(peer.name, peer.memory, this.mappingOf(token.version), token);
        fabric.send(peer, this, () => this.#answered(token));
      });
    });
  }

  #answered(token: Token): void {
    this.traffic.answered(token);
    this.#settleDrained();
  }
}
