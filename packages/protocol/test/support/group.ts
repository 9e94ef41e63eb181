import { ExpertMapping, type TransferTopology } from '@isobar/eplb';
import {
  type Addressees,
  type ControlRecord,
  type DecidedVersion,
  decodeProposal,
  type EngineDescription,
  type EngineState,
  type Fence,
  initialLeader,
  initialTakeover,
  type KnownOutcome,
  type LeaderEffect,
  type LeaderEvent,
  type LeaderState,
  type LeaderTimings,
  type Member,
  mappingOfRecord,
  type Proposal,
  type RankAnswer,
  type RankReport,
  readDecidedVersion,
  stepLeader,
  stepTakeover,
  type TakeoverEffect,
  type TakeoverEvent,
  type TakeoverState,
  takeoverAnswer,
  type Vote,
} from '@isobar/protocol';

/** A rank as a leader sees it: an engine that does at once what it is told, while it lives. */
export interface TestRank {
  rank: number;
  incarnation: string;
  fence: Fence | null;
  standing: EngineState['standing'];
  base: { version: number; digest: string };
  mapping: ExpertMapping;
  mappingVersion: number;
  activatedVersion: number;
  retiredUpTo: number;
  votedUpTo: number;
  /** Its agent, for an engine before, has voted on or seen decided all up to this one. */
  agentVotedUpTo: number;
  vote: EngineState['vote'];
  outcomes: readonly KnownOutcome[];
  cuts: readonly Member[];
  brokenPeers: readonly Member[];
  offeredSlots?: number;
  leaving?: boolean;
  freeBuffers: number;
  exited: readonly string[];
  /** Hears and says nothing. */
  isSilent: boolean;
  /** Its agent lives, its engine is gone. */
  isGone: boolean;
  /** Why it votes no. */
  refusal: string | null;
  /** Its agent is of before single ranks were told: hears what is sent to all. */
  isOlder: boolean;
  /** Hears nothing of outcomes. */
  missesOutcomes: boolean;
  /** Hears nothing of what is retired. */
  missesRetire: boolean;
  /** Hears nothing of who is to be cut. */
  missesCuts: boolean;
}

export const timings: LeaderTimings = {
  prepareDeadlineMs: 2_000,
  discardDeadlineMs: 1_000,
  decideDeadlineMs: 3_000,
  activateDeadlineMs: 3_000,
  retireDeadlineMs: 3_000,
  cutAfterMs: 1_000,
  backOffMs: 10_000,
  retryMs: 500,
};

export function fenceOf(term: number): Fence {
  return { term, nonce: term.toString(16).padStart(16, '0') };
}

export function controlOf(fields: Partial<ControlRecord> = {}): ControlRecord {
  const fresh = { mode: 'observe', paused: false, held: null } as const;
  const none = { drained: [], slotLimits: [], dead: [], parameters: {}, requests: [] };
  return { schema: 1, fence: fenceOf(1), ...fresh, ...none, ...fields };
}

export function incarnationOf(rank: number, life = 0): string {
  return `${life.toString(16)}${rank.toString(16).padStart(15, 'e')}`;
}

/** Ranks, a store and a leader that talk to one another without loss, at the test's pace. */
export class Group {
  readonly ranks: TestRank[];
  readonly store = new Map<number, DecidedVersion>();
  readonly effects: LeaderEffect[] = [];
  readonly start: ExpertMapping;
  readonly numRanks: number;
  leader: LeaderState | null = null;
  takeover: TakeoverState | null = null;
  takeoverEffects: TakeoverEffect[] = [];
  control = controlOf();
  nowMs = 0;
  /** Creations are refused an answer. */
  storeIsDown = false;
  activation: EngineDescription['activation'] = 'two-table';
  spareBuffers = 4;
  topology: TransferTopology | null = null;
  payloadBytesMax = 1_048_576;

  constructor(numRanks: number, shape: { slotsPerRank?: number; numLogicalExperts?: number } = {}) {
    const { slotsPerRank = 2, numLogicalExperts = numRanks } = shape;
    this.numRanks = numRanks;
    this.start = ExpertMapping.contiguous({
      numLayers: 1,
      numLogicalExperts,
      numRanks,
      numPhysicalExperts: numRanks * slotsPerRank,
    });
    this.ranks = Array.from({ length: numRanks }, (_, rank) => this.#newRank(rank, 0, 'serving'));
  }

  #newRank(rank: number, life: number, standing: EngineState['standing']): TestRank {
    const base = { version: 0, digest: this.start.digest() };
    return {
      rank,
      incarnation: incarnationOf(rank, life),
      fence: null,
      standing,
      base,
      mapping: this.start,
      mappingVersion: 0,
      activatedVersion: 0,
      retiredUpTo: 0,
      votedUpTo: 0,
      agentVotedUpTo: 0,
      vote: null,
      outcomes: [],
      cuts: [],
      brokenPeers: [],
      freeBuffers: 4,
      exited: [],
      isSilent: false,
      isGone: false,
      refusal: null,
      isOlder: false,
      missesOutcomes: false,
      missesRetire: false,
      missesCuts: false,
    };
  }

