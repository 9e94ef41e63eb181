import { EplbError, type ExpertMapping, revalidateMapping } from '@isobar/eplb';
import {
  type CommittedRecord,
  type ControlChange,
  type ControlRecord,
  type EngineDescription,
  type Fence,
  type Ground,
  IsobarError,
  type LeaderRequest,
  type LeaderState,
  type LoadSample,
  type MapRecord,
  mappingOfRecord,
  type RequestOutcome,
  readDecidedVersion,
} from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import { type LoadPass, LoadWindow } from './load-window.js';
import type { MappingAnswer } from './operator-messages.js';
import { wavesTo } from './rebalance-plan.js';
import { Rebalancing } from './rebalancing.js';
import type { CoordinatorSettings } from './settings.js';

export type Request = Omit<LeaderRequest, 'kind' | 'token'>;

export interface LeadershipOptions {
  readonly settings: CoordinatorSettings;
  readonly topology: Topology;
  readonly fence: Fence;
  readonly ground: Ground;
  /** The machine's leader as it is now; null as soon as this leadership is over. */
  readonly leader: () => LeaderState | null;
  /** Has the machine do something; `done` is rejected with its refusal, an IsobarError. */
  readonly operate: (
    change: ControlChange | null,
    request: Request | null,
  ) => { readonly token: number; readonly done: Promise<ControlRecord> };
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
  readonly swaps = { committed: 0, void: 0 };
  readonly #options: LeadershipOptions;
  readonly #passTimer: NodeJS.Timeout;
  /** What was asked for and has not ended, by token. */
  readonly #requested = new Map<number, Request['change']>();
  /** Rollbacks among them, by token: the version that is wanted back. */
  readonly #rollbacks = new Map<number, number>();
  #lastPass: LoadPass | null = null;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    const { settings, topology, ground, fence } = options;
    this.fence = fence;
    const ranks = ground.members.map(({ rank }) => rank);
    const { newest, mapping } = ground;
    this.window = new LoadWindow(newest.version, mapping, ranks, settings.passStepsMin);
    this.rebalancing = new Rebalancing(
      {
        settings,
        topology: topology.toClusterShape(ground.descriptions[0]?.bytesPerExpert ?? 0),
        numNodes: topology.numFastDomains,
        engines: () => this.engines,
        mode: () => this.leader.control.mode,
        heldBack: () => this.heldBack,
        idle: () => this.isIdle,
        unavailableRanks: () => this.unavailableRanks,
        newest: () => this.leader.swap.newest,
        request: (waves, base, automatic) => {
          const request: Request = { change: 'rebalance', automatic, waves, base };
          const { token, done } = this.#operate(null, request);
          return { token, accepted: done.then(() => undefined) };
        },
        // What becomes of a plan once the leadership is over is nobody's concern.
        tell: (kind, fields) => {
          if (options.leader() !== null) options.tell(kind, fields);
        },
        now: () => performance.now(),
      },
      mapping,
    );
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

