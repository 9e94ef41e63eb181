import type {
  CommittedRecord,
  CoordinatorEffect,
  CoordinatorState,
  DurableRankState,
  EngineSwapState,
  Proposal,
  RankAnswer,
  RankSwapEffect,
  RankSwapEvent,
  Vote,
} from '@isobar/protocol';
import { includesMember, type Member, unionOfMembers } from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { Machines, Reader } from '../machines.js';
import type { SimulatedAgent } from '../processes/simulated-agent.js';
import type { SimulatedCoordinator } from '../processes/simulated-coordinator.js';
import type { Situations } from '../situations.js';
import type { World } from '../world.js';
import { AgentRules } from './agent-rules.js';
import { CommandRules } from './command-rules.js';
import { CutMembers } from './cut-members.js';
import { EngineRules, type SwapCause } from './engine-rules.js';
import { LeaderRules } from './leader-rules.js';
import { OfferRules } from './offer-rules.js';
import { OutcomeRules } from './outcome-rules.js';
import { ResidencyRules } from './residency-rules.js';
import { checkRoom } from './room-rule.js';

/** All rules of a run; each is looked at when something changes that it depends on. */
export class Rules {
  readonly outcomes = new OutcomeRules();
  readonly commands = new CommandRules();
  readonly offers = new OfferRules();
  readonly #engineRules: EngineRules;
  readonly #agentRules: AgentRules;
  readonly #leaderRules: LeaderRules;
  readonly residency: ResidencyRules;
  readonly #reader: Reader;
  readonly #situations: Situations;
  readonly #engines: readonly SimulatedEngine[];
  readonly #cut = new CutMembers();
  /** The newest version whose members' cuts were looked at. */
  #cutsLookedAtIn: CommittedRecord | null = null;

  constructor(world: World) {
    const { engines, reader, situations } = world;
    this.#reader = reader;
    this.#situations = situations;
    this.#engineRules = new EngineRules(this.outcomes);
    this.#agentRules = new AgentRules(this.outcomes, reader);
    this.#engines = engines;
    const isProvenDead = (engine: SimulatedEngine) =>
      !engine.process.alive ||
      this.#cut.has(engine) ||
      this.outcomes.isCountedOut(engine.incarnation);
    this.#leaderRules = new LeaderRules(engines, this.outcomes, this.#engineRules, isProvenDead);
    this.residency = new ResidencyRules(world, isProvenDead);
  }

  afterEvent(): void {
    const { missing } = this.residency;
    this.residency.check();
    if (missing === 0 && this.residency.missing > 0) this.#situations.count('expert missing');
  }

  engineStarted(_engine: SimulatedEngine): void {
    this.residency.dirty = true;
  }

  engineDied({ incarnation }: SimulatedEngine, agents: readonly SimulatedAgent[]): void {
    this.residency.dirty = true;
    this.outcomes.ended(incarnation, (version) =>
      agents.some(({ disk }) => disk.durable.outcomes.some((known) => known.version === version)),
    );
  }

  engineChanged(
    engine: SimulatedEngine,
    before: EngineSwapState,
    after: EngineSwapState,
    cause: SwapCause,
  ): void {
    this.#engineRules.changed(engine, before, after, cause);
    const { newestActed } = this.outcomes;
    const members = newestActed?.members ?? engine.membersOf(0);
    // Of fewer members others are a majority.
    const areMembersOthers = newestActed !== this.#cutsLookedAtIn;
    this.#cutsLookedAtIn = newestActed;
    if (after.cuts !== before.cuts || areMembersOthers) {
      this.#cut.look(this.#engines, members);
      for (const cut of after.cuts) {
        const isNew = areMembersOthers || !includesMember(before.cuts, cut);
        if (isNew) this.#countOutWhereCut(cut, members);
      }
    }
    if (after.cuts !== before.cuts) {
      this.#situations.count('member cut');
    }
    const held =
      after.mappingVersion === before.mappingVersion &&
      after.retiredUpTo === before.retiredUpTo &&
      after.standing === before.standing &&
      after.vote === before.vote &&
      after.cuts === before.cuts;
    if (!held) this.residency.dirty = true;
  }

  /**
   * All that are left of the members, a majority, refuse it: what it alone has acted on, and the agent beside it,
   * may be decided otherwise from now on.
   */
  #countOutWhereCut(cut: Member, members: readonly Member[]): void {
    const listed = this.#engines.filter(
      (engine) =>
        engine.process.alive &&
        includesMember(members, engine) &&
        engine.incarnation !== cut.incarnation &&
        !this.#cut.has(engine),
    );
    const isMajority = 2 * listed.length > members.length;
    if (!isMajority || !listed.every((engine) => includesMember(engine.swap.cuts, cut))) return;
    this.outcomes.outlive(cut.incarnation);
  }

  /** An operator's word for the death of an engine whose process is gone has been taken. */
  vouchedFor({ incarnation }: Member): void {
    this.outcomes.outlive(incarnation);
  }

  agentStepped(
    agent: SimulatedAgent,
    event: RankSwapEvent,
    before: DurableRankState,
    after: DurableRankState,
    effects: readonly RankSwapEffect[],
  ): void {
    this.#agentRules.stepped(agent, event, before, after, effects);
  }

  agentPersists(agent: SimulatedAgent, before: DurableRankState, after: DurableRankState): void {
    this.#agentRules.persists(agent, before, after);
  }

  agentVotes(agent: SimulatedAgent, vote: Vote): boolean {
    return this.#agentRules.votes(agent, vote);
  }

  agentAnswers(agent: SimulatedAgent, answer: RankAnswer): void {
    this.#agentRules.answers(agent, answer);
  }

  coordinatorProposes(
    { name, state }: SimulatedCoordinator,
    proposal: Proposal,
    roomFor: Machines['roomForWaves'],
  ): void {
    if (state.role.kind !== 'leading') return;
    const { leader } = state.role;
    const room = roomFor(leader, unionOfMembers(leader.swap.members, proposal.members));
    checkRoom(proposal, leader.swap.members, room, name);
  }

  coordinatorStepped(
    coordinator: SimulatedCoordinator,
    before: CoordinatorState,
    after: CoordinatorState,
    effects: readonly CoordinatorEffect[],
  ): void {
    this.commands.stepped(coordinator.name, before, after);
    this.offers.stepped(coordinator.name, before, after);
    for (const effect of effects) {
      if (effect.kind !== 'create-record') continue;
      this.#leaderRules.creates(this.#reader.record(effect.bytes), coordinator.name);
    }
  }
}
