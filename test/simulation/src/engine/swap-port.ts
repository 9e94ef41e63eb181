import type { ExpertMapping } from '@isobar/eplb';
import type {
  EngineCommand,
  EngineSwapState,
  Fence,
  Member,
  OutcomeTaken,
  Proposal,
} from '@isobar/protocol';
import { present } from '../present.js';
import type { SwapCause } from '../rules/engine-rules.js';
import { RuleViolation } from '../rules/rule-violation.js';
import type { World } from '../world.js';
import type { CommandReply } from './engine-commands.js';
import { ExpertMemory } from './expert-memory.js';
import type { SimulatedEngine } from './simulated-engine.js';
import { Stager } from './stager.js';

const boundary = { leastMs: 1, spreadMs: 40 };
/** Tokens that are routed right before and after a switch. */
const burst = 3;

/**
 * The swap's side of one engine, as services/reference-engine has it: what the protocol's guard
 * admits, done to weights and tables.
 */
export class SwapPort {
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  readonly stager: Stager;
  #swap: EngineSwapState | null = null;
  #memory: ExpertMemory | null = null;
  readonly #members = new Map<number, readonly Member[]>();

  constructor(world: World, engine: SimulatedEngine) {
    this.#world = world;
    this.#engine = engine;
    this.stager = new Stager(world, engine, (proposal, bytes) => this.#onStaged(proposal, bytes));
  }

  get swap(): EngineSwapState {
    return present(this.#swap, 'an engine that runs');
  }

  get memory(): ExpertMemory {
    return present(this.#memory, 'an engine that runs');
  }

  /** Members of every version that it holds, by version. */
  get members(): ReadonlyMap<number, readonly Member[]> {
    return this.#members;
  }

  mappingOf(version: number): ExpertMapping {
    return present(this.memory.mappingOf(version), `version ${version}`);
  }

  /** The process is new: its guard knows nothing, its memory holds the start mapping. */
  reset(): void {
    const { machines, startMapping, shape } = this.#world;
    const { rank, incarnation } = this.#engine;
    this.#swap = machines.initialEngineSwap(rank, incarnation, startMapping.digest(), 'joining');
    this.#memory = new ExpertMemory({ rank, ...shape }, startMapping);
    this.#members.clear();
    this.stager.reset();
  }

  /** One of a group that starts together: serves the start mapping as version 0. */
  serveStart(members: readonly Member[]): void {
    const { machines, startMapping } = this.#world;
    const { rank, incarnation } = this.#engine;
    this.#swap = machines.initialEngineSwap(rank, incarnation, startMapping.digest(), 'serving');
    this.#members.set(0, members);
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
        this.#take(machines.recordRetired(this.swap, fence, command.version), {
          fence,
          retires: true,
        });
        this.memory.retire(command.version);
        this.#forgetMembers(command.version);
        if (this.memory.numWithheld > 0) this.#world.situations.count('memory given back');
        break;
      case 'cut':
        this.#take(machines.recordCut(this.swap, fence, command.member), { fence });
        this.#engine.peers.leaveBehind();
        break;
    }
    reply({ ok: true, state: this.#engine.state() });
  }

  /** Every change of the guard's state passes here, and is held against the rules. */
  #take(next: EngineSwapState, cause: SwapCause): void {
    const before = this.swap;
    this.#swap = next;
    this.#world.rules.engineChanged(this.#engine, before, next, cause);
    const { version } = this.stager;
    if (version === null || next.staging?.version === version) return;
    const text = `staging of version ${version} is no longer wanted`;
    const { IsobarError } = this.#world.machines;
    this.stager.end(new IsobarError('ISOBAR_ENGINE_STAGING_ABANDONED', text));
  }

  #stage(fence: Fence, proposalBytes: Uint8Array, reply: CommandReply): void {
    const { machines, reader } = this.#world;
    const proposal = reader.proposal(proposalBytes);
    const { state, action } = machines.admitProposal(this.swap, fence, proposal);
    this.#take(state, { fence });
    if (action === 'voted') {
      reply({ ok: true, state: this.#engine.state() });
      return;
    }
    if (action === 'staging') {
      this.stager.join(reply);
      return;
    }
    this.#assertOffered(proposal.version, proposalBytes);
    if (this.stager.begin(proposal, proposalBytes, reply)) return;
    this.abandon(proposal.version);
    const text = `too few buffers are spare for version ${proposal.version}`;
    throw new machines.IsobarError('ISOBAR_ENGINE_NO_SPARE_BUFFERS', text, {});
  }

  /** A slot that is not offered may have no memory any more. */
  #assertOffered(version: number, proposalBytes: Uint8Array): void {
    const { machines, reader, situations } = this.#world;
    const { rank, offeredSlots, mapping } = this.#engine;
    if (offeredSlots === null) return;
    const base = this.mappingOf(this.swap.committed.version);
    const held = this.swap.standing === 'joining' ? [base] : [base, mapping];
    try {
      machines.assertOffered(rank, offeredSlots, reader.target(base, proposalBytes), held);
    } catch (error) {
      situations.count('proposal refused: it fills a slot that is not offered');
      this.abandon(version);
      throw error;
    }
  }

  #onStaged(proposal: Proposal, proposalBytes: Uint8Array): void {
    this.#members.set(proposal.version, proposal.members);
    const { machines } = this.#world;
    this.#take(machines.recordVote(this.swap, proposal, proposalBytes), { proposal });
    this.#engine.peers.awaitOutcome();
    this.#world.log(() => `${this.#engine.name} has staged version ${proposal.version}`);
  }

