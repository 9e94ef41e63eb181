import { randomBytes } from 'node:crypto';
import { Actor, type Bus, type BusMessage, type Intake, OversizeAlarm } from '@isobar/bus';
import {
  EngineClient,
  type EngineCommandMessage,
  type EngineHello,
  parseEngineAddress,
} from '@isobar/engine';
import {
  decode,
  decodeKnownOutcome,
  type EngineCommand,
  encode,
  IsobarError,
  initialRankSwap,
  type LeaveAnswer,
  type LeaveQuestion,
  type LoadSample,
  leaveAnswerSchema,
  type MessageKind,
  outcomesAnswerSchema,
  querySchema,
  type RankOrigin,
  type RankPlace,
  type RankReport,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapState,
  reportOf,
  type Subjects,
  stepRankSwap,
  subjectsOf,
  type WitnessedEngine,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { DurableStateFile } from './durable-state-file.js';
import { subscribeOrders } from './leader-orders.js';
import { PatientState } from './patient-state.js';
import type { ProcessWitness } from './process-witness.js';
import type { AgentSettings, AgentTimings } from './settings.js';

export interface RankAgentOptions {
  readonly settings: AgentSettings;
  readonly bus: Bus;
  /** Also told of what the server did not permit. */
  readonly intake: Intake;
  readonly file: DurableStateFile;
  readonly witness: ProcessWitness;
  readonly logger: Logger;
  /** How it came to its rank. */
  readonly origin: RankOrigin | null;
  /** Where it runs, as far as it is known at the start. */
  readonly place: RankPlace;
  /** The agent can't go on; its process must end. */
  readonly onFailure: (error: IsobarError) => void;
}

/** Between two attempts to write the state to a disk that is full. */
const stateRetryMs = 1_000;
/** Messages from the bus that may wait; the mailbox has room for the engine's beyond them. */
const busWaitingMax = 512;
/** Leaders' questions whose answers may still be wanted. */
const questionsKept = 1_024;

/** What the machine refuses, as its effects name it; the engine's refusals are none of them. */
const kindsOfOrders: Readonly<Record<string, MessageKind>> = {
  prepare: 'prepare',
  outcome: 'outcome',
  retire: 'retire',
  cut: 'cut',
  'swap state': 'state',
  query: 'query',
  outcomes: 'outcomes-answer',
};

/**
 * Runs beside one engine: brings the leader's words to it and its words to the bus. It decides
 * nothing; the machine `stepRankSwap` does. Either may restart without the other.
 */
export class RankAgent {
  readonly #options: RankAgentOptions;
  /** Tells this process from other agents of its rank. */
  readonly #id = randomBytes(8).toString('hex');
  readonly #subjects: Subjects;
  readonly #intake: Intake;
  readonly #engine: EngineClient;
  readonly #actor: Actor<RankSwapState, RankSwapEvent, RankSwapEffect>;
  readonly #saving: PatientState;
  readonly #questions = new Map<number, BusMessage>();
  /** By kind: the engine serves on. */
  readonly #oversize = new OversizeAlarm((err) =>
    this.#options.logger.error({ err, alarm: 'message-too-large' }, 'alarm'),
  );
  #place: RankPlace;
  #timings: AgentTimings;
  #reportTimer: NodeJS.Timeout;
  #onLeft: () => void = () => undefined;
  #nextQuestion = 0;
  /** The report last sent: everything in it was on disk by then. */
  #reported: RankReport;

  private constructor(options: RankAgentOptions, initial: RankSwapState) {
    this.#options = options;
    const { settings, logger } = options;
    this.#reported = reportOf(initial);
    this.#place = options.place;
    this.#saving = new PatientState({
      save: (state) => options.file.save(state),
      retryMs: stateRetryMs,
      onFull: (error, isFirst) => this.#onDiskFull(error, isFirst),
      onSpace: () => this.#onDiskSpace(),
    });
    this.#subjects = subjectsOf(settings.deployment);
    this.#intake = options.intake;
    this.#actor = new Actor({
      name: `rank ${settings.rank}`,
      initial,
      step: stepRankSwap,
      perform: (effect) => this.#perform(effect),
      onFailure: options.onFailure,
    });
    this.#engine = new EngineClient({
      address: parseEngineAddress(settings.engine),
      identity: { deployment: settings.deployment, rank: settings.rank, agent: this.#id },
      onHello: (hello) => this.#onHello(hello),
      onLoad: (sample) => this.#publishLoad(sample),
      onProgress: (version, staged, total) =>
        this.#hearEngine({ kind: 'engine-progress', version, staged, total }),
      onActivated: (state) => this.#hearEngine({ kind: 'engine-activated', state }),
      onChanged: (state) => this.#hearEngine({ kind: 'engine-changed', state }),
      onReplaced: (by) => this.#onReplaced(by),
      onRefused: (error) => {
        logger.error({ err: error }, 'engine refuses this agent');
        const { code, message } = error;
        this.#hearEngine({ kind: 'engine-rejects', code, message });
      },
      onLost: () => {
        logger.warn('engine lost');
        this.#hearEngine({ kind: 'engine-lost' });
      },
      onError: (error) => logger.warn({ err: error }, 'engine'),
    });
    this.#timings = settings;
    this.#reportTimer = this.#reportEvery(settings.reportIntervalMs);
  }

  #reportEvery(intervalMs: number): NodeJS.Timeout {
    return setInterval(() => {
      this.#intake.tick();
      if (!this.#saving.isFull) this.#actor.send({ kind: 'tick' });
    }, intervalMs);
  }

  /** What its engine holds and does, as the machine knows it; null while none is connected. */
  get engine(): RankReport['engine'] {
    return reportOf(this.#actor.state).engine;
  }

  get isDiskFull(): boolean {
    return this.#saving.isFull;
  }

  /** These hold from now on; what waits already keeps the deadline that it began with. */
  useTimings(timings: AgentTimings): void {
    this.#timings = timings;
    clearInterval(this.#reportTimer);
    this.#reportTimer = this.#reportEvery(timings.reportIntervalMs);
  }

  /** Tells of this place from now on. */
  usePlace(place: RankPlace): void {
    this.#place = place;
  }

  /** @throws IsobarError ISOBAR_AGENT_STATE */
  static async start(options: RankAgentOptions): Promise<RankAgent> {
    const durable = await options.file.load();
    const agent = new RankAgent(options, initialRankSwap(options.settings.rank, durable));
    agent.#subscribe();
    await options.bus.flush();
    // Engines may have ended while no agent looked.
    agent.#actor.send({ kind: 'tick' });
    agent.#engine.start();
    return agent;
  }

  /**
   * Has the engine leave its group; it serves on until no version lists it. Where that takes longer
   * than `leaveDeadlineMs` it is a member still, and the log says so.
   */
  async leave(): Promise<void> {
    const { settings, logger } = this.#options;
    const { leaveDeadlineMs } = settings;
    let timer: NodeJS.Timeout | undefined;
    const hasLeft = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), leaveDeadlineMs);
      this.#onLeft = () => resolve(true);
      this.#actor.send({ kind: 'leave' });
    });
    if (!hasLeft) {
      logger.error({ leaveDeadlineMs }, 'stopping although the engine has not left its group');
    }
    clearTimeout(timer);
  }

  async stop(): Promise<void> {
    clearInterval(this.#reportTimer);
    this.#engine.stop();
    await this.#lookOnceMore();
    const stopped = this.#actor.stop();
    // Only now: what follows a state that could not be saved is not done any more.
    this.#saving.stop();
    await stopped;
  }

  #subscribe(): void {
    const { rank } = this.#options.settings;
    const { bus } = this.#options;
    subscribeOrders(bus, this.#subjects, rank, this.#intake, (kind, event, bytes) =>
      this.#hearBus(kind, event, bytes),
    );
    bus.subscribe(this.#subjects.query(rank), (message) => {
      const { payload } = message;
      const query = this.#intake.read('query', payload, () =>
        decode('query', payload, querySchema),
      );
      if (query === null) return;
      const question = this.#nextQuestion;
      this.#nextQuestion += 1;
      if (!this.#hearBus('query', { kind: 'query', query, question }, payload.byteLength)) return;
      this.#questions.set(question, message);
      // The machine answers the newest alone: of those before it nobody waits for an answer any more.
      this.#questions.delete(question - questionsKept);
    });
  }

  /** Speaks for no engine until its word can be kept; the engine serves on. */
  #onDiskFull(error: IsobarError, isFirst: boolean): void {
    const { logger } = this.#options;
    const { code, message } = error;
    const refused = { order: 'state', version: null, code, reason: message.slice(0, 500) };
    const report: RankReport = { ...this.#reported, engine: null, progress: null, refused };
    this.#sendReport(report);
    if (!isFirst) return;
    logger.error({ err: error, alarm: 'disk-full' }, 'alarm');
    this.#engine.stop();
    this.#actor.send({ kind: 'engine-lost' });
  }

  #onDiskSpace(): void {
    this.#options.logger.info('the disk has space again');
    this.#engine.start();
  }

  /**
   * Room is left for the engine's own words: a flood on the bus must not end its connection. While
   * nothing can be promised nothing is heard: leaders repeat what they say.
   */
  #hearBus(kind: MessageKind, event: RankSwapEvent, bytes: number): boolean {
    if (this.#saving.isFull) return false;
    if (this.#actor.waiting < busWaitingMax && this.#actor.send(event, bytes)) return true;
    const text = `a message of the kind ${kind} was dropped: too many, or too large ones, wait already`;
    this.#intake.refuse(kind, new IsobarError('ISOBAR_BUS_OVERFLOW', text, { field: '' }));
    return false;
  }

  /** Where the mailbox is full, the connection begins anew: no answer may be missed for good. */
  #hearEngine(event: RankSwapEvent): void {
    if (!this.#actor.send(event)) this.#engine.reset();
  }

  #onReplaced(by: string): void {
    const { rank } = this.#options.settings;
    const text = `agent ${by} has connected to the engine of rank ${rank} after this one, ${this.#id}`;
    const fields = { rank, agent: this.#id, by };
    this.#options.onFailure(new IsobarError('ISOBAR_AGENT_REPLACED', text, fields));
  }

  #onHello({ description, state }: EngineHello): void {
    const { settings, logger } = this.#options;
    if (description.deployment !== settings.deployment || description.rank !== settings.rank) {
      const { deployment, rank } = description;
      const text = `the engine at ${settings.engine} is rank ${rank} of ${deployment}`;
      const error = new IsobarError('ISOBAR_AGENT_WRONG_ENGINE', text, { deployment, rank });
      logger.error({ err: error }, 'engine refused');
      return;
    }
    const { incarnation } = description;
    const process = this.#options.witness.identify(description.process);
    const witnessed = process !== null;
    const { mappingVersion, standing } = state;
    logger.info({ incarnation, mappingVersion, standing, witnessed }, 'engine connected');
    this.#hearEngine({ kind: 'engine-hello', description, state, process });
  }

  /**
   * An engine that was stopped just before: where the whole machine or container ends, whoever comes
   * later can't see any more that it has.
   */
  async #lookOnceMore(): Promise<void> {
    if (this.#saving.isFull) return;
    this.#actor.send({ kind: 'tick' });
    await this.#actor.idle();
  }

  #publishLoad(sample: LoadSample): void {
    if (sample.rank !== this.#options.settings.rank) return;
    this.#publish('load', this.#subjects.load(sample.rank), encode(sample));
  }

  #perform(effect: RankSwapEffect): void | Promise<void> {
    const { logger } = this.#options;
    const { rank } = this.#options.settings;
    switch (effect.kind) {
      case 'persist':
        return this.#saving.save(effect.durable);
      case 'command-engine':
        this.#command(effect.command);
        return;
      case 'send-vote':
        this.#publish('vote', this.#subjects.vote(effect.vote.version, rank), encode(effect.vote));
        logger.info(
          { version: effect.vote.version, yes: effect.vote.yes, reason: effect.vote.reason },
          'vote',
        );
        return;
      case 'send-report':
        this.#reported = effect.report;
        this.#sendReport(effect.report);
        return;
      case 'look-for-processes':
        this.#lookFor(effect.engines);
        return;
      case 'ask-outcomes':
        void this.#askOutcomes(effect.since);
        return;
      case 'ask-leave':
        void this.#askLeave(effect.question);
        return;
      case 'left':
        logger.info({ reason: effect.reason }, 'the engine has left its group');
        this.#onLeft();
        return;
      case 'answer':
        this.#answer(effect.question, encode(effect.answer));
        return;
      case 'activated':
        logger.info({ version: effect.version }, 'activated');
        return;
      case 'refused':
        this.#onRefused(effect);
        return;
      case 'alarm':
        logger.error({ ...effect.fields, alarm: effect.alarm }, 'alarm');
        return;
    }
  }

  /** With what the machine has no part in. */
  #sendReport(report: RankReport): void {
    const { settings, origin } = this.#options;
    const refusals = this.#intake.recent();
    const told = {
      ...(refusals.length === 0 ? {} : { refusals }),
      ...(origin === null ? {} : { origin }),
      place: this.#place,
      atMs: Date.now(),
    };
    this.#publish('report', this.#subjects.report(settings.rank), encode({ ...report, ...told }));
  }

  #publish(kind: MessageKind, subject: string, payload: Uint8Array): void {
    this.#oversize.watch(kind, () => this.#options.bus.publish(subject, payload));
  }

  #answer(question: number, payload: Uint8Array): void {
    this.#oversize.watch('query', () => this.#questions.get(question)?.respond(payload));
    this.#questions.delete(question);
  }

  #onRefused({ what, fields }: Extract<RankSwapEffect, { readonly kind: 'refused' }>): void {
    const kind = kindsOfOrders[what];
    if (kind === undefined) {
      this.#options.logger.warn({ ...fields, what }, 'refused');
      return;
    }
    const code = fields.code === undefined ? 'ISOBAR_AGENT_FENCED' : String(fields.code);
    this.#intake.refuse(kind, new IsobarError(code, `${what} was refused`, fields));
  }

  #command(command: EngineCommand): void {
    const { stageDeadlineMs, commandDeadlineMs } = this.#timings;
    const timeoutMs = command.kind === 'stage' ? stageDeadlineMs : commandDeadlineMs;
    this.#engine.command(toMessage(command), timeoutMs, (outcome) => {
      if (outcome.ok) {
        this.#hearEngine({ kind: 'engine-done', command, state: outcome.state });
        return;
      }
      const { explicit, error } = outcome;
      const { code, message } = error;
      this.#hearEngine({ kind: 'engine-refused', command, code, message, explicit });
    });
  }

  #lookFor(engines: readonly WitnessedEngine[]): void {
    for (const { incarnation, process } of engines) {
      if (this.#options.witness.lookFor(process) !== 'gone') continue;
      this.#options.logger.warn({ incarnation, process }, 'engine process has ended');
      this.#actor.send({ kind: 'engine-exited', incarnation });
    }
  }

  async #askLeave(question: LeaveQuestion): Promise<void> {
    const { bus, settings, logger } = this.#options;
    let answer: LeaveAnswer | null = null;
    try {
      const subject = this.#subjects.leave(settings.rank);
      const payload = await bus.request(
        subject,
        encode(question),
        this.#timings.questionDeadlineMs,
      );
      answer = decode('leave', payload, leaveAnswerSchema);
    } catch (error) {
      const { code, message } = asIsobarError(error);
      // Asked again at the next tick.
      logger.warn({ code }, `whether the engine may leave was not told: ${message}`);
    }
    this.#actor.send({ kind: 'leave-told', question, answer });
  }

  async #askOutcomes(since: number): Promise<void> {
    const { bus, settings } = this.#options;
    const question = encode({ schema: 1, rank: settings.rank, since });
    try {
      const subject = this.#subjects.leader('outcomes');
      const payload = await bus.request(subject, question, this.#timings.questionDeadlineMs);
      const answer = decode('outcomes', payload, outcomesAnswerSchema);
      for (const known of answer.outcomes) decodeKnownOutcome(known);
      this.#actor.send({ kind: 'outcomes-told', fence: answer.fence, outcomes: answer.outcomes });
    } catch (error) {
      const { code, message } = asIsobarError(error);
      // Asked again at the leader's next heartbeat.
      this.#options.logger.warn({ code, since }, `outcomes not told: ${message}`);
      this.#actor.send({ kind: 'outcomes-unanswered' });
    }
  }
}

function toMessage(command: EngineCommand): EngineCommandMessage {
  if (command.kind !== 'stage') return command;
  return { kind: 'stage', fence: command.fence, proposal: command.proposal };
}

function asIsobarError(error: unknown): IsobarError {
  if (error instanceof IsobarError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new IsobarError('ISOBAR_AGENT_FAILED', message, {}, { cause: error });
}
