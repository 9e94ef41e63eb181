import { ExpertMapping } from '@isobar/eplb';
import {
  abandonStaging,
  admitProposal,
  applyOutcome,
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapState,
  type DurableRankState,
  decodeMapRecord,
  decodeProposal,
  type EngineCommand,
  type EngineDescription,
  type EngineState,
  type EngineSwapState,
  emptyDurableRankState,
  encodeTransfers,
  type Fence,
  type Ground,
  IsobarError,
  initialCoordinatorSwap,
  initialEngineSwap,
  initialRankSwap,
  initialTakeover,
  isFenced,
  type MapRecord,
  type RankAnswer,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapState,
  raiseFence,
  readDecidedVersion,
  recordActivated,
  recordRetired,
  recordSwitch,
  recordVote,
  stepCoordinatorSwap,
  stepRankSwap,
  stepTakeover,
  type TakeoverEffect,
  type TakeoverEvent,
  type TakeoverState,
  type Wave,
  wholeMapping,
} from '@isobar/protocol';
import { createRandom, type Random } from '@isobar/trace';

/** What may go wrong, each a probability per occasion. */
export interface Hostility {
  readonly lose: number;
  readonly duplicate: number;
  /** Of an actor, at each of its events; an agent may die between two of its effects. */
  readonly crash: number;
  /** A write to the store whose answer never comes, though it lands. */
  readonly ambiguousWrite: number;
  readonly stagingFails: number;
}

export const calm: Hostility = {
  lose: 0,
  duplicate: 0,
  crash: 0,
  ambiguousWrite: 0,
  stagingFails: 0,
};

export interface SwapWorldOptions {
  readonly seed: number;
  readonly numRanks: number;
  readonly hostility: Hostility;
}

interface Engine {
  swap: EngineSwapState;
  readonly description: EngineDescription;
  mappings: Map<number, ExpertMapping>;
}

interface Agent {
  state: RankSwapState;
  durable: DurableRankState;
  /** Drawn at each start: what was meant for an earlier process never reaches a later one. */
  life: number;
}

type Leader =
  | { readonly kind: 'taking-over'; readonly fence: Fence; readonly state: TakeoverState }
  | {
      readonly kind: 'leading';
      readonly fence: Fence;
      readonly state: CoordinatorSwapState;
      readonly mapping: ExpertMapping;
    };

interface Delivery {
  readonly label: string;
  readonly run: () => void;
}

const shape = { numLayers: 2, numLogicalExperts: 6 };
const timings = {
  prepareDeadlineMs: 2_000,
  discardDeadlineMs: 3_000,
  decideDeadlineMs: 10_000,
  activateDeadlineMs: 10_000,
  retireDeadlineMs: 10_000,
};
const tickMs = 250;

/**
 * Coordinators, agents, engines and a store, joined by a network that a seeded scheduler runs
 * in any order. The machines are those of production; after every event the safety rules are
 * checked, and the first breach is thrown.
 */
export class SwapWorld {
  readonly transcript: string[] = [];
  readonly finished: { version: number; outcome: string }[] = [];
  readonly store = new Map<number, Uint8Array>();
  readonly leaders: Leader[] = [];
  readonly agents: Agent[] = [];
  readonly engines: Engine[] = [];
  hostility: Hostility;
  readonly #random: Random;
  #network: Delivery[] = [];
  #nowMs = 0;
  #terms = 0;
  readonly #votes = new Map<string, string>();

  constructor(options: SwapWorldOptions) {
    this.#random = createRandom(options.seed);
    this.hostility = options.hostility;
    const start = ExpertMapping.contiguous({
      ...shape,
      numRanks: options.numRanks,
      numPhysicalExperts: 3 * options.numRanks,
    });
    for (let rank = 0; rank < options.numRanks; rank += 1) {
      const incarnation = rank.toString(16).padStart(16, 'e');
      const description = describeEngine(rank, options.numRanks, incarnation, start);
      const swap = initialEngineSwap(rank, incarnation, start.digest());
      this.engines.push({ swap, description, mappings: new Map([[0, start]]) });
      const state = initialRankSwap(rank, emptyDurableRankState);
      this.agents.push({ state, durable: emptyDurableRankState, life: 0 });
      this.#greet(rank);
    }
  }

