import { Actor, type Bus, type Intake, type Records } from '@isobar/bus';
import { balancedness, imbalance } from '@isobar/eplb';
import {
  assertRankOfSubject,
  type ControlRecord,
  type CoordinatorSwapEffect,
  type CoordinatorSwapEvent,
  type CoordinatorSwapState,
  controlRecordKey,
  decode,
  encode,
  IsobarError,
  initialCoordinatorSwap,
  type KnownOutcome,
  type LoadSample,
  leaderRecordKey,
  loadSampleSchema,
  type MapRecord,
  mappingOfRecord,
  mapRecordKey,
  type OutcomesAnswer,
  outcomesQuestionSchema,
  type RankReport,
  rankReportSchema,
  ranksMissing,
  type Subjects,
  stepCoordinatorSwap,
  voteSchema,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { Topology } from '@isobar/topology';
import type { Leadership } from './leadership.js';
import { type LoadPass, LoadWindow } from './load-window.js';
import type { MappingAnswer, RankStatus, StatusAnswer } from './operator-messages.js';
import { firstWave } from './rebalance-plan.js';
import { Rebalancing } from './rebalancing.js';
import type { CoordinatorSettings } from './settings.js';

export interface LeaderOptions {
  readonly settings: CoordinatorSettings;
  readonly bus: Bus;
  readonly records: Records;
  readonly subjects: Subjects;
  readonly intake: Intake;
  readonly logger: Logger;
  readonly topology: Topology;
  readonly leadership: Leadership;
  /** This process no longer leads, and must not act. */
  readonly onDeposed: (why: string) => void;
  readonly onFailure: (error: IsobarError) => void;
}

/** Rebalances told by `status`. */
const historyTold = 16;

/** Everything that one coordinator does while it leads: loads in, plans, swaps, answers. */
export class Leader {
  readonly #options: LeaderOptions;
  readonly #swap: Actor<CoordinatorSwapState, CoordinatorSwapEvent, CoordinatorSwapEffect>;
  readonly #window: LoadWindow;
  readonly #rebalancing: Rebalancing;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  readonly #reportedAtMs = new Map<number, number>();
  readonly #creating = new Set<number>();
  readonly #swaps = { committed: 0, void: 0 };
  #outcomes: readonly KnownOutcome[];
  #control: ControlRecord;
  #controlRevision: number;
  #leaderRevision: number;
  #renewals = 0;
  #lastPass: LoadPass | null = null;
  #stopped = false;

  constructor(options: LeaderOptions) {
    this.#options = options;
    const { leadership, settings, topology, onFailure } = options;
    const { fence, ground } = leadership;
    this.#control = leadership.control;
    this.#controlRevision = leadership.controlRevision;
    this.#leaderRevision = leadership.leaderRevision;
    this.#outcomes = ground.outcomes;
    const { newest, mapping, voided, members, nextVersion, retiredUpTo } = ground;
    const start = { fence, newest, voided, members, nextVersion, retiredUpTo, timings: settings };
    this.#swap = new Actor({
      name: 'swap',
      initial: initialCoordinatorSwap(start),
      step: stepCoordinatorSwap,
      perform: (effect) => this.#perform(effect),
      onFailure,
    });
    const ranks = members.map((member) => member.rank);
    this.#window = new LoadWindow(newest.version, mapping, ranks, settings.passStepsMin);
    this.#rebalancing = new Rebalancing(
      {
        settings,
        engines: ground.descriptions,
        topology: topology.toClusterShape(ground.descriptions[0]?.bytesPerExpert ?? 0),
        numNodes: topology.numFastDomains,
        mode: () => this.#control.mode,
        paused: () => this.#control.paused,
        idle: () => this.idle,
        newest: () => this.#swap.state.newest,
        begin: (waves) => this.#swap.send({ kind: 'begin', waves }),
        tell: (kind, fields) => this.#tell(kind, fields),
        now: () => performance.now(),
      },
      mapping,
    );
  }

  /** No swap is open and no wave waits. */
  get idle(): boolean {
    const { open, waiting } = this.#swap.state;
    return open === null && waiting.length === 0;
  }

  start(): void {
    const { settings, leadership } = this.#options;
    this.#subscribe();
    const { newestOutcome, mapping } = leadership.ground;
    if (newestOutcome === null) this.#swap.send({ kind: 'begin', waves: [firstWave(mapping)] });
    else this.#swap.send({ kind: 'resume', ...newestOutcome });
    this.#every(settings.tickMs, () => this.#swap.send({ kind: 'tick' }));
    this.#every(settings.passMs, () => this.#takePass());
    this.#every(settings.renewMs, () => void this.#renew());
  }

  #every(intervalMs: number, act: () => void): void {
    this.#timers.push(setInterval(act, intervalMs));
  }

  /** Tells and decides nothing from now on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    await this.#rebalancing.stop();
    await this.#swap.stop();
  }

  #subscribe(): void {
    const { bus, subjects, intake } = this.#options;
    const hear = (subject: string, take: (payload: Uint8Array, subject: string) => void) => {
      const handle = (message: { readonly payload: Uint8Array; readonly subject: string }) => {
        intake.read(subject, () => take(message.payload, message.subject));
      };
      this.#subscriptions.push(bus.subscribe(subject, handle));
    };
    hear(subjects.vote('*', '*'), (payload, subject) => {
      const vote = decode('vote', payload, voteSchema);
      assertRankOfSubject(subject, vote.rank);
      this.#swap.send({ kind: 'vote', vote });
    });
    hear(subjects.report('*'), (payload, subject) => {
      const report = decode('rank report', payload, rankReportSchema);
      assertRankOfSubject(subject, report.rank);
      this.#reportedAtMs.set(report.rank, performance.now());
      this.#swap.send({ kind: 'report', report });
    });
    hear(subjects.load('*'), (payload, subject) => {
      const sample = decode('load sample', payload, loadSampleSchema);
      assertRankOfSubject(subject, sample.rank);
      const fate = this.#window.add(sample);
      if (fate === 'wrong-shape') throw wrongShape(sample);
    });
    this.#subscriptions.push(
      bus.subscribe(subjects.leader('outcomes'), (message) => {
        const question = intake.read('outcomes question', () =>
          decode('outcomes question', message.payload, outcomesQuestionSchema),
        );
        if (question !== null) message.respond(encode(this.#outcomesSince(question.since)));
      }),
    );
  }

  #outcomesSince(since: number): OutcomesAnswer {
    const outcomes = this.#outcomes.filter(({ version }) => version > since);
    return { schema: 1, fence: this.#options.leadership.fence, outcomes };
  }

  #perform(effect: CoordinatorSwapEffect): void {
    const { bus, subjects, logger } = this.#options;
    switch (effect.kind) {
      case 'send-prepare':
        bus.publish(subjects.swap('prepare'), encode(effect.message));
        return;
      case 'send-outcome':
        bus.publish(subjects.swap('outcome'), encode(effect.message));
        return;
      case 'send-retire':
        bus.publish(subjects.swap('retire'), encode(effect.message));
        return;
      case 'send-state':
        bus.publish(subjects.swap('state'), encode(effect.message));
        return;
      case 'create-record':
        void this.#createRecord(effect.version, effect.bytes);
        return;
      case 'decided':
        this.#onDecided(effect.outcome, effect.record);
        return;
      case 'swap-finished': {
        const { version, outcome, reason, durations, wavesLeft } = effect;
        this.#swaps[outcome] += 1;
        this.#tell('swap-finished', { version, outcome, reason, ...durations, wavesLeft });
        this.#rebalancing.onSwapFinished(outcome, wavesLeft);
        return;
      }
      case 'refused':
        logger.warn({ ...effect.fields, what: effect.what }, 'refused');
        return;
      case 'alarm': {
        const { kind: _, ...fields } = effect;
        this.#tell('alarm', fields);
        return;
      }
      case 'deposed':
        this.#depose(`outranked by term ${effect.by.term}`);
        return;
    }
  }

  #depose(why: string): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#options.onDeposed(why);
  }

  async #createRecord(version: number, bytes: Uint8Array): Promise<void> {
    if (this.#creating.has(version)) return;
    this.#creating.add(version);
    try {
      const created = await this.#options.records.createOnce(mapRecordKey(version), bytes);
      if (created.kind === 'created') this.#swap.send({ kind: 'record-created', version });
      if (created.kind === 'unknown') {
        this.#options.logger.warn({ err: created.cause, version }, 'record creation in doubt');
        this.#swap.send({ kind: 'record-unknown', version });
      }
      if (created.kind === 'exists') {
        const same = Buffer.compare(created.value, bytes) === 0;
        this.#swap.send({ kind: 'record-exists', version, same });
      }
    } catch (error) {
      // Created again at the next tick.
      this.#options.logger.error({ err: error, version }, 'record not created');
    } finally {
      this.#creating.delete(version);
    }
  }

  #onDecided(known: KnownOutcome, record: MapRecord): void {
    const { version, outcome, reason } = record;
    this.#outcomes = outcome === 'committed' ? [known] : [...this.#outcomes, known];
    if (record.outcome === 'committed') {
      const mapping = mappingOfRecord(record);
      this.#window.learnMapping(version, mapping);
      this.#rebalancing.applyMapping(mapping);
    }
    this.#tell('decided', { version, outcome, reason });
  }

  #takePass(): void {
    const { open } = this.#swap.state;
    const pass = this.#window.takePass();
    if (pass === null) {
      const { missingRanks } = this.#window;
      this.#options.logger.debug({ missingRanks, open: open !== null }, 'pass is partial');
      return;
    }
    this.#lastPass = pass;
    this.#rebalancing.addPass(pass).catch((cause: unknown) => {
      const text = 'rebalancing failed';
      this.#options.onFailure(new IsobarError('ISOBAR_COORDINATOR_FAILED', text, {}, { cause }));
    });
  }

  async #renew(): Promise<void> {
    const { records, settings, leadership, logger } = this.#options;
    const { fence } = leadership;
    this.#renewals += 1;
    const record = { schema: 1, holder: settings.holder, fence, renewals: this.#renewals };
    try {
      const renewed = await records.compareAndSet(
        leaderRecordKey,
        encode(record),
        this.#leaderRevision,
      );
      if (renewed.kind === 'set') this.#leaderRevision = renewed.revision;
      if (renewed.kind === 'conflict') this.#depose('the leader record was written by another');
      if (renewed.kind === 'unknown') logger.warn({ err: renewed.cause }, 'renewal in doubt');
    } catch (error) {
      logger.warn({ err: error }, 'leader record not renewed');
    }
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_OUTRANKED, ISOBAR_BUS_TIMEOUT: nothing is changed */
  async setControl(
    change: Partial<Pick<ControlRecord, 'mode' | 'paused'>>,
  ): Promise<ControlRecord> {
    const next = { ...this.#control, ...change };
    const { records } = this.#options;
    const set = await records.compareAndSet(controlRecordKey, encode(next), this.#controlRevision);
    if (set.kind === 'unknown') throw set.cause;
    if (set.kind === 'conflict') {
      this.#depose('the control record was written by another');
      const text = 'another coordinator leads this deployment';
      throw new IsobarError('ISOBAR_COORDINATOR_OUTRANKED', text, { key: controlRecordKey });
    }
    this.#control = next;
    this.#controlRevision = set.revision;
    this.#tell('control', { mode: next.mode, paused: next.paused });
    if (next.paused) this.#swap.send({ kind: 'stop-between-waves' });
    return next;
  }

  get rebalancing(): Rebalancing {
    return this.#rebalancing;
  }

  mappingAnswer(): MappingAnswer {
    const { mapping } = this.#rebalancing;
    const { newest } = this.#swap.state;
    const [engine] = this.#options.leadership.ground.descriptions;
    return {
      version: newest.version,
      digest: newest.digest,
      numLogicalExperts: mapping.numLogicalExperts,
      modelLayerIds: [...(engine?.modelLayerIds ?? [])],
      slotOffsets: [...mapping.slotOffsets],
      physicalToLogical: Array.from({ length: mapping.numLayers }, (_, layer) => [
        ...mapping.row(layer),
      ]),
    };
  }

  status(): StatusAnswer {
    const { settings, leadership, intake } = this.#options;
    const { newest, members } = this.#swap.state;
    const { mapping } = this.#rebalancing;
    return {
      deployment: settings.deployment,
      leader: { holder: settings.holder, term: leadership.fence.term },
      mode: this.#control.mode,
      paused: this.#control.paused,
      mapping: {
        version: newest.version,
        digest: newest.digest,
        layers: mapping.numLayers,
        logicalExperts: mapping.numLogicalExperts,
        physicalExperts: mapping.numPhysicalExperts,
        ranks: mapping.numRanks,
      },
      swap: this.#swapStatus(),
      load: this.#loadStatus(),
      ranks: members.map(({ rank }) => this.#rankStatus(rank)),
      economy: this.#rebalancing.economy,
      pendingPlan: this.#rebalancing.pendingPlan,
      history: this.#rebalancing.history.slice(-historyTold),
      swaps: { ...this.#swaps },
      messagesRefused: intake.refused,
    };
  }

  #swapStatus(): StatusAnswer['swap'] {
    const { open, waiting } = this.#swap.state;
    if (open === null) return null;
    return {
      version: open.proposal.version,
      phase: open.phase,
      reason: open.proposal.reason,
      ageMs: performance.now() - open.startedAtMs,
      missingRanks: ranksMissing(this.#swap.state, open),
      wavesWaiting: waiting.length,
    };
  }

  #loadStatus(): StatusAnswer['load'] {
    const pass = this.#lastPass;
    const { numLayers, numRanks } = this.#rebalancing.mapping;
    const perLayer = pass === null ? null : imbalance(pass.rankLoads, numLayers, numRanks);
    return {
      balancedness: pass === null ? null : balancedness(pass.rankLoads, numLayers, numRanks),
      imbalance:
        perLayer === null ? null : perLayer.reduce((sum, at) => sum + at, 0) / perLayer.length,
      meanStepMillis: pass?.meanStepMillis ?? null,
      passes: this.#rebalancing.passes,
      missingRanks: this.#window.missingRanks,
    };
  }

  #rankStatus(rank: number): RankStatus {
    const report: RankReport | undefined = this.#swap.state.reports.get(rank);
    const reportedAtMs = this.#reportedAtMs.get(rank);
    const engine = report?.engine ?? null;
    return {
      rank,
      reportAgeMs: reportedAtMs === undefined ? null : performance.now() - reportedAtMs,
      engineConnected: engine !== null,
      mappingVersion: engine?.mappingVersion ?? null,
      incarnation: engine?.incarnation ?? null,
      freeBuffers: engine?.freeBuffers ?? null,
      step: engine?.step ?? null,
      loadShare: this.#loadShare(rank),
      staged: report?.progress ?? null,
    };
  }

  #loadShare(rank: number): number | null {
    const pass = this.#lastPass;
    if (pass === null) return null;
    const { numRanks } = this.#rebalancing.mapping;
    let own = 0;
    let all = 0;
    pass.rankLoads.forEach((load, index) => {
      all += load;
      if (index % numRanks === rank) own += load;
    });
    return all === 0 ? 0 : (own * numRanks) / all;
  }

  #tell(kind: string, fields: Readonly<Record<string, unknown>>): void {
    const { bus, subjects, logger } = this.#options;
    const level = kind === 'alarm' || kind === 'plan-failed' ? 'error' : 'info';
    logger[level](fields, kind);
    bus.publish(subjects.event(kind), encode({ schema: 1, at: Date.now(), kind, ...fields }));
  }
}

function wrongShape({ rank, destination, layerMillis }: LoadSample): IsobarError {
  const times = layerMillis === undefined ? '' : ` and times of ${layerMillis.length} layers`;
  const text = `a load sample of rank ${rank} has ${destination.length} counts${times}: not those of its slots and layers`;
  return new IsobarError('ISOBAR_PROTOCOL_MALFORMED', text, { field: 'destination', rank });
}
