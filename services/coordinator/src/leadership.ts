import {
  type AskedBy,
  type EngineDescription,
  type Fence,
  type Ground,
  IsobarError,
  type LeaderRequest,
  type LeaderState,
  type LoadSample,
  type MapRecord,
  mappingFromWhole,
  mappingOfRecord,
  previewEmptying,
  previewLimit,
  type RequestOutcome,
  ranksBeingCleared,
  roomForWaves,
  usableSlots,
} from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import type { AskedOperation, OperationContent, PreparedCommand } from './change-commands.js';
import { type LoadPass, LoadWindow } from './load-window.js';
import { type NamedRanks, ranksNamed } from './named-ranks.js';
import { Placements } from './placements.js';
import { summaryOf } from './plan-report.js';
import { effectOf, type RebalancePlan } from './rebalance-plan.js';
import { Rebalancing } from './rebalancing.js';
import type { CoordinatorSettings } from './settings.js';

type Request = Omit<LeaderRequest, 'kind' | 'token' | 'askedBy'>;

export interface LeadershipOptions {
  readonly settings: CoordinatorSettings;
  readonly topology: Topology;
  readonly fence: Fence;
  readonly ground: Ground;
  /** The machine's leader as it is now; null as soon as this leadership is over. */
  readonly leader: () => LeaderState | null;
  /** Has the machine do something. */
  readonly operate: (operation: OperationContent) => AskedOperation;
  readonly onPass: (pass: LoadPass) => void;
  /** The record of a version as the store has it, null where it has none. */
  readonly readVersion: (version: number) => Promise<Uint8Array | null>;
  readonly tell: (kind: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Balancing has failed in a way that it does not know. */
  readonly onFailure: (cause: unknown) => void;
}

/**
 * What a process has while it leads, beside the machine: the window of loads, balancing, and the
 * figures that operators see. It decides nothing that the machine could not refuse.
 */
export class Leadership {
  readonly fence: Fence;
  readonly window: LoadWindow;
  readonly rebalancing: Rebalancing;
  readonly placements: Placements;
  readonly swaps = { committed: 0, void: 0 };
  readonly #options: LeadershipOptions;
  #settings: CoordinatorSettings;
  #passTimer: NodeJS.Timeout;
  /** What was asked for and has not ended, by token. */
  readonly #requested = new Map<number, Request['change']>();
  #lastPass: LoadPass | null = null;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    const { settings, topology, ground, fence } = options;
    this.#settings = settings;
    this.fence = fence;
    const ranks = ground.members.map(({ rank }) => rank);
    const { newest, mapping } = ground;
    this.window = new LoadWindow(newest.version, mapping, ranks, settings.passStepsMin);
    this.rebalancing = new Rebalancing(
      {
        settings: () => this.#settings,
        topology: topology.toClusterShape(ground.descriptions[0]?.bytesPerExpert ?? 0),
        numNodes: topology.numFastDomains,
        engines: () => this.engines,
        mode: () => this.leader.control.mode,
        heldBack: () => this.heldBack,
        idle: () => this.isIdle,
        unavailableRanks: () => this.unavailableRanks,
        usableSlots: () => this.usableSlots,
        roomForWaves: () => roomForWaves(this.leader),
        request: (waves, base) => {
          const request: Request = { change: 'rebalance', automatic: true, waves, base };
          return begun(options.operate({ change: null, request }));
        },
        // What becomes of a plan once the leadership is over is nobody's concern.
        tell: (kind, fields) => {
          if (options.leader() !== null) options.tell(kind, fields);
        },
        now: () => performance.now(),
      },
      mapping,
      newest,
    );
    this.placements = new Placements({
      topology,
      leader: () => this.leader,
      rebalancing: this.rebalancing,
      engines: () => this.engines,
      unavailableRanks: () => this.unavailableRanks,
      usableSlots: () => this.usableSlots,
      readVersion: options.readVersion,
      operate: options.operate,
      onFailure: options.onFailure,
    });
    this.#passTimer = setInterval(() => this.#takePass(), settings.passMs);
  }