  get ranks(): number[] {
    return this.engines.map((_, rank) => rank);
  }

  /** A coordinator claims leadership under the next term; those before it may live on. */
  elect(): void {
    this.#terms += 1;
    const fence = { term: this.#terms, nonce: this.#terms.toString(16).padStart(16, '0') };
    const stored = [...this.store.values()].map(readDecidedVersion);
    const state = initialTakeover(fence, this.ranks, stored, { dead: [], cutAfterMs: 5_000 });
    this.leaders.push({ kind: 'taking-over', fence, state });
    this.#log(`coordinator ${fence.term} claims term ${fence.term}`);
    this.#toTakeover(this.leaders.length - 1, { kind: 'tick' });
  }

  crashLeader(index: number): void {
    this.#log(`coordinator ${this.leaders[index]?.fence.term} dies`);
    this.leaders.splice(index, 1);
  }

  crashAgent(rank: number): void {
    const agent = this.#agent(rank);
    this.#log(`agent ${rank} dies and starts again`);
    const life = agent.life + 1;
    const { durable } = agent;
    this.agents[rank] = { state: initialRankSwap(rank, durable), durable, life };
    this.#greet(rank);
  }

  /** The leader begins a rebalance of `count` waves, where it leads and nothing is open. */
  begin(count: number): boolean {
    const leader = this.leaders.at(-1);
    if (leader?.kind !== 'leading' || leader.state.open !== null) return false;
    let mapping = leader.mapping;
    const waves: Wave[] = [];
    for (let index = 0; index < count; index += 1) {
      const next = this.#rearranged(mapping);
      waves.push(waveOf(mapping, next, `wave ${index + 1} of ${count}`));
      mapping = next;
    }
    this.#toLeader(this.leaders.length - 1, { kind: 'begin', waves });
    return true;
  }

  /** One occasion: time passes for somebody, or a message arrives. */
  step(): void {
    this.#nowMs += 10;
    if (this.#network.length === 0 || this.#chance(0.1)) this.#tickSomebody();
    else this.#deliver(this.#random.integer(this.#network.length));
    this.#checkRules();
  }

  /** Delivers in order until nothing is under way; then time passes for everybody. */
  round(): void {
    while (this.#network.length > 0) {
      this.#deliver(0);
      this.#checkRules();
    }
    this.#nowMs += tickMs;
    this.leaders.forEach((_, index) => {
      this.#tickLeader(index);
    });
    for (const rank of this.ranks) this.#toAgent(rank, { kind: 'tick' });
    this.#checkRules();
  }

  /** Rule L1: one version everywhere, nothing staged, nothing open. */
  get settled(): boolean {
    const leader = this.leaders.at(-1);
    if (leader?.kind !== 'leading' || leader.state.open !== null) return false;
    const { version } = leader.state.newest;
    return this.engines.every(
      ({ swap }) => swap.mappingVersion === version && swap.vote === null && swap.staging === null,
    );
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #log(line: string): void {
    this.transcript.push(line);
  }

  #agent(rank: number): Agent {
    return present(this.agents[rank]);
  }

  #engine(rank: number): Engine {
    return present(this.engines[rank]);
  }

