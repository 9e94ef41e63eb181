import { randomBytes } from 'node:crypto';
import { Actor, type Bus, type Intake } from '@isobar/bus';
import type { LoadedConfiguration } from '@isobar/configuration';
import {
  type CommandQuestion,
  type CommandRequest,
  type ControlRecord,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
  type Fence,
  heldFence,
  IsobarError,
  initialCoordinator,
  type LeaderState,
  notLeading,
  type OperationPreview,
  previewOperation,
  type StatusAnswer,
  stepCoordinator,
  subjectsOf,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { Topology } from '@isobar/topology';
import type { AuditReader } from './audit-reader.js';
import { type AuditTrail, openAuditTrail } from './audit-trail.js';
import type { AskedOperation, OperationContent, OperationResult } from './change-commands.js';
import { CommandOutcomes } from './command-outcomes.js';
import { CommandServer } from './command-server.js';
import type { CommandTarget } from './command-target.js';
import { Leadership } from './leadership.js';
import { LeaveQuestions } from './leave-questions.js';
import { ParametersInForce } from './parameters-in-force.js';
import { RankMessages } from './rank-messages.js';
import { RankOrders } from './rank-orders.js';
import { RankSightings } from './rank-sightings.js';
import { RefusedEvents } from './refused-events.js';
import { timingsOf } from './settings.js';
import { statusOf } from './status.js';
import { openStore, type Store } from './store.js';

export interface CoordinatorOptions {
  readonly configuration: LoadedConfiguration;
  readonly topology: Topology;
  readonly bus: Bus;
  /** Also told of what the server did not permit. */
  readonly intake: Intake;
  readonly logger: Logger;
  /** The coordinator can't go on; its process must end. */
  readonly onFailure: (error: IsobarError) => void;
}

/** For events that wait to be stored when the process is asked to end. */
const auditStopDeadlineMs = 2_000;
/** What is near to what does not depend on the model: of the size that experts of large ones have. */
const nominalExpertBytes = 2 ** 24;
/** Events that may wait for the machine: every rank's vote and report at once, and more. */
const mailboxMax = 262_144;
/** Of all these: the answers of ranks that are asked at a time hold whole mappings. */
const mailboxBytesMax = 268_435_456;

interface Waiting {
  readonly resolve: (result: OperationResult) => void;
  readonly reject: (error: IsobarError) => void;
}

/**
 * One coordinator of a deployment. The machine decides; this carries out what it wants, and feeds
 * it what it hears. As a standby it does nothing but watch the leader record.
 */
export class Coordinator implements CommandTarget {
  readonly parameters: ParametersInForce;
  readonly #options: CoordinatorOptions;
  readonly #intake: Intake;
  readonly #actor: Actor<CoordinatorState, CoordinatorEvent, CoordinatorEffect>;
  readonly #ranks: RankMessages;
  readonly #commands: CommandServer;
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<number, Waiting>();
  readonly #outcomes = new CommandOutcomes();
  readonly #sightings: RankSightings;
  readonly #refused: RefusedEvents;
  readonly #orders: RankOrders;
  readonly #released: Promise<void>;
  #onReleased: () => void = () => undefined;
  #store: Store | null = null;
  #audit: AuditTrail | null = null;
  #timer: NodeJS.Timeout | undefined;
  #leadership: Leadership | null = null;
  #lastToken = 0;
  /** As the audit trail has it. */
  #controlTold = '';

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { topology, bus, logger } = options;
    this.parameters = new ParametersInForce(options.configuration);
    const { settings } = this.parameters;
    const subjects = subjectsOf(settings.deployment);
    this.#intake = options.intake;
    this.#refused = new RefusedEvents(options.intake, logger);
    this.#orders = new RankOrders(bus, subjects, ({ code, fields }) =>
      this.#tell('alarm', { alarm: 'message-too-large', code, ...fields }),
    );
    this.#sightings = new RankSightings({
      topology,
      refusalPeriodMs: settings.refusalPeriodMs,
      tell: (kind, fields) => this.#tell(kind, fields),
    });
    this.#released = new Promise((resolve) => {
      this.#onReleased = resolve;
    });
    const { holder, mode, queryDeadlineMs } = settings;
    const send = (event: CoordinatorEvent, bytes = 0) => void this.#send(event, bytes);
    this.#actor = new Actor({
      name: 'coordinator',
      initial: initialCoordinator({
        holder,
        nonce: randomBytes(8).toString('hex'),
        mode,
        timings: timingsOf(settings),
        configuredRanks: Array.from({ length: topology.numRanks }, (_, rank) => rank),
        topology: topology.toClusterShape(nominalExpertBytes),
        payloadBytesMax: bus.maxPayloadBytes,
      }),
      step: stepCoordinator,
      perform: (effect) => this.#perform(effect),
      onFailure: options.onFailure,
      mailboxMax,
      mailboxBytesMax,
    });
    const leaves = new LeaveQuestions(this, (event) => this.#tell('command', { ...event }));
    this.#ranks = new RankMessages({
      bus,
      subjects,
      intake: this.#intake,
      logger,
      numRanks: topology.numRanks,
      queryDeadlineMs,
      send,
      onSample: (sample) => {
        this.#sightings.hearSample(sample, performance.now());
        this.#leadership?.addSample(sample);
      },
      onReport: (report) => this.#sightings.hearReport(report, performance.now(), Date.now()),
      onLeave: (question) => leaves.answer(question),
      onFailure: (cause) => this.#fail('a message of a rank could not be read', cause),
    });
    this.#commands = new CommandServer({
      bus,
      deployment: settings.deployment,
      subjectPrefix: subjects.commandPrefix,
      target: this,
      vouchedAccount: settings.operatorsAccount,
      tell: (event) => this.#tell('command', { ...event }),
      onRefused: (error) => this.#intake.refuse('command', error),
      onFailure: (cause) => this.#fail('commands are not served as they should be', cause),
    });
  }

  /** Resolves once it takes part: as the leader or as a standby. */
  async start(): Promise<void> {
    const { bus, logger } = this.#options;
    const { settings } = this.parameters;
    this.#store = await openStore(bus, settings, logger, this.#stopping.signal);
    this.#audit = await openAuditTrail(bus, settings, logger, (cause) =>
      this.#fail('events are not stored, for a reason that is not known', cause),
    );
    this.#timer = setInterval(() => {
      this.#send({ kind: 'tick' });
      this.#raiseAlarms();
    }, settings.tickMs);
    this.#send({ kind: 'tick' });
    logger.info({ holder: settings.holder }, 'serving');
  }

  /** The audit trail is the leader's. */
  #raiseAlarms(): void {
    this.#intake.tick();
    if (this.#leadership === null) return;
    this.#sightings.tick(this.#intake.recent(), performance.now());
  }

  /**
   * What can change while it runs holds from now on.
   * @param configuration one that `parameters` accepts
   */
  reconfigure(configuration: LoadedConfiguration): void {
    this.parameters.setBase(configuration);
    this.#useSettings();
  }

  /** What operators' commands have set, as it is recorded. */
  #useParameters({ parameters }: ControlRecord): void {
    const before = JSON.stringify(this.parameters.unusable);
    this.parameters.setRecorded(parameters);
    const { unusable } = this.parameters;
    if (unusable.length > 0 && JSON.stringify(unusable) !== before) {
      this.#tell('alarm', { alarm: 'parameters-unusable', parameters: unusable });
    }
    this.#useSettings();
  }

  #useSettings(): void {
    const { settings } = this.parameters;
    const { leader: timings } = timingsOf(settings);
    const before = this.#actor.state.options.timings.leader;
    if (JSON.stringify(timings) !== JSON.stringify(before))
      this.#send({ kind: 'timings', timings });
    this.#leadership?.useSettings(settings);
  }

  /** Gives up the lease, so that another may lead at once, and ends. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#store !== null) {
      this.#send({ kind: 'stop' });
      await this.#released;
    }
    clearInterval(this.#timer);
    await this.#actor.stop();
    await this.#commands.settled();
    await this.#audit?.stop(auditStopDeadlineMs);
  }

  #send(event: CoordinatorEvent, bytes = 0): boolean {
    const isSent = this.#actor.send(event, bytes);
    if (!isSent && !this.#stopping.signal.aborted) {
      this.#refused.dropped(event.kind);
    }
    return isSent;
  }

  #perform(effect: CoordinatorEffect): void {
    switch (effect.kind) {
      case 'read-leader':
      case 'write-leader':
      case 'read-records':
      case 'create-record':
      case 'read-control':
      case 'write-control':
        this.#askStore(effect);
        return;
      case 'send-prepare':
      case 'send-outcome':
        this.#orders.send(effect);
        return;
      case 'send-retire':
      case 'send-state':
      case 'send-cut':
        this.#orders.broadcast(effect);
        return;
      case 'prune-records':
        this.#prune(effect.retiredUpTo);
        return;
      case 'ask':
        this.#ranks.ask(effect.ranks, effect.fence);
        return;
      case 'outcomes-answer': {
        const { token, fence, outcomes } = effect;
        this.#orders.answerOutcomes(() =>
          this.#ranks.answerQuestion(token, { schema: 1, fence, outcomes }),
        );
        return;
      }
      case 'claimed':
        this.#onClaimed(effect.fence);
        return;
      case 'led':
        this.#onLed(effect);
        return;
      case 'deposed':
        this.#onDeposed(effect.fence, effect.why);
        return;
      case 'released':
        this.#onReleased();
        return;
      default:
        this.#performLeading(effect);
    }
  }

  #performLeading(effect: LeadingEffect): void {
    const leadership = this.#leadership;
    switch (effect.kind) {
      case 'control-changed':
        this.#onControl(effect.control);
        return;
      case 'operation-done':
        this.#settle(effect.token)?.resolve(effect);
        return;
      case 'operation-refused':
        this.#settle(effect.token)?.reject(effect.error);
        return;
      case 'decided':
        leadership?.onDecided(effect.record);
        return;
      case 'swap-finished': {
        const { version, outcome, reason, durations, votes, wavesLeft } = effect;
        const told = { version, outcome, reason, votes, ...durations, wavesLeft };
        this.#tell('swap-finished', told);
        leadership?.onSwapFinished(outcome);
        return;
      }
      case 'request-ended':
        leadership?.onRequestEnded(effect.token, effect.outcome, effect.reason);
        return;
      case 'refused':
        this.#refused.refused(effect.what, effect.fields);
        return;
      case 'order-refused': {
        const { order, version, code, reason } = effect.refused;
        const ofVersion = version === null ? {} : { version };
        const fields = { rank: effect.rank, order, code, reason, ...ofVersion };
        this.#options.logger.warn(fields, 'a rank refuses an order');
        this.#tell('order-refused', fields);
        return;
      }
      case 'alarm':
        this.#tell('alarm', { alarm: effect.alarm, ...effect.fields });
        return;
    }
  }

  #askStore(effect: Parameters<Store['perform']>[0]): void {
    this.#store?.perform(effect).then(
      (event) => void this.#send(event),
      (cause: unknown) => this.#fail('the store failed in a way that is not known', cause),
    );
  }

  #prune(retiredUpTo: number): void {
    this.#store?.prune(retiredUpTo).catch((cause: unknown) => {
      this.#fail('records could not be pruned, in a way that is not known', cause);
    });
  }

  #onClaimed(fence: Fence): void {
    const { term } = fence;
    this.#options.logger.info({ term }, 'lease held');
    this.#ranks.listen();
    this.#commands.serve(fence);
  }

  #onLed({ fence, ground, control }: Extract<CoordinatorEffect, { readonly kind: 'led' }>): void {
    const { topology, logger } = this.#options;
    this.#useParameters(control);
    const { settings } = this.parameters;
    this.#leadership = new Leadership({
      settings,
      topology,
      fence,
      ground,
      leader: () => this.#leaderUnder(fence),
      operate: (operation) => this.operate(operation),
      onPass: ({ logicalLoads: loads }) => void this.#send({ kind: 'loads', loads }),
      readVersion: (version) => this.#store?.readVersion(version) ?? Promise.resolve(null),
      tell: (kind, fields) => this.#tell(kind, fields),
      onFailure: (cause) => this.#fail('rebalancing failed', cause),
    });
    const { term } = fence;
    this.#controlTold = JSON.stringify(steeringOf(control));
    const { version } = ground.newest;
    logger.info({ term, version }, 'leading');
    this.#tell('leading', { holder: settings.holder, term, version, mode: control.mode });
  }

  /** The machine's leader, if it still leads under that fence. */
  #leaderUnder({ term }: Fence): LeaderState | null {
    const { role } = this.#actor.state;
    return role.kind === 'leading' && role.fence.term === term ? role.leader : null;
  }

  #onDeposed({ term }: Fence, why: string): void {
    const { logger } = this.#options;
    logger.warn({ term, why }, 'deposed');
    // What the next leader has recorded is not known here.
    this.parameters.setRecorded({});
    this.#useSettings();
    this.#outcomes.onDeposed(why);
    this.#ranks.stop();
    this.#commands.stop();
    this.#orders.reset();
    const leadership = this.#leadership;
    this.#leadership = null;
    leadership?.stop().catch((cause: unknown) => this.#fail('balancing could not stop', cause));
  }

  #fail(text: string, cause: unknown): void {
    const fields = { deployment: this.parameters.settings.deployment };
    const error = new IsobarError('ISOBAR_COORDINATOR_FAILED', text, fields, { cause });
    this.#options.onFailure(error);
  }

  operate(operation: OperationContent): AskedOperation {
    this.#lastToken += 1;
    const token = this.#lastToken;
    const done = new Promise<OperationResult>((resolve, reject) => {
      this.#waiting.set(token, { resolve, reject });
    });
    if (!this.#send({ kind: 'operate', token, ...operation })) {
      const error = new IsobarError('ISOBAR_COORDINATOR_BUSY', 'too many events wait already');
      this.#settle(token)?.reject(error);
    }
    this.#leadership?.noteRequest({ token, done }, operation);
    return { token, done };
  }

  preview(operation: OperationContent): OperationPreview {
    return previewOperation(this.#actor.state, operation, performance.now());
  }

  settled(id: string, waitMs: number): Promise<CommandRequest | null> {
    return this.#outcomes.settled(id, waitMs);
  }

  control(): ControlRecord | null {
    const { role } = this.#actor.state;
    if (role.kind === 'leading') return role.control.record;
    return role.kind === 'taking-over' ? (role.control?.record ?? null) : null;
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_NOT_LEADING */
  audit(): AuditReader {
    if (this.#audit !== null) return this.#audit.reader;
    throw notLeading(this.#actor.state);
  }

  /** What operators have changed is told; that a command was taken has an event of its own. */
  #onControl(control: ControlRecord): void {
    this.#useParameters(control);
    this.#outcomes.onControl(control);
    const told = steeringOf(control);
    const text = JSON.stringify(told);
    if (text !== this.#controlTold) this.#tell('control', told);
    this.#controlTold = text;
  }

  #settle(token: number): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    return waiting;
  }

  isHolder(): boolean {
    return heldFence(this.#actor.state.lease, performance.now()) !== null;
  }

  leadership(): Leadership {
    const leadership = this.#leadership;
    if (leadership !== null && this.#leaderUnder(leadership.fence) !== null) return leadership;
    throw notLeading(this.#actor.state);
  }

  /** It has what it needs to lead, and leads or stands by. */
  get isServing(): boolean {
    return this.#audit !== null;
  }

  /** Null unless it leads. */
  statusWhileLeading(): StatusAnswer | null {
    const leadership = this.#leadership;
    if (leadership === null || this.#leaderUnder(leadership.fence) === null) return null;
    return this.status();
  }

  status({ places = false }: CommandQuestion<'status'> = {}): StatusAnswer {
    const { topology } = this.#options;
    return statusOf({
      settings: this.parameters.settings,
      topology,
      state: this.#actor.state,
      leadership: this.leadership(),
      sightings: this.#sightings,
      arePlacesTold: places,
      messagesRefused: this.#intake.refused,
      nowMs: performance.now(),
      atMs: Date.now(),
    });
  }

  #tell(kind: string, fields: Readonly<Record<string, unknown>>): void {
    this.#audit?.tell(kind, fields);
  }
}

/** What operators have set, without what is kept of their commands. */
function steeringOf({ mode, paused, held, drained, slotLimits, dead, parameters }: ControlRecord) {
  return { mode, paused, held, drained, slotLimits, dead, parameters };
}

type LeadingEffect = Extract<
  CoordinatorEffect,
  {
    readonly kind:
      | 'control-changed'
      | 'operation-done'
      | 'operation-refused'
      | 'decided'
      | 'swap-finished'
      | 'request-ended'
      | 'refused'
      | 'order-refused'
      | 'alarm';
  }
>;