  /** These hold from now on; the pass under way has the length that it began with. */
  useSettings(settings: CoordinatorSettings): void {
    const { passMs } = this.#settings;
    this.#settings = settings;
    this.window.stepsMin = settings.passStepsMin;
    this.rebalancing.useSettings();
    if (passMs === settings.passMs) return;
    clearInterval(this.#passTimer);
    this.#passTimer = setInterval(() => this.#takePass(), settings.passMs);
  }

  /** Nothing is planned from now on. */
  async stop(): Promise<void> {
    clearInterval(this.#passTimer);
    await this.rebalancing.stop();
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_DEPOSED */
  get leader(): LeaderState {
    const leader = this.#options.leader();
    if (leader !== null) return leader;
    throw new IsobarError('ISOBAR_COORDINATOR_DEPOSED', 'this leadership is over');
  }

  get lastPass(): LoadPass | null {
    return this.#lastPass;
  }

  /** Engines of the members, as they described themselves. */
  get engines(): readonly EngineDescription[] {
    const { swap, engines } = this.leader;
    return swap.members.flatMap(({ rank, incarnation }) => {
      const description = engines.get(rank)?.description;
      return description?.incarnation === incarnation ? [description] : [];
    });
  }

  /** Nothing is under way, and nothing waits. */
  get isIdle(): boolean {
    const { swap, activity, requests } = this.leader;
    return swap.open === null && activity === null && requests.length === 0;
  }

  /** Why no rebalance may begin by itself now, null where it may. */
  get heldBack(): string | null {
    const { control, backOff } = this.leader;
    if (control.paused) return 'paused';
    if (control.held !== null) return `held: ${control.held}`;
    const silent = this.silentRanks;
    if (silent.length > 0) return `no engine of rank ${silent.join(', ')}`;
    const clearing = ranksBeingCleared(this.leader);
    if (clearing.length > 0) return `slots of rank ${clearing.join(', ')} are to be emptied`;
    if (backOff === null || performance.now() >= backOff.untilMs) return null;
    return `backing off after version ${backOff.version}: ${backOff.reason}`;
  }

  /** Members whose engine has not reported under its incarnation, or is away from its agent. */
  get silentRanks(): number[] {
    const { members, reports } = this.leader.swap;
    return members
      .filter(({ rank, incarnation }) => reports.get(rank)?.engine?.incarnation !== incarnation)
      .map(({ rank }) => rank);
  }

  /** Ranks that are no members, are to hold no expert, or may use no slot. */
  get unavailableRanks(): number[] {
    const { swap, control } = this.leader;
    const { usableSlots: slots } = this;
    const members = new Set(swap.members.map(({ rank }) => rank));
    const { numRanks } = this.#options.topology;
    const all = Array.from({ length: numRanks }, (_, rank) => rank);
    return all.filter(
      (rank) => !members.has(rank) || control.drained.includes(rank) || slots[rank] === 0,
    );
  }

  /** Slots that each rank's engine offers and operators let it, [ranks]. */
  get usableSlots(): Int32Array {
    const { mapping, evidence, control } = this.leader;
    return usableSlots(mapping, evidence, control);
  }

  /** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED */
  addSample(sample: LoadSample): void {
    if (this.window.add(sample) === 'wrong-shape') throw wrongShape(sample);
  }

  /** A version is decided for good. */
  onDecided(record: MapRecord): void {
    if (record.outcome === 'committed') {
      const mapping = mappingOfRecord(record);
      this.window.learnMapping(record.version, mapping);
      this.window.expectRanks(record.members.map(({ rank }) => rank));
      const { version, digest } = record;
      this.rebalancing.applyMapping(mapping, { version, digest });
      if (record.change === 'rebalance') this.rebalancing.onWaveCommitted();
    }
    const { version, outcome, reason } = record;
    const change = record.outcome === 'committed' ? { change: record.change } : {};
    this.#options.tell('decided', { version, outcome, reason, ...change, askedBy: this.#askedBy });
  }

  /** The command that what is under way was begun for, null where it was begun for none. */
  get #askedBy(): AskedBy | null {
    return this.#options.leader()?.activity?.request?.askedBy ?? null;
  }

  onSwapFinished(outcome: 'committed' | 'void'): void {
    this.swaps[outcome] += 1;
    this.rebalancing.onSwapFinished();
  }

  onRequestEnded(token: number, outcome: RequestOutcome, reason: string): void {
    this.rebalancing.onRequestEnded(token, outcome);
    const change = this.#requested.get(token);
    this.#requested.delete(token);
    this.#options.tell('request-ended', { change, outcome, reason });
    this.placements.onRequestEnded(token, outcome);
  }

  /** What becomes of a request is told by what it was for. */
  noteRequest({ token, done }: AskedOperation, { request }: OperationContent): void {
    if (request === null) return;
    this.#requested.set(token, request.change);
    done.then(
      ({ isRepeated }) => isRepeated && this.#requested.delete(token),
      () => this.#requested.delete(token),
    );
  }

  #takePass(): void {
    const pass = this.window.takePass();
    if (pass === null || this.#options.leader() === null) return;
    this.#lastPass = pass;
    this.#options.onPass(pass);
    this.rebalancing.addPass(pass).catch((cause: unknown) => {
      // A plan that was under way when the leadership ended has nobody left to be asked.
      if (this.#options.leader() !== null) this.#options.onFailure(cause);
    });
  }

  /** Bytes of one expert's weights. */
  get bytesPerExpert(): number {
    return this.engines[0]?.bytesPerExpert ?? 0;
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_UNKNOWN_NODE */
  ranksNamed(named: NamedRanks): readonly number[] {
    return ranksNamed(this.#options.topology, named);
  }

  /** What a cancel would do, in words. */
  cancelPreview(): string {
    const { open, waiting } = this.leader.swap;
    if (open === null) return '';
    const { version } = open.proposal;
    const voided =
      open.phase === 'preparing'
        ? `version ${version} would be void`
        : `version ${version} is decided, and would go on`;
    return `${voided}; ${waiting.length} waves that wait would be dropped`;
  }

  /**
   * Has the plan that waits applied.
   * @throws IsobarError ISOBAR_COORDINATOR_NO_PLAN, ISOBAR_COORDINATOR_PLAN_OUTDATED
   */
  prepareApproval(id: string | undefined): PreparedCommand {
    return this.#preparePlan(this.rebalancing.waitingPlan(id));
  }

  /** @throws as `Rebalancing.planNow` */
  async prepareRebalance(layers: readonly number[] | undefined): Promise<PreparedCommand> {
    return this.#preparePlan(await this.rebalancing.planNow(layers));
  }

  #preparePlan(plan: RebalancePlan): PreparedCommand {
    const { waves, base, current, target } = plan;
    return {
      operation: { change: null, request: { change: 'rebalance', waves, base } },
      effect: effectOf(current, target, waves.length, this.bytesPerExpert),
      plan: summaryOf(plan),
      reason: plan.reason,
      onAsked: (asked) => {
        this.rebalancing.follow(plan, 'operator', begun(asked)).catch((cause: unknown) => {
          // A refusal is the asker's.
          if (!(cause instanceof IsobarError)) this.#options.onFailure(cause);
        });
      },
    };
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_NO_PLAN, ISOBAR_COORDINATOR_PLAN_OUTDATED */
  prepareRefusal(id: string | undefined): PreparedCommand {
    const plan = this.rebalancing.waitingPlan(id);
    return {
      operation: { change: null, request: null },
      effect: null,
      plan: summaryOf(plan),
      reason: `plan ${plan.id} would be dropped`,
      onAsked: ({ done }) => {
        done.then(
          ({ isRepeated }) => isRepeated || this.rebalancing.decline(plan),
          () => undefined,
        );
      },
    };
  }

  /**
   * Moves the ranks' experts away; they stay members, and are to hold none.
   * @throws IsobarError ISOBAR_COORDINATOR_UNKNOWN_NODE
   */
  prepareDrain(named: NamedRanks): PreparedCommand {
    const ranks = this.ranksNamed(named);
    const { swap } = this.leader;
    const members = new Set(swap.members.map(({ rank }) => rank));
    const present = ranks.filter((rank) => members.has(rank));
    const base = this.rebalancing.inForce;
    const request: Request | null =
      present.length === 0 ? null : { change: 'drain', ranks: present, base };
    return {
      operation: { change: { kind: 'drain', ranks }, request },
      ...this.#emptying(present, false),
      plan: null,
      reason: `rank ${ranks.join(', ')} would hold no expert, and go on serving`,
    };
  }

  /** Moves a rank's experts away, after which it is no member any more. */
  prepareLeave(rank: number): PreparedCommand {
    const base = this.rebalancing.inForce;
    const members = this.leader.swap.members.filter((member) => member.rank === rank);
    const request: Request = { change: 'leave', ranks: [rank], members, base };
    return {
      operation: { change: null, request },
      ...this.#emptying([rank], true),
      plan: null,
      reason: `rank ${rank} would hold no expert, and its engine would stop`,
    };
  }

  /** Moves away what a rank holds beyond a number of slots, which are all that it may use from now on. */
  prepareLimit(rank: number, slots: number | null): PreparedCommand {
    const { mapping, swap } = this.leader;
    const isMember = swap.members.some((member) => member.rank === rank);
    const request: Request | null =
      isMember && slots !== null
        ? { change: 'limit-slots', ranks: [rank], base: swap.newest }
        : null;
    const reason =
      slots === null
        ? `rank ${rank} might use all slots that its engine offers`
        : `rank ${rank} would use no more than its first ${slots} slots of a layer`;
    const prepared = {
      operation: { change: { kind: 'limit-slots', rank, slots } as const, request },
      plan: null,
      reason,
    };
    const waves = request === null ? [] : previewLimit(this.leader, rank, slots);
    if (waves instanceof IsobarError) return { ...prepared, effect: null, foreseen: waves };
    const last = waves.at(-1)?.mapping;
    if (last === undefined) return { ...prepared, effect: null };
    const target = mappingFromWhole(last);
    return {
      ...prepared,
      effect: effectOf(mapping, target, waves.length, this.bytesPerExpert),
    };
  }

  /** What it takes to empty ranks; nothing where the leader will say why they are none to be emptied. */
  #emptying(
    ranks: readonly number[],
    isLeaving: boolean,
  ): Pick<PreparedCommand, 'effect' | 'foreseen'> {
    const { mapping, swap } = this.leader;
    const members = new Set(swap.members.map(({ rank }) => rank));
    if (ranks.length === 0 || !ranks.every((rank) => members.has(rank))) return { effect: null };
    const waves = previewEmptying(this.leader, ranks, isLeaving);
    if (waves instanceof IsobarError) return { effect: null, foreseen: waves };
    const last = waves.at(-1)?.mapping;
    const target = last === undefined ? mapping : mappingFromWhole(last);
    return { effect: effectOf(mapping, target, waves.length, this.bytesPerExpert) };
  }
}

/** A plan's part of an operation: whether it was begun for this one. */
function begun({ token, done }: AskedOperation): {
  readonly token: number;
  readonly accepted: Promise<boolean>;
} {
  return { token, accepted: done.then(({ isRepeated }) => !isRepeated) };
}

function wrongShape({ rank, destination, layerMillis }: LoadSample): IsobarError {
  const times = layerMillis === undefined ? '' : ` and times of ${layerMillis.length} layers`;
  const text = `a load sample of rank ${rank} has ${destination.length} counts${times}: not those of its slots and layers`;
  return new IsobarError('ISOBAR_PROTOCOL_MALFORMED', text, { field: 'destination', rank });
}
