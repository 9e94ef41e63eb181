import {
  abandonStaging,
  admitProposal,
  adoptBase,
  applyOutcome,
  applyPeerOutcome,
  type DurableRankState,
  decodeMapRecord,
  decodeProposal,
  type EngineCommand,
  type EngineDescription,
  type EngineState,
  type EngineSwapState,
  emptyDurableRankState,
  engineStateOf,
  type Fence,
  IsobarError,
  includesMember,
  initialEngineSwap,
  initialRankSwap,
  isFenced,
  type Member,
  membersWithout,
  type Proposal,
  type RankAnswer,
  type RankReport,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapState,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
  type StageCommand,
  type Standing,
  stepRankSwap,
  type Vote,
} from '@isobar/protocol';
import {
  incarnation as firstIncarnation,
  mappingOf,
  type Proposed,
  peer,
  rank,
  startMapping,
  type Told,
} from './swap-records.js';

interface Staging {
  readonly proposal: Proposal;
  readonly proposalBytes: Uint8Array;
  readonly commands: StageCommand[];
}

/** An engine with the protocol's guard; its weights are imagined. */
class Engine {
  swap: EngineSwapState;
  staging: Staging | null = null;
  readonly description: EngineDescription;

  constructor(incarnation: string, standing: Exclude<Standing, 'stopped'>) {
    this.swap = initialEngineSwap(rank, incarnation, startMapping.digest(), standing);
    this.description = describeEngine(incarnation);
  }

  get state(): EngineState {
    const mapping = mappingOf(this.swap.mappingVersion);
    return engineStateOf(this.swap, {
      mappingDigest: mapping.digest(),
      physicalToLogical: mapping.physicalToLogical,
      brokenPeers: [],
      freeBuffers: 4,
      step: 0,
    });
  }
}

/**
 * One rank: its agent's machine, a file, a connection and an engine. What is under way is
 * delivered when the test says so. The agent may die before any effect, with all that its
 * process knows; what it promises is checked against the file at each effect.
 */
export class RankUnderTest {
  agent: RankSwapState;
  saved: DurableRankState;
  engine: Engine | null = null;
  readonly votes: Vote[] = [];
  readonly answers: RankAnswer[] = [];
  readonly told: Exclude<RankSwapEffect, { readonly kind: 'send-report' | 'persist' }>[] = [];
  report: RankReport | null = null;
  /** The agent dies before the effect of this number, counted down; never where null. */
  effectsToLive: number | null = null;
  deaths = 0;
  #toEngine: EngineCommand[] = [];
  #toAgent: RankSwapEvent[] = [];

  constructor(saved: DurableRankState = emptyDurableRankState) {
    this.saved = saved;
    this.agent = initialRankSwap(rank, saved);
  }

  /** Commands that the agent has given and that have not been carried out. */
  get underWay(): readonly EngineCommand['kind'][] {
    return this.#toEngine.map(({ kind }) => kind);
  }

  alarms(): string[] {
    return this.told.flatMap((effect) => (effect.kind === 'alarm' ? [effect.alarm] : []));
  }

  hear(event: RankSwapEvent): void {
    const { state, effects } = stepRankSwap(this.agent, event);
    this.agent = state;
    for (const effect of effects) {
      if (this.effectsToLive === 0) {
        this.restartAgent();
        return;
      }
      if (this.effectsToLive !== null) this.effectsToLive -= 1;
      this.#perform(effect);
    }
  }

  /** The process is another; the engine's connection begins anew. */
  restartAgent(): void {
    this.effectsToLive = null;
    this.deaths += 1;
    this.agent = initialRankSwap(rank, this.saved);
    this.#toAgent = [];
    if (this.engine !== null) this.connect();
  }

  /** The process and its disk are others, and not connected yet. */
  moveAgent(): void {
    this.saved = emptyDurableRankState;
    this.agent = initialRankSwap(rank, this.saved);
    this.#toAgent = [];
    this.#toEngine = [];
  }