  addressed(ranks: Addressees): readonly TestRank[] {
    if (ranks === null) return this.ranks;
    return ranks.map((rank) => this.rank(rank)).filter(({ isOlder }) => !isOlder);
  }

  rank(rank: number): TestRank {
    const found = this.ranks[rank];
    if (found === undefined) throw new Error(`there is no rank ${rank}`);
    return found;
  }

  member(rank: number): Member {
    return { rank, incarnation: this.rank(rank).incarnation };
  }

  get state(): LeaderState {
    if (this.leader === null) throw new Error('nobody leads');
    return this.leader;
  }

  get version(): number {
    return this.state.swap.newest.version;
  }

  get memberRanks(): number[] {
    return this.state.swap.members.map(({ rank }) => rank);
  }

  describe(rank: number): EngineDescription {
    return {
      deployment: 'group',
      rank,
      numRanks: this.numRanks,
      incarnation: this.rank(rank).incarnation,
      process: null,
      engine: 'test 1',
      modelRevision: 'r1',
      phase: 'mixed',
      modelLayerIds: Int32Array.of(0),
      numLogicalExperts: this.start.numLogicalExperts,
      slotOffsets: this.start.slotOffsets,
      pinnedSlots: new Int32Array(0),
      bytesPerExpert: 64,
      spareBuffers: this.spareBuffers,
      reserveBuffers: 1,
      replicaChoice: 'uniform',
      activation: this.activation,
      staging: 'one-sided',
      digestAlgorithm: 'sha256',
      ownBalancer: false,
    };
  }

  report(rank: number): RankReport {
    const from = this.rank(rank);
    return {
      schema: 1,
      rank,
      fence: from.fence,
      votedUpTo: Math.max(from.agentVotedUpTo, from.votedUpTo),
      engine: from.isGone
        ? null
        : {
            incarnation: from.incarnation,
            committedVersion: from.base.version,
            mappingVersion: from.mappingVersion,
            mappingDigest: from.mapping.digest(),
            activatedVersion: from.activatedVersion,
            retiredUpTo: from.retiredUpTo,
            votedUpTo: from.votedUpTo,
            openVote: from.vote?.version ?? null,
            freeBuffers: from.freeBuffers,
            step: 0,
            standing: from.standing,
            cuts: [...from.cuts],
            brokenPeers: [...from.brokenPeers],
            ...(from.offeredSlots === undefined ? {} : { offeredSlots: from.offeredSlots }),
            ...(from.leaving === undefined ? {} : { leaving: from.leaving }),
          },
      exited: [...from.exited],
      progress: null,
      refused: null,
      schemaRange: [1, 1],
      ...(from.isOlder ? {} : { ownOrders: ['prepare', 'outcome'] }),
    };
  }

  answer(rank: number): RankAnswer {
    const from = this.rank(rank);
    const { engine } = this.report(rank);
    return {
      schema: 1,
      rank,
      fence: from.fence,
      votedUpTo: Math.max(from.agentVotedUpTo, from.votedUpTo),
      outcomes: [...from.outcomes],
      exited: [...from.exited],
      engine:
        engine === null
          ? null
          : {
              description: this.describe(rank),
              state: {
                ...engine,
                fence: from.fence,
                physicalToLogical: from.mapping.physicalToLogical,
                vote: from.vote,
                outcomes: [...from.outcomes],
              },
            },
    };
  }

  /** A new leader begins to take over; its questions are answered by `answerTakeover`. */
  beginTakeover(term: number, cutAfterMs = 1_000): void {
    const configured = this.ranks.map(({ rank }) => rank);
    const options = { dead: this.control.dead, cutAfterMs };
    const stored = [...this.store.values()];
    this.takeover = initialTakeover(fenceOf(term), configured, stored, options);
    this.takeoverEffects = [];
    this.toTakeover({ kind: 'tick' });
  }