  #send(label: string, run: () => void): void {
    if (this.#chance(this.hostility.lose)) return;
    this.#network.push({ label, run });
    if (this.#chance(this.hostility.duplicate)) this.#network.push({ label, run });
  }

  /** Over a stream: neither lost nor doubled, in order, while both ends live. */
  #sendOrdered(rank: number, label: string, run: () => void): void {
    const { life } = this.#agent(rank);
    this.#network.push({
      label,
      run: () => {
        if (this.#agent(rank).life === life) run();
      },
    });
  }

  #deliver(index: number): void {
    const chosen = present(this.#network[index]);
    // What one stream carries keeps its order; the oldest of its kind goes first.
    const first = chosen.label.startsWith('stream')
      ? this.#network.findIndex(({ label }) => label === chosen.label)
      : index;
    const [delivery] = this.#network.splice(first, 1);
    delivery?.run();
  }

  #tickSomebody(): void {
    const somebody = this.#random.integer(this.leaders.length + this.agents.length);
    this.#nowMs += tickMs;
    if (somebody < this.leaders.length) this.#tickLeader(somebody);
    else this.#toAgent(somebody - this.leaders.length, { kind: 'tick' });
  }

  #tickLeader(index: number): void {
    if (this.leaders[index]?.kind === 'leading') this.#toLeader(index, { kind: 'tick' });
    else this.#toTakeover(index, { kind: 'tick' });
  }

  #indexOf(fence: Fence): number {
    return this.leaders.findIndex((leader) => leader.fence.term === fence.term);
  }

  #toTakeover(index: number, event: TakeoverEvent): void {
    const leader = this.leaders[index];
    if (leader?.kind !== 'taking-over') return;
    const { state, effects } = stepTakeover(leader.state, event, this.#nowMs);
    this.leaders[index] = { ...leader, state };
    for (const effect of effects) this.#performTakeover(leader.fence, effect);
  }

  #performTakeover(fence: Fence, effect: TakeoverEffect): void {
    switch (effect.kind) {
      case 'ask':
        for (const rank of effect.ranks) {
          this.#send(`query ${rank}`, () =>
            this.#toAgent(rank, {
              kind: 'query',
              query: { schema: 1, fence },
              question: fence.term,
            }),
          );
        }
        return;
      case 'create-record':
        this.#create(fence, effect.version, effect.bytes);
        return;
      case 'outranked':
        this.crashLeader(this.#indexOf(fence));
        return;
      case 'complete':
        this.#lead(fence, effect.ground);
        return;
      case 'failed':
        throw effect.error;
      case 'send-cut':
      case 'alarm':
        return;
    }
  }

  #lead(fence: Fence, ground: Ground): void {
    const { newest, voided, members, nextVersion, retiredUpTo, mapping } = ground;
    const state = initialCoordinatorSwap({
      fence,
      timings,
      newest,
      voided,
      members,
      nextVersion,
      retiredUpTo,
    });
    const index = this.#indexOf(fence);
    this.leaders[index] = { kind: 'leading', fence, state, mapping };
    this.#log(`coordinator ${fence.term} leads from version ${newest.version}`);
    const { newestOutcome } = ground;
    if (newestOutcome !== null) this.#toLeader(index, { kind: 'resume', ...newestOutcome });
  }

  #toLeader(index: number, event: CoordinatorSwapEvent): void {
    const leader = this.leaders[index];
    if (leader?.kind !== 'leading') return;
    const { state, effects } = stepCoordinatorSwap(leader.state, event, this.#nowMs);
    this.leaders[index] = { ...leader, state };
    for (const effect of effects) this.#performLeader(leader.fence, effect);
    const at = this.#indexOf(leader.fence);
    if (at >= 0 && this.leaders.length > 1 && this.#chance(this.hostility.crash)) {
      this.crashLeader(at);
    }
  }

  #performLeader(fence: Fence, effect: CoordinatorSwapEffect): void {
    switch (effect.kind) {
      case 'send-prepare': {
        const { message } = effect;
        const proposal = decodeProposal(message.proposal);
        this.#broadcast('prepare', { kind: 'prepare', message, proposal });
        return;
      }
      case 'send-outcome': {
        const { message } = effect;
        const record = decodeMapRecord(message.record);
        this.#mustBeStored(record, `coordinator ${fence.term} tells`);
        this.#broadcast('outcome', { kind: 'outcome', message, record });
        return;
      }
      case 'send-retire':
        this.#broadcast('retire', { kind: 'retire', message: effect.message });
        return;
      case 'send-state':
        this.#broadcast('swap-state', { kind: 'swap-state', message: effect.message });
        return;
      case 'create-record':
        this.#create(fence, effect.version, effect.bytes);
        return;
      case 'settled':
        this.#settled(fence, effect.record);
        return;
      case 'swap-finished': {
        const { version, outcome } = effect;
        this.finished.push({ version, outcome });
        this.#log(`version ${version} has ended: ${outcome}`);
        return;
      }
      case 'deposed':
        this.crashLeader(this.#indexOf(fence));
        return;
      case 'decided':
      case 'experts-missing':
      case 'refused':
      case 'alarm':
        return;
    }
  }

  #settled(fence: Fence, record: MapRecord): void {
    const index = this.#indexOf(fence);
    const leader = this.leaders[index];
    if (leader?.kind !== 'leading' || record.outcome !== 'committed') return;
    this.leaders[index] = { ...leader, mapping: ExpertMapping.create(record.mapping) };
  }

  #broadcast(label: string, event: RankSwapEvent): void {
    for (const rank of this.ranks) {
      this.#send(`${label} to ${rank}`, () => this.#toAgent(rank, event));
    }
  }

  /** Creates where absent. The write may land late, and its answer may never come. */
  #create(fence: Fence, version: number, bytes: Uint8Array): void {
    this.#network.push({
      label: `create map.${version}`,
      run: () => {
        const existing = this.store.get(version);
        if (existing === undefined) {
          this.store.set(version, bytes);
          const { outcome } = decodeMapRecord(bytes);
          this.#log(`map.${version} is created as ${outcome} by coordinator ${fence.term}`);
        }
        if (this.#chance(this.hostility.ambiguousWrite)) return;
        this.#settleWrite(fence, version, existing);
      },
    });
  }

  #settleWrite(fence: Fence, version: number, existing: Uint8Array | undefined): void {
    const index = this.#indexOf(fence);
    const created = { kind: 'record-created', version } as const;
    if (this.leaders[index]?.kind === 'taking-over') {
      const exists =
        existing && ({ kind: 'record-exists', existing: readDecidedVersion(existing) } as const);
      this.#toTakeover(index, exists ?? created);
      return;
    }
    const exists =
      existing && ({ kind: 'record-exists', existing: readDecidedVersion(existing) } as const);
    this.#toLeader(index, exists ?? created);
  }

  #greet(rank: number): void {
    const { description } = this.#engine(rank);
    this.#sendOrdered(rank, `stream from engine ${rank}`, () =>
      this.#toAgent(rank, { kind: 'engine-hello', description, state: this.#engineState(rank) }),
    );
  }

  #toAgent(rank: number, event: RankSwapEvent): void {
    const agent = this.#agent(rank);
    const { state, effects } = stepRankSwap(agent.state, event);
    this.agents[rank] = { ...agent, state };
    for (const effect of effects) {
      // Dies before this effect, and after those before it.
      if (this.#chance(this.hostility.crash)) {
        this.crashAgent(rank);
        return;
      }
      this.#performAgent(rank, effect);
    }
  }

  #performAgent(rank: number, effect: RankSwapEffect): void {
    const agent = this.#agent(rank);
    switch (effect.kind) {
      case 'persist':
        this.#checkDurable(rank, agent.durable, effect.durable);
        this.agents[rank] = { ...agent, durable: effect.durable };
        return;
      case 'command-engine':
        this.#sendOrdered(rank, `stream to engine ${rank}`, () =>
          this.#command(rank, effect.command),
        );
        return;
      case 'send-vote': {
        const { vote } = effect;
        this.#checkVote(rank, vote.version, `${vote.digest} ${vote.yes}`);
        this.#send(`vote of ${rank}`, () =>
          this.#toLeader(this.#indexOf(vote.fence), { kind: 'vote', vote }),
        );
        return;
      }
      case 'send-report': {
        const { report } = effect;
        for (const { fence } of this.leaders) {
          this.#send(`report of ${rank}`, () =>
            this.#toLeader(this.#indexOf(fence), { kind: 'report', report }),
          );
        }
        return;
      }
      case 'ask-outcomes':
        this.#send(`question of ${rank}`, () => this.#answerOutcomes(rank, effect.since));
        // A question that nobody answers ends by its own deadline.
        this.#sendOrdered(rank, `deadline of ${rank}`, () =>
          this.#toAgent(rank, { kind: 'outcomes-unanswered' }),
        );
        return;
      case 'answer':
        this.#answer(effect.question, effect.answer);
        return;
      case 'activated':
      case 'refused':
      case 'alarm':
        return;
    }
  }

  #answerOutcomes(rank: number, since: number): void {
    const leader = this.leaders.at(-1);
    if (leader?.kind !== 'leading') return;
    const newest = leader.state.newest.version;
    const outcomes = [...this.store.entries()]
      .filter(([version]) => version > since && version >= newest)
      .filter(([version]) => version <= newest || leader.state.voided.includes(version))
      .map(([, bytes]) => readDecidedVersion(bytes).known);
    this.#send(`outcomes to ${rank}`, () =>
      this.#toAgent(rank, { kind: 'outcomes-told', fence: leader.fence, outcomes }),
    );
  }

  #answer(term: number, answer: RankAnswer): void {
    const outcomes = answer.outcomes.map(({ record }) => readDecidedVersion(record));
    this.#send(`answer of ${answer.rank}`, () => {
      const index = this.leaders.findIndex((leader) => leader.fence.term === term);
      this.#toTakeover(index, { kind: 'answer', answer, outcomes });
    });
  }

  #command(rank: number, command: EngineCommand): void {
    try {
      this.#carryOut(rank, command);
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      const { code, message } = error;
      this.#tell(rank, () => ({
        kind: 'engine-refused',
        command,
        code,
        message,
        explicit: true,
      }));
    }
  }

  #tell(rank: number, event: () => RankSwapEvent): void {
    const told = event();
    this.#sendOrdered(rank, `stream from engine ${rank}`, () => this.#toAgent(rank, told));
  }

  #done(rank: number, command: EngineCommand): void {
    this.#tell(rank, () => ({ kind: 'engine-done', command, state: this.#engineState(rank) }));
  }

  #carryOut(rank: number, command: EngineCommand): void {
    const engine = this.#engine(rank);
    switch (command.kind) {
      case 'query':
        engine.swap = raiseFence(engine.swap, command.fence);
        this.#done(rank, command);
        return;
      case 'stage':
        this.#stage(rank, command);
        return;
      case 'activate':
      case 'discard':
        this.#applyOutcome(rank, command);
        return;
      case 'retire':
        engine.swap = recordRetired(engine.swap, command.fence, command.version);
        this.#done(rank, command);
        return;
    }
  }

  #stage(rank: number, command: Extract<EngineCommand, { readonly kind: 'stage' }>): void {
    const engine = this.#engine(rank);
    const proposal = decodeProposal(command.proposal);
    const { state, action } = admitProposal(engine.swap, command.fence, proposal);
    engine.swap = state;
    if (action === 'voted') this.#done(rank, command);
    if (action !== 'stage') return;
    this.#network.push({
      label: `staging of ${rank}`,
      run: () => {
        if (engine.swap.staging?.version !== proposal.version) return;
        if (this.#chance(this.hostility.stagingFails)) {
          engine.swap = abandonStaging(engine.swap, proposal.version);
          const refused = { code: 'ISOBAR_ENGINE_TRANSFER_FAILED', message: 'a source is gone' };
          this.#tell(rank, () => ({
            kind: 'engine-refused',
            command,
            ...refused,
            explicit: true,
          }));
          return;
        }
        engine.swap = recordVote(engine.swap, proposal, command.proposal);
        this.#log(`engine ${rank} has staged version ${proposal.version}`);
        this.#done(rank, command);
      },
    });
  }

  #applyOutcome(
    rank: number,
    command: Extract<EngineCommand, { readonly kind: 'activate' | 'discard' }>,
  ): void {
    const engine = this.#engine(rank);
    const record = decodeMapRecord(command.record);
    const { state, action } = applyOutcome(engine.swap, command.fence, record);
    engine.swap = state;
    if (action === 'switch') this.#switch(rank, record);
    if (action === 'discard') this.#log(`engine ${rank} discards version ${record.version}`);
    this.#done(rank, command);
  }

  #switch(rank: number, record: MapRecord): void {
    const engine = this.#engine(rank);
    this.#mustBeStored(record, `engine ${rank} switches to`);
    if (record.outcome !== 'committed') throw new Error(`S2: engine ${rank} activates a void`);
    engine.mappings.set(record.version, ExpertMapping.create(record.mapping));
    engine.swap = recordSwitch(engine.swap, record.version);
    this.#log(`engine ${rank} routes by version ${record.version}`);
    this.#network.push({
      label: `old tokens of ${rank}`,
      run: () => {
        engine.swap = recordActivated(engine.swap, record.version);
        this.#tell(rank, () => ({ kind: 'engine-activated', state: this.#engineState(rank) }));
      },
    });
  }

  #engineState(rank: number): EngineState {
    const { swap, mappings } = this.#engine(rank);
    const mapping = present(mappings.get(swap.mappingVersion));
    return {
      fence: swap.fence,
      committedVersion: swap.committed.version,
      mappingVersion: swap.mappingVersion,
      mappingDigest: mapping.digest(),
      physicalToLogical: mapping.physicalToLogical,
      activatedVersion: swap.activatedVersion,
      retiredUpTo: swap.retiredUpTo,
      votedUpTo: swap.votedUpTo,
      vote: swap.vote,
      standing: 'serving',
      outcomes: [],
      cuts: [],
      brokenPeers: [],
      freeBuffers: 4,
      step: 0,
    };
  }

  #rearranged(mapping: ExpertMapping): ExpertMapping {
    const rows = mapping.row(0).slice();
    const a = this.#random.integer(rows.length);
    const b = (a + 1 + this.#random.integer(rows.length - 1)) % rows.length;
    [rows[a], rows[b]] = [present(rows[b]), present(rows[a])];
    return mapping.apply({ layers: Int32Array.of(0), rows });
  }

  /** S1 and S2: what is told or acted on was created, with these very contents. */
  #mustBeStored(record: MapRecord, who: string): void {
    const stored = this.store.get(record.version);
    if (stored === undefined) throw new Error(`S2: ${who} ${record.version}, which is not created`);
    const created = decodeMapRecord(stored);
    const digestOf = (of: MapRecord) => (of.outcome === 'committed' ? of.digest : 'void');
    if (digestOf(created) !== digestOf(record)) {
      throw new Error(`S1: ${who} another outcome of ${record.version} than was created`);
    }
  }

  /** S3: once per version, and never for another content. */
  #checkVote(rank: number, version: number, content: string): void {
    const key = `${rank} ${version}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== content) {
      throw new Error(`S3: rank ${rank} votes on version ${version} twice, differently`);
    }
    const { durable } = this.#agent(rank);
    if (durable.votedUpTo < version) throw new Error(`S3: rank ${rank} votes before writing it`);
    this.#votes.set(key, content);
  }

  /** S3: nothing that was promised is taken back. */
  #checkDurable(rank: number, before: DurableRankState, after: DurableRankState): void {
    if (before.fence !== null && (after.fence === null || isFenced(before.fence, after.fence))) {
      throw new Error(`S3: agent ${rank} forgets term ${before.fence.term}`);
    }
    if (after.votedUpTo < before.votedUpTo) throw new Error(`S3: agent ${rank} forgets a vote`);
  }

  readonly #openVotes = new Map<number, number>();

  /** S6: a yes vote is gone only once its version has an outcome. */
  #checkRules(): void {
    this.engines.forEach(({ swap }, rank) => {
      const before = this.#openVotes.get(rank);
      const now = swap.vote?.version;
      if (before !== undefined && now !== before && !this.store.has(before)) {
        throw new Error(`S6: engine ${rank} is released from ${before}, which has no outcome`);
      }
      if (now === undefined) this.#openVotes.delete(rank);
      else this.#openVotes.set(rank, now);
    });
  }
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the world has lost a part of itself');
  return value;
}

function waveOf(from: ExpertMapping, to: ExpertMapping, reason: string): Wave {
  const { layers, rows } = from.delta(to);
  const transfers = encodeTransfers([]);
  return {
    change: 'rebalance',
    reason,
    mapping: wholeMapping(to),
    digest: to.digest(),
    layers,
    rows,
    transfers,
  };
}

function describeEngine(
  rank: number,
  numRanks: number,
  incarnation: string,
  start: ExpertMapping,
): EngineDescription {
  return {
    deployment: 'world',
    rank,
    numRanks,
    incarnation,
    process: null,
    engine: 'world 1',
    modelRevision: 'r1',
    phase: 'mixed',
    modelLayerIds: Int32Array.from({ length: start.numLayers }, (_, layer) => layer),
    numLogicalExperts: start.numLogicalExperts,
    slotOffsets: start.slotOffsets,
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