  startEngine(standing: Exclude<Standing, 'stopped'>, incarnation = firstIncarnation): void {
    this.engine = new Engine(incarnation, standing);
    this.connect();
  }

  /** The engine's process ends; the agent may not hear of that yet. */
  killEngine(): void {
    this.engine = null;
    this.#toEngine = [];
    this.#toAgent = [];
    this.hear({ kind: 'engine-lost' });
  }

  connect(process: Extract<RankSwapEvent, { kind: 'engine-hello' }>['process'] = null): void {
    const { description, state } = this.#present();
    this.#toEngine = [];
    this.#toAgent = [{ kind: 'engine-hello', description, state, process }];
  }

  prepare({ proposal, bytes }: Proposed, fence: Fence): void {
    this.hear({ kind: 'prepare', message: { schema: 1, fence, proposal: bytes }, proposal });
  }

  outcome({ record, bytes }: Told, fence: Fence): void {
    this.hear({ kind: 'outcome', message: { schema: 1, fence, record: bytes }, record });
  }

  query(fence: Fence): void {
    this.hear({ kind: 'query', query: { schema: 1, fence }, question: 0 });
  }

  retire(version: number, fence: Fence): void {
    this.hear({ kind: 'retire', message: { schema: 1, fence, version } });
  }

  /** A peer tells the engine an outcome that it has acted on. */
  peerTells({ record, bytes }: Told, from: Member = peer): void {
    const engine = this.#present();
    engine.swap = applyPeerOutcome(engine.swap, from, record, bytes).state;
    this.#tell({ kind: 'engine-changed', state: engine.state });
  }

  /** The engine carries out the oldest command that it has been given. */
  carryOutNext(): void {
    const command = this.#toEngine.shift();
    if (command !== undefined) this.#carryOut(command);
  }

  /** The agent hears the oldest thing that the engine has told. */
  hearNext(): void {
    const event = this.#toAgent.shift();
    if (event !== undefined) this.hear(event);
  }

  endStaging(verified = true): void {
    const engine = this.#present();
    const { staging } = engine;
    if (staging === null) return;
    engine.staging = null;
    try {
      if (!verified) throw new IsobarError('ISOBAR_ENGINE_TRANSFER_FAILED', 'a source is gone');
      engine.swap = recordVote(engine.swap, staging.proposal, staging.proposalBytes);
      for (const command of staging.commands) this.#done(command);
    } catch (error) {
      engine.swap = abandonStaging(engine.swap, staging.proposal.version);
      for (const command of staging.commands) this.#refuse(command, error);
    }
  }

  /** Between two steps: routes by what it is to follow, and has answered all older tokens. */
  endStep(): void {
    const engine = this.#present();
    const { switchingTo } = engine.swap;
    if (switchingTo === null) return;
    engine.swap = recordActivated(recordSwitch(engine.swap, switchingTo), switchingTo);
    this.#tell({ kind: 'engine-activated', state: engine.state });
  }

  /** Everything under way arrives; staging succeeds. */
  settle(): void {
    for (let round = 0; round < 100; round += 1) {
      if (this.#atRest()) return;
      this.carryOutNext();
      this.endStaging();
      this.endStep();
      this.hearNext();
    }
    throw new Error('agent and engine never come to rest');
  }

  #atRest(): boolean {
    if (this.engine === null) return true;
    const { staging, swap } = this.engine;
    const underWay = this.#toEngine.length + this.#toAgent.length;
    return underWay === 0 && staging === null && swap.switchingTo === null;
  }

