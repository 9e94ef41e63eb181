import type { ExpertMapping } from '@isobar/eplb';
import type {
  EngineCommand,
  EngineDescription,
  EngineState,
  EngineSwapState,
  Fence,
  Member,
  OutcomeTaken,
} from '@isobar/protocol';
import type { VirtualProcess } from '../kernel/virtual-process.js';
import type { FabricEnd } from '../network/fabric.js';
import { present } from '../present.js';
import type { SwapCause } from '../rules/engine-rules.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { World } from '../world.js';
import type { CommandReply } from './engine-commands.js';
import type { PortConnection } from './engine-port.js';
import { ExpertMemory, weightsOf } from './expert-memory.js';
import type { Staging, StagingFaults } from './staging.js';
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
const fetchMs = { perCommand: 20, perExpert: 60, spread: 400 };
const askPeersMs = 4_000;
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
  readonly faults: StagingFaults = { failNext: false, stallNextMs: 0, corruptNext: false };
  readonly #world: World;
  phase: EnginePhase = 'waiting';
  /** Later starts have higher numbers. */
  startedAs = 0;
  incarnation = '';
  traffic: TokenTraffic;
  #swap: EngineSwapState | null = null;
  #memory: ExpertMemory | null = null;
  readonly #members = new Map<number, readonly Member[]>();
  #agent: { readonly connection: PortConnection; readonly listener: EngineListener } | null = null;
  #staging: Staging | null = null;
  #switching = false;
  #told: { readonly swap: EngineSwapState; readonly state: EngineState } | null = null;
  #brokenPeers: readonly Member[] = [];

  constructor(world: World, process: VirtualProcess, rank: number, station: number, host: number) {
    this.#world = world;
    this.process = process;
    this.rank = rank;
    this.station = station;
    this.host = host;
    this.traffic = this.#newTraffic();
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

  hasCut(peer: SimulatedEngine): boolean {
    return this.swap.cuts.some(({ incarnation }) => incarnation === peer.incarnation);
  }

  get isStaging(): boolean {
    return this.#staging !== null;
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
    this.#staging = null;
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
    this.#world.scheduler.timer(this.process, askPeersMs, () => this.#askSomePeer());
  }

  /** Called by the world when the process is dead. */
  died(): void {
    this.#agent?.connection.close();
    this.#agent = null;
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
      brokenPeers: [...this.#brokenPeers],
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

  #done(reply: CommandReply): void {
    reply({ ok: true, state: this.state() });
  }

  #carryOut(command: EngineCommand, reply: CommandReply): void {
    const { machines, reader } = this.#world;
    const { fence } = command;
    switch (command.kind) {
      case 'query':
        this.#take(machines.raiseFence(this.swap, fence), { fence });
        return this.#done(reply);
      case 'stage':
        return this.#stage(fence, command.proposal, reply);
      case 'activate':
      case 'discard': {
        const record = reader.record(command.record);
        const taken = machines.applyOutcome(this.swap, fence, record, command.record);
        this.#follow(taken, { fence, record });
        return this.#done(reply);
      }
      case 'adopt': {
        const record = reader.record(command.record);
        const taken = machines.adoptBase(this.swap, fence, record, command.record);
        this.#follow(taken, { fence, record, adopted: true });
        return this.#done(reply);
      }
      case 'retire':
        this.#take(machines.recordRetired(this.swap, fence, command.version), { fence });
        this.memory.retire(command.version);
        this.#forgetMembers(command.version);
        return this.#done(reply);
      case 'cut':
        this.#take(machines.recordCut(this.swap, fence, command.member), { fence });
        this.#cut(command.member);
        return this.#done(reply);
    }
  }

  /** Every change of the guard's state passes here, and is held against the rules. */
  #take(next: EngineSwapState, cause: SwapCause): void {
    const before = this.swap;
    this.#swap = next;
    this.#world.rules.engineChanged(this, before, next, cause);
    const staging = this.#staging;
    if (staging !== null && next.staging?.version !== staging.proposal.version) {
      const text = `staging of version ${staging.proposal.version} is no longer wanted`;
      this.#endStaging(staging, 'ISOBAR_ENGINE_STAGING_ABANDONED', text);
    }
  }

  // Staging

  #stage(fence: Fence, proposalBytes: Uint8Array, reply: CommandReply): void {
    const { machines, reader, scheduler, random } = this.#world;
    const proposal = reader.proposal(proposalBytes);
    const { state, action } = machines.admitProposal(this.swap, fence, proposal);
    if (action === 'voted') {
      this.#take(state, { fence });
      this.#done(reply);
      return;
    }
    if (action === 'staging') {
      this.#take(state, { fence });
      this.#staging?.replies.push(reply);
      return;
    }
    const target = reader.target(this.mappingOf(state.committed.version), proposalBytes);
    this.#take(state, { fence });
    const mayUseReserve = proposal.change === 'evacuation';
    const incoming = this.memory.stage(proposal.version, target, mayUseReserve);
    if (incoming === null) {
      const text = `too few buffers are spare for version ${proposal.version}`;
      this.#take(machines.abandonStaging(this.swap, proposal.version), {});
      throw new machines.IsobarError('ISOBAR_ENGINE_NO_SPARE_BUFFERS', text, {});
    }
    const staging: Staging = { proposal, proposalBytes, incoming, replies: [reply], ended: false };
    this.#staging = staging;
    const stallMs = this.faults.stallNextMs;
    this.faults.stallNextMs = 0;
    const spreadMs = random.next() * fetchMs.spread;
    const tookMs = fetchMs.perCommand + incoming.length * fetchMs.perExpert + spreadMs + stallMs;
    scheduler.toLife(this.process, tookMs, () => this.#finishStaging(staging));
  }

  #finishStaging(staging: Staging): void {
    if (staging.ended) return;
    const { machines } = this.#world;
    const { proposal, proposalBytes } = staging;
    const failure = this.#bringIn(staging);
    if (failure !== null) {
      this.#endStaging(staging, failure, 'a source is gone, or what came is not whole');
      return;
    }
    this.#staging = null;
    staging.ended = true;
    this.memory.beginServing(proposal.version);
    this.#members.set(proposal.version, proposal.members);
    this.#take(machines.recordVote(this.swap, proposal, proposalBytes), { proposal });
    this.#world.log(() => `${this.name} has staged version ${proposal.version}`);
    for (const reply of staging.replies) this.#done(reply);
  }

  /** Fetches and verifies what a staging needs. @returns the code of its failure, null if none */
  #bringIn(staging: Staging): string | null {
    const { proposal, incoming } = staging;
    if (this.faults.failNext) {
      this.faults.failNext = false;
      return 'ISOBAR_ENGINE_TRANSFER_FAILED';
    }
    const transfers = this.#world.machines.decodeTransfers(proposal.transfers, this.rank);
    for (const { layer, slot, expert, buffer } of incoming) {
      const transfer = transfers.find((one) => one.layer === layer && one.slot === slot);
      if (transfer?.expert !== expert) return 'ISOBAR_ENGINE_TRANSFER_FAILED';
      let weights = this.#fetch(transfer.sourceRank, layer, expert);
      if (weights === null) return 'ISOBAR_ENGINE_TRANSFER_FAILED';
      if (this.faults.corruptNext) {
        this.faults.corruptNext = false;
        this.#world.situations.count('staging corrupted');
        weights = -2 - weights;
      }
      const wanted = weightsOf(this.#world.startMapping, layer, expert);
      if (weights !== wanted && !this.#world.faults.skipDigestCheck) {
        return 'ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH';
      }
      this.memory.fill(buffer, weights);
    }
    return null;
  }

  #fetch(sourceRank: number, layer: number, expert: number): number | null {
    if (sourceRank < 0) return weightsOf(this.#world.startMapping, layer, expert);
    for (const peer of this.#world.engines) {
      if (peer.rank !== sourceRank || peer === this || peer.process.paused) continue;
      if (!this.#world.fabric.isLinked(this, peer) || !peer.process.alive) continue;
      const weights = peer.memory.weightsOfExpert(layer, expert);
      if (weights !== null) return weights;
    }
    return null;
  }

  /** Staging has failed or was overtaken: what it holds is free again, and no vote is given. */
  #endStaging(staging: Staging, code: string, message: string): void {
    const { version } = staging.proposal;
    staging.ended = true;
    if (this.#staging === staging) this.#staging = null;
    this.memory.discard(version);
    const abandoned = this.#world.machines.abandonStaging(this.swap, version);
    if (abandoned !== this.swap) this.#take(abandoned, {});
    for (const reply of staging.replies) reply({ ok: false, code, message });
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
    this.#take(machines.recordSwitch(this.swap, version), {});
    this.#world.log(() => `${this.name} routes by version ${version}`);
    this.#leavePeersBehind();
    this.#peersChanged();
    if (this.routes) this.#route(burst);
    this.#settleDrained();
  }

  /** Connections of engines that the newest record has removed are ended. */
  #leavePeersBehind(): void {
    for (const peer of this.#world.engines) {
      if (peer !== this && !this.accepts(peer)) this.#world.fabric.unlink(this, peer);
    }
  }

  #settleDrained(): void {
    const { mappingVersion, activatedVersion } = this.swap;
    if (mappingVersion <= activatedVersion || !this.traffic.isDrained(mappingVersion)) return;
    this.#take(this.#world.machines.recordActivated(this.swap, mappingVersion), {});
    this.#tell((listener, state) => listener.activated(state));
  }

  #forgetMembers(below: number): void {
    for (const version of this.#members.keys()) if (version < below) this.#members.delete(version);
  }

  // Peers

  accepts(end: FabricEnd): boolean {
    const peer = this.#world.engineAt(end.station);
    if (this.phase === 'waiting') return true;
    const { machines, engines, fabric } = this.#world;
    if (machines.isCut(this.swap, peer.member)) return false;
    const newer = (other: SimulatedEngine) =>
      other !== peer &&
      other.rank === peer.rank &&
      other.startedAs > peer.startedAs &&
      fabric.isLinked(this, other);
    if (engines.some(newer)) return false;
    if (peer.phase === 'waiting' || peer.swap.standing !== 'serving') return true;
    if (this.swap.standing !== 'serving') return true;
    return this.#lists(this.swap.committed.version, peer.member);
  }

  #lists(version: number, member: Member): boolean {
    return this.membersOf(version).some(
      ({ rank, incarnation }) => rank === member.rank && incarnation === member.incarnation,
    );
  }

  onLinked(end: FabricEnd): void {
    const peer = this.#world.engineAt(end.station);
    if (this.phase === 'waiting') {
      if (peer.phase === 'running') this.join();
      else this.#world.formGroup();
      return;
    }
    this.#peersChanged();
  }

  onUnlinked(end: FabricEnd): void {
    this.traffic.cutStation(end.station);
    if (this.phase !== 'running') return;
    this.#settleDrained();
    this.#peersChanged();
  }

  #cut(member: Member): void {
    const peer = this.#engineOf(member);
    if (peer !== undefined) this.#world.fabric.unlink(this, peer);
    this.#tellChanged();
  }

  #engineOf(member: Member): SimulatedEngine | undefined {
    return this.#world.engines.find(
      ({ rank, incarnation }) => rank === member.rank && incarnation === member.incarnation,
    );
  }

  #peersChanged(): void {
    const { standing, committed, mappingVersion } = this.swap;
    const members = this.membersOf(standing === 'joining' ? committed.version : mappingVersion);
    const broken = members.filter((member) => {
      if (member.incarnation === this.incarnation) return false;
      const peer = this.#engineOf(member);
      return peer === undefined || !this.#world.fabric.isLinked(this, peer);
    });
    const same =
      broken.length === this.#brokenPeers.length &&
      broken.every(({ incarnation }, at) => incarnation === this.#brokenPeers[at]?.incarnation);
    if (same) return;
    this.#brokenPeers = broken;
    this.#told = null;
    this.#tellChanged();
  }

  /** While a vote waits, peers are asked what became of it: they may have acted on its outcome. */
  #askSomePeer(): void {
    const { scheduler, random, engines } = this.#world;
    scheduler.timer(this.process, askPeersMs, () => this.#askSomePeer());
    if (this.swap.vote === null) return;
    const peer = engines[random.integer(engines.length)];
    if (peer !== undefined && peer !== this) this.#askPeer(peer);
  }

  #askPeer(peer: SimulatedEngine): void {
    const { fabric } = this.#world;
    fabric.send(this, peer, () => {
      if (peer.phase !== 'running') return;
      const { outcomes } = peer.swap;
      fabric.send(peer, this, () => {
        for (const { record } of outcomes) this.#hearFromPeer(record);
      });
    });
  }

  #hearFromPeer(recordBytes: Uint8Array): void {
    const { machines, reader, situations } = this.#world;
    const record = reader.record(recordBytes);
    const before = this.swap;
    const refused: CommandReply = () => {};
    this.#guarded(refused, () => {
      const taken = machines.applyPeerOutcome(before, record, recordBytes);
      if (taken.state === before) return;
      if (taken.action !== 'none') situations.count(`peer tells: ${taken.action}`);
      this.#follow(taken, { record, peer: true });
      this.#tellChanged();
    });
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
    const peer = member === undefined ? undefined : this.#engineOf(member);
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
      peer.seeVersion(token.version, this);
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

  /** A frame of a version that this engine has voted for, or not heard of: its sender knows more. */
  seeVersion(version: number, peer: SimulatedEngine): void {
    const { vote, committed } = this.swap;
    if (vote !== null && version >= vote.version) this.#askPeer(peer);
    else if (version > committed.version) this.#askPeer(peer);
  }
}