  /** No vote was given for a version, and none will be. */
  abandon(version: number): void {
    const abandoned = this.#world.machines.abandonStaging(this.swap, version);
    if (abandoned !== this.swap) this.#take(abandoned, {});
  }

  #follow({ state, action, discarded }: OutcomeTaken, cause: SwapCause): void {
    const { record } = cause;
    if (action === 'adopt' && record?.outcome === 'committed') {
      const startUncounted = this.swap.standing === 'joining';
      this.memory.adopt(record.version, this.#world.reader.mapping(record), startUncounted);
      this.#members.set(record.version, record.members);
      this.#world.log(() => `${this.#engine.name} adopts version ${record.version} as its base`);
    }
    this.#take(state, cause);
    if (discarded !== null) this.#discard(discarded);
    if (action === 'switch') this.#switchSoon();
    if (action === 'adopt') this.#engine.peersChanged();
    if (action === 'stop') {
      this.#world.log(
        () => `${this.#engine.name} stops: version ${record?.version} does not list it`,
      );
      this.#engine.tellChanged();
    }
  }

  #discard(version: number): void {
    this.memory.discard(version);
    this.#members.delete(version);
    this.#world.log(() => `${this.#engine.name} discards version ${version}`);
  }

  #switchSoon(): void {
    if (this.#world.isInPlace && !this.#world.faults.switchAlone) {
      this.#world.groupStep.soon();
      return;
    }
    const { scheduler, random } = this.#world;
    const waitMs = boundary.leastMs + random.next() * boundary.spreadMs;
    scheduler.toLife(this.#engine.process, waitMs, () => {
      if (this.swap.switchingTo === null) return;
      this.#engine.traffic.route(burst);
      this.switchNow();
      this.#engine.traffic.route(burst);
      this.settleDrained();
    });
  }

  /** Between two steps: routes by the version that it has been told to switch to. */
  switchNow(): void {
    const { machines } = this.#world;
    const version = this.swap.switchingTo;
    if (version === null) return;
    if (this.memory.mappingOf(version) === null) {
      throw new RuleViolation(
        'S4',
        `${this.#engine.name} switches to version ${version}, not staged`,
      );
    }
    this.memory.beginServing(version);
    this.#take(machines.recordSwitch(this.swap, version), {});
    // In place nothing older is left: the slots' own buffers hold the new weights.
    if (this.#world.isInPlace) this.memory.keepOnly(version);
    this.#world.log(() => `${this.#engine.name} routes by version ${version}`);
    this.#engine.peers.leaveBehind();
    this.#engine.peersChanged();
    if (this.#world.isInPlace) this.settleDrained();
  }

  /** Tells that a version is activated, once no token of an older one is under way. */
  settleDrained(): void {
    const { mappingVersion, activatedVersion } = this.swap;
    const drained =
      this.#world.faults.activatedAtOnce || this.#engine.traffic.isDrained(mappingVersion);
    if (mappingVersion <= activatedVersion || !drained) return;
    this.#take(this.#world.machines.recordActivated(this.swap, mappingVersion), {});
    this.#engine.tellActivated();
  }

  #forgetMembers(below: number): void {
    for (const version of this.#members.keys()) if (version < below) this.#members.delete(version);
  }

  /** An outcome that a peer has acted on: needs no fence (rule S6). */
  hearFromPeer(from: Member, recordBytes: Uint8Array): void {
    const { machines, reader, situations } = this.#world;
    const record = reader.record(recordBytes);
    const before = this.swap;
    this.#guarded(
      () => {},
      () => {
        const taken = machines.applyPeerOutcome(before, from, record, recordBytes);
        if (taken.state === before) return;
        if (taken.action !== 'none') situations.count(`peer tells: ${taken.action}`);
        this.#follow(taken, { record, peer: true });
        this.#engine.tellChanged();
      },
    );
  }
}