  /** Ranks that are no members, or are to hold no expert. */
  get unavailableRanks(): number[] {
    const { swap, control } = this.leader;
    const members = new Set(swap.members.map(({ rank }) => rank));
    const { numRanks } = this.#options.topology;
    const all = Array.from({ length: numRanks }, (_, rank) => rank);
    return all.filter((rank) => !members.has(rank) || control.drained.includes(rank));
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
      this.rebalancing.applyMapping(mapping);
      if (record.change === 'rebalance') this.rebalancing.onWaveCommitted();
    }
    const { version, outcome, reason } = record;
    this.#options.tell('decided', { version, outcome, reason });
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
    const version = this.#rollbacks.get(token);
    this.#rollbacks.delete(token);
    // It was accepted while a version was open, which is in force now: planned anew on top of that.
    if (version !== undefined && outcome === 'outdated') void this.#rollBackAgain(version);
  }

  async #rollBackAgain(version: number): Promise<void> {
    try {
      await this.rollback(version);
    } catch (error) {
      const isOver = this.#options.leader() === null;
      if (!(error instanceof IsobarError || error instanceof EplbError))
        this.#options.onFailure(error);
      else if (!isOver) {
        const { code, message: reason } = error;
        this.#options.tell('rollback-failed', { version, code, reason });
      }
    }
  }

  #operate(
    change: ControlChange | null,
    request: Request,
  ): ReturnType<LeadershipOptions['operate']> {
    const { token, done } = this.#options.operate(change, request);
    this.#requested.set(token, request.change);
    done.catch(() => this.#requested.delete(token));
    return { token, done };
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

  /** Moves a rank's experts away; it stays a member, and is to hold none. */
  drain(rank: number): Promise<ControlRecord> {
    const { newest } = this.leader.swap;
    const request: Request = { change: 'drain', rank, base: newest };
    return this.#operate({ kind: 'drain', rank }, request).done;
  }

  /** Moves a rank's experts away, after which it is no member any more. */
  leave(rank: number): Promise<ControlRecord> {
    const { newest } = this.leader.swap;
    return this.#operate(null, { change: 'leave', rank, base: newest }).done;
  }

  /**
   * Goes back to the mapping of an earlier version, as far as the members of today can have it, once
   * the version that may be open is decided; balancing by itself is held from now on, until resumed.
   * @throws IsobarError ISOBAR_COORDINATOR_NO_VERSION, ISOBAR_COORDINATOR_DEGRADED,
   *   ISOBAR_COORDINATOR_SAME_MAPPING, those of the bus, and the leader's refusals
   */
  async rollback(version: number): Promise<{ readonly waves: number; readonly moves: number }> {
    const record = await this.#committedRecord(version);
    const { swap, mapping: current } = this.leader;
    const target = this.#revalidated(record, current);
    const { topology } = this.#options;
    const engines = this.engines;
    const reason = `rolled back to version ${version}`;
    const waves = wavesTo(current, target, {
      change: 'rollback',
      engines,
      topology: topology.toClusterShape(engines[0]?.bytesPerExpert ?? 0),
      reason,
    });
    if (waves.length === 0) throw this.#nothingToRollBack(version);
    const request: Request = { change: 'rollback', waves, base: swap.newest };
    const { token, done } = this.#operate({ kind: 'hold', reason }, request);
    this.#rollbacks.set(token, version);
    done.catch(() => this.#rollbacks.delete(token));
    await done;
    return { waves: waves.length, moves: current.moves(target).length };
  }

  #nothingToRollBack(version: number): IsobarError {
    const { newest, open } = this.leader.swap;
    if (open !== null) {
      const text = `version ${open.proposal.version} is open: cancel it, to stay where version ${version} was`;
      const fields = { version, open: open.proposal.version };
      return new IsobarError('ISOBAR_COORDINATOR_SWAP_OPEN', text, fields);
    }
    const text = `version ${newest.version} places experts as version ${version} did`;
    return new IsobarError('ISOBAR_COORDINATOR_SAME_MAPPING', text, { version });
  }

  async #committedRecord(version: number): Promise<CommittedRecord> {
    const bytes = await this.#options.readVersion(version);
    const record = bytes === null ? null : readDecidedVersion(bytes).record;
    if (record?.outcome === 'committed') return record;
    const text = `version ${version} ${record === null ? 'has no record' : 'was decided void'}`;
    throw new IsobarError('ISOBAR_COORDINATOR_NO_VERSION', text, { version });
  }

  #revalidated(record: CommittedRecord, current: ExpertMapping): ExpertMapping {
    const out = new Set(this.unavailableRanks);
    const ranks = Array.from({ length: current.numRanks }, (_, rank) => rank);
    const staying = ranks.filter((rank) => !out.has(rank));
    const revalidated = revalidateMapping(
      mappingOfRecord(record),
      staying,
      current,
      this.leader.loads,
    );
    if (revalidated.kind === 'mapping') return revalidated.mapping;
    const { kind: _, ...fields } = revalidated;
    const text = `version ${record.version} can not be had on the ranks that are left`;
    throw new IsobarError('ISOBAR_COORDINATOR_DEGRADED', text, fields);
  }

  mappingAnswer(): MappingAnswer {
    const { mapping } = this.rebalancing;
    const { version, digest } = this.leader.swap.newest;
    const [engine] = this.engines;
    return {
      version,
      digest,
      numLogicalExperts: mapping.numLogicalExperts,
      modelLayerIds: [...(engine?.modelLayerIds ?? [])],
      slotOffsets: [...mapping.slotOffsets],
      physicalToLogical: Array.from({ length: mapping.numLayers }, (_, layer) => [
        ...mapping.row(layer),
      ]),
    };
  }
}

function wrongShape({ rank, destination, layerMillis }: LoadSample): IsobarError {
  const times = layerMillis === undefined ? '' : ` and times of ${layerMillis.length} layers`;
  const text = `a load sample of rank ${rank} has ${destination.length} counts${times}: not those of its slots and layers`;
  return new IsobarError('ISOBAR_PROTOCOL_MALFORMED', text, { field: 'destination', rank });
}