  toTakeover(event: TakeoverEvent): TakeoverEffect[] {
    if (this.takeover === null) throw new Error('nobody takes over');
    const { state, effects } = stepTakeover(this.takeover, event, this.nowMs);
    this.takeover = state;
    this.takeoverEffects.push(...effects);
    for (const effect of effects) {
      if (effect.kind === 'create-record') this.#createAtTakeover(effect.version, effect.bytes);
      if (effect.kind === 'send-cut') this.cut(effect.message.member, effect.message.fence);
      if (effect.kind === 'complete') {
        const configuredRanks = this.ranks.map(({ rank }) => rank);
        const { topology, payloadBytesMax } = this;
        const options = { timings, configuredRanks, topology, payloadBytesMax };
        this.leader = initialLeader(effect.ground, this.control, state.fence, options);
      }
    }
    return [...effects];
  }

  #createAtTakeover(version: number, bytes: Uint8Array): void {
    if (this.storeIsDown) return;
    const existing = this.store.get(version);
    if (existing !== undefined) {
      this.toTakeover({ kind: 'record-exists', existing });
      return;
    }
    this.store.set(version, readDecidedVersion(bytes));
    this.toTakeover({ kind: 'record-created', version });
  }

  answerTakeover(ranks: readonly number[] = this.ranks.map(({ rank }) => rank)): void {
    for (const rank of ranks) {
      const from = this.rank(rank);
      const fence = this.takeover?.fence ?? null;
      if (from.isSilent || fence === null) continue;
      if (from.fence === null || from.fence.term <= fence.term) from.fence = fence;
      this.toTakeover(takeoverAnswer(this.answer(rank)));
    }
  }

  lead(term: number): void {
    this.leader = null;
    this.beginTakeover(term);
    this.answerTakeover();
    if (this.leader === null) throw new Error('the takeover is not complete');
  }

  send(event: LeaderEvent): LeaderEffect[] {
    const { state, effects } = stepLeader(this.state, event, this.nowMs);
    this.leader = state;
    this.effects.push(...effects);
    for (const effect of effects) this.#react(effect);
    return [...effects];
  }

  /** Time passes; all ranks report. */
  tick(elapsedMs = 100): void {
    this.nowMs += elapsedMs;
    this.send({ kind: 'tick' });
    for (const { rank, isSilent } of this.ranks) {
      if (!isSilent) this.send({ kind: 'report', report: this.report(rank) });
    }
  }

  /** Ticks until nothing is open and nothing more begins. */
  settle(ticksMax = 60): void {
    let quiet = 0;
    for (let ticks = 0; ticks < ticksMax && quiet < 3; ticks += 1) {
      this.tick();
      quiet = this.state.swap.open === null && this.state.activity === null ? quiet + 1 : 0;
    }
  }

  effectsOf<Kind extends LeaderEffect['kind']>(
    kind: Kind,
  ): Extract<LeaderEffect, { readonly kind: Kind }>[] {
    return this.effects.filter(
      (effect): effect is Extract<LeaderEffect, { readonly kind: Kind }> => effect.kind === kind,
    );
  }

  /** The engine's process ends; its agent sees that, and its peers lose their connections. */
  die(rank: number): void {
    const from = this.rank(rank);
    from.isGone = true;
    from.exited = [...from.exited, from.incarnation];
    for (const peer of this.ranks) {
      if (peer !== from) peer.brokenPeers = [...peer.brokenPeers, this.member(rank)];
    }
  }

  /** All that hear it refuse that engine from now on. */
  cut(member: Member, fence: Fence): void {
    for (const rank of this.ranks) {
      const hears = !rank.isSilent && !rank.isGone && !rank.missesCuts;
      if (!hears || rank.rank === member.rank) continue;
      if (rank.fence !== null && rank.fence.term > fence.term) continue;
      rank.fence = fence;
      const isCut = rank.cuts.some(({ incarnation }) => incarnation === member.incarnation);
      if (!isCut) rank.cuts = [...rank.cuts, member];
    }
  }

  /** Another engine starts at a rank; its agent goes on. */
  restart(rank: number, life: number, standing: EngineState['standing'] = 'joining'): void {
    const { exited, fence, outcomes } = this.rank(rank);
    this.ranks[rank] = { ...this.#newRank(rank, life, standing), exited, fence, outcomes };
  }

  /** A joining engine takes the newest version as its base. */
  adopt(rank: number): void {
    const { newest } = this.state.swap;
    this.rank(rank).base = { version: newest.version, digest: newest.digest };
  }

  #react(effect: LeaderEffect): void {
    switch (effect.kind) {
      case 'create-record':
        this.#create(effect.version, effect.bytes);
        return;
      case 'send-prepare':
        for (const rank of this.addressed(effect.ranks))
          this.#prepare(rank, effect.message.proposal);
        return;
      case 'send-outcome':
        for (const rank of this.addressed(effect.ranks)) this.#outcome(rank, effect.message.record);
        return;
      case 'send-retire':
        for (const rank of this.ranks) {
          const hears = !rank.isSilent && !rank.isGone && !rank.missesRetire;
          if (!hears || rank.activatedVersion < effect.message.version) continue;
          rank.retiredUpTo = Math.max(rank.retiredUpTo, effect.message.version);
        }
        return;
      case 'send-cut':
        this.cut(effect.message.member, effect.message.fence);
        return;
      case 'ask':
        for (const rank of effect.ranks) {
          if (!this.rank(rank).isSilent) this.send({ kind: 'answer', answer: this.answer(rank) });
        }
        return;
      default:
        return;
    }
  }

  #create(version: number, bytes: Uint8Array): void {
    if (this.storeIsDown) return;
    const existing = this.store.get(version);
    if (existing !== undefined) {
      this.send({ kind: 'record-exists', existing });
      return;
    }
    this.store.set(version, readDecidedVersion(bytes));
    this.send({ kind: 'record-created', version });
  }

  #prepare(from: TestRank, bytes: Uint8Array): void {
    if (from.isSilent || from.isGone) return;
    const proposal = decodeProposal(bytes);
    const { fence } = this.state;
    const isListed = proposal.members.some(({ incarnation }) => incarnation === from.incarnation);
    if (!isListed && from.standing !== 'serving') return;
    if (proposal.base.version !== from.base.version) return;
    if (proposal.version <= from.agentVotedUpTo) return;
    if (from.fence !== null && from.fence.term > fence.term) return;
    from.fence = fence;
    if (from.vote === null && proposal.version > from.votedUpTo && from.refusal === null) {
      from.vote = this.#voteFor(from, proposal, bytes);
      from.votedUpTo = proposal.version;
    }
    const yes = from.vote?.version === proposal.version;
    if (!yes && from.refusal === null) return;
    if (!yes) from.votedUpTo = Math.max(from.votedUpTo, proposal.version);
    this.send({ kind: 'vote', vote: this.ballot(from.rank, proposal, yes) });
  }

  #voteFor(from: TestRank, proposal: Proposal, bytes: Uint8Array): EngineState['vote'] {
    const { version, digest, base } = proposal;
    return { version, digest, base, incarnation: from.incarnation, proposal: bytes };
  }

  ballot(rank: number, proposal: Proposal, yes = true): Vote {
    const { version, digest, base } = proposal;
    const { incarnation, refusal } = this.rank(rank);
    const { fence } = this.state;
    const reason = yes ? '' : (refusal ?? '');
    return { schema: 1, fence, rank, incarnation, version, digest, base, yes, reason };
  }

  #outcome(from: TestRank, bytes: Uint8Array): void {
    if (from.isSilent || from.isGone || from.missesOutcomes) return;
    if (from.fence !== null && from.fence.term > this.state.fence.term) return;
    from.fence = this.state.fence;
    this.act(from.rank, bytes);
  }

  /** A rank acts on an outcome. */
  act(rank: number, bytes: Uint8Array): void {
    const from = this.rank(rank);
    const { known, record } = readDecidedVersion(bytes);
    if (record.version <= from.base.version) return;
    const hadVote = from.vote?.version === record.version;
    const listed =
      record.outcome === 'committed' &&
      record.members.some(({ incarnation }) => incarnation === from.incarnation);
    if (record.outcome === 'committed' && !hadVote) {
      if (from.standing === 'serving' && !listed) from.standing = 'stopped';
      return;
    }
    if (hadVote) from.vote = null;
    from.votedUpTo = Math.max(from.votedUpTo, record.version);
    from.outcomes =
      record.outcome === 'committed'
        ? [known]
        : [...from.outcomes.filter(({ version }) => version !== record.version), known];
    if (record.outcome !== 'committed') return;
    from.standing = listed ? 'serving' : 'stopped';
    from.base = { version: record.version, digest: record.digest };
    from.mapping = mappingOfRecord(record);
    from.mappingVersion = record.version;
    from.activatedVersion = record.version;
  }
}

/** Rows of the mapping in force, by rank; −1 for an empty slot. */
export function slotsByRank(mapping: ExpertMapping): number[][] {
  const row = [...mapping.row(0)];
  return Array.from({ length: mapping.numRanks }, (_, rank) =>
    row.slice(mapping.slotOffsets[rank] ?? 0, mapping.slotOffsets[rank + 1] ?? 0),
  );
}

/** A group that has recorded its start as version 1 and is at rest. */
export function settledGroup(
  numRanks: number,
  shape: { slotsPerRank?: number; numLogicalExperts?: number } = {},
): Group {
  const group = new Group(numRanks, shape);
  group.lead(1);
  group.settle();
  if (group.version !== 1) throw new Error('the start was not recorded');
  return group;
}