  #present(): Engine {
    if (this.engine === null) throw new Error('there is no engine');
    return this.engine;
  }

  #tell(event: RankSwapEvent): void {
    this.#toAgent.push(event);
  }

  #done(command: EngineCommand): void {
    this.#tell({ kind: 'engine-done', command, state: this.#present().state });
  }

  #refuse(command: EngineCommand, error: unknown): void {
    if (!(error instanceof IsobarError)) throw error;
    const { code, message } = error;
    this.#tell({ kind: 'engine-refused', command, code, message, explicit: true });
  }

  #carryOut(command: EngineCommand): void {
    const engine = this.#present();
    try {
      if (command.kind === 'stage') {
        this.#stage(engine, command);
        return;
      }
      engine.swap = carriedOut(engine.swap, command);
      this.#done(command);
    } catch (error) {
      this.#refuse(command, error);
    }
  }

  #stage(engine: Engine, command: StageCommand): void {
    const proposal = decodeProposal(command.proposal);
    const { state, action } = admitProposal(engine.swap, command.fence, proposal);
    engine.swap = state;
    if (action === 'voted') this.#done(command);
    if (action === 'staging') engine.staging?.commands.push(command);
    if (action !== 'stage') return;
    this.endStaging();
    engine.staging = { proposal, proposalBytes: command.proposal, commands: [command] };
  }

  #perform(effect: RankSwapEffect): void {
    switch (effect.kind) {
      case 'persist':
        assertKept(this.saved, effect.durable, this.engine?.swap.cuts ?? []);
        this.saved = effect.durable;
        return;
      case 'send-report':
        assertSaved(this.saved.exited.length >= effect.report.exited.length, 'an end');
        this.report = effect.report;
        return;
      case 'send-vote':
        assertSaved(this.saved.vote?.version === effect.vote.version, 'a vote');
        assertSaved(this.saved.fence?.term === effect.vote.fence.term, 'a fence');
        this.votes.push(effect.vote);
        break;
      case 'answer':
        assertSaved(this.saved.fence?.term === effect.answer.fence?.term, 'a fence');
        this.answers.push(effect.answer);
        break;
      case 'command-engine':
        assertSaved(this.saved.fence?.term === effect.command.fence.term, 'a fence');
        this.#toEngine.push(effect.command);
        break;
    }
    this.told.push(effect);
  }
}

function carriedOut(
  swap: EngineSwapState,
  command: Exclude<EngineCommand, StageCommand>,
): EngineSwapState {
  const { fence } = command;
  switch (command.kind) {
    case 'query':
      return raiseFence(swap, fence);
    case 'activate':
    case 'discard':
      return applyOutcome(swap, fence, decodeMapRecord(command.record), command.record).state;
    case 'adopt':
      return adoptBase(swap, fence, decodeMapRecord(command.record), command.record).state;
    case 'cut':
      return recordCut(swap, fence, command.member);
    case 'retire':
      return recordRetired(swap, fence, command.version);
  }
}

/** Rule S3: nothing that was promised is taken back. */
function assertKept(
  before: DurableRankState,
  after: DurableRankState,
  cutsOfEngine: readonly Member[],
): void {
  if (before.fence !== null && (after.fence === null || isFenced(before.fence, after.fence))) {
    throw new Error(`the agent forgets term ${before.fence.term}`);
  }
  if (after.votedUpTo < before.votedUpTo) throw new Error('the agent forgets a vote');
  const forgotten = membersWithout(before.cuts, after.cuts);
  if (forgotten.some((cut) => includesMember(cutsOfEngine, cut))) {
    throw new Error('the agent forgets a cut');
  }
}

function assertSaved(isSaved: boolean, what: string): void {
  if (!isSaved) throw new Error(`the agent tells ${what} that it has not saved`);
}

function describeEngine(incarnation: string): EngineDescription {
  return {
    deployment: 'test',
    rank,
    numRanks: 3,
    incarnation,
    process: null,
    engine: 'test 1',
    modelRevision: 'r1',
    phase: 'mixed',
    modelLayerIds: Int32Array.of(0),
    numLogicalExperts: startMapping.numLogicalExperts,
    slotOffsets: startMapping.slotOffsets,
    pinnedSlots: new Int32Array(0),
    bytesPerExpert: 64,
    spareBuffers: 4,
    reserveBuffers: 1,
    replicaChoice: 'uniform',
    activation: 'two-table',
    staging: 'one-sided',
    digestAlgorithm: 'sha256',
    ownBalancer: false,
  };
}
