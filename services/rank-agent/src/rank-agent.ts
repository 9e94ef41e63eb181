import { Actor, type Bus, type BusMessage, Intake } from '@isobar/bus';
import {
  EngineClient,
  type EngineCommandMessage,
  type EngineHello,
  parseEngineAddress,
} from '@isobar/engine';
import {
  cutSchema,
  decode,
  decodeKnownOutcome,
  decodeMapRecord,
  decodeProposal,
  type EngineCommand,
  encode,
  IsobarError,
  initialRankSwap,
  type LeaveAnswer,
  type LeaveQuestion,
  type LoadSample,
  leaveAnswerSchema,
  outcomeMessageSchema,
  outcomesAnswerSchema,
  prepareSchema,
  querySchema,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapState,
  retireSchema,
  type Subjects,
  stepRankSwap,
  subjectsOf,
  swapStateSchema,
  type WitnessedEngine,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import type { DurableStateFile } from './durable-state-file.js';
import type { ProcessWitness } from './process-witness.js';
import type { AgentSettings } from './settings.js';

export interface RankAgentOptions {
  readonly settings: AgentSettings;
  readonly bus: Bus;
  readonly file: DurableStateFile;
  readonly witness: ProcessWitness;
  readonly logger: Logger;
  /** The agent can't go on; its process must end. */
  readonly onFailure: (error: IsobarError) => void;
}

/**
 * Runs beside one engine: brings the leader's words to it and its words to the bus. It decides
 * nothing; the machine `stepRankSwap` does. Either may restart without the other.
 */
export class RankAgent {
  readonly #options: RankAgentOptions;
  readonly #subjects: Subjects;
  readonly #intake: Intake;
  readonly #engine: EngineClient;
  readonly #actor: Actor<RankSwapState, RankSwapEvent, RankSwapEffect>;
  readonly #questions = new Map<number, BusMessage>();
  readonly #reportTimer: NodeJS.Timeout;
  #onLeft: () => void = () => undefined;
  #nextQuestion = 0;

  private constructor(options: RankAgentOptions, initial: RankSwapState) {
    this.#options = options;
    const { settings, logger } = options;
    this.#subjects = subjectsOf(settings.deployment);
    this.#intake = new Intake((what, error) =>
      logger.warn({ err: error, what }, 'message refused'),
    );
    this.#actor = new Actor({
      name: `rank ${settings.rank}`,
      initial,
      step: stepRankSwap,
      perform: (effect) => this.#perform(effect),
      onFailure: options.onFailure,
    });
    this.#engine = new EngineClient({
      address: parseEngineAddress(settings.engine),
      onHello: (hello) => this.#onHello(hello),
      onLoad: (sample) => this.#publishLoad(sample),
      onProgress: (version, staged, total) =>
        this.#hearEngine({ kind: 'engine-progress', version, staged, total }),
      onActivated: (state) => this.#hearEngine({ kind: 'engine-activated', state }),
      onChanged: (state) => this.#hearEngine({ kind: 'engine-changed', state }),
      onReplaced: () => this.#onReplaced(),
      onLost: () => {
        logger.warn('engine lost');
        this.#hearEngine({ kind: 'engine-lost' });
      },
      onError: (error) => logger.warn({ err: error }, 'engine'),
    });
    this.#reportTimer = setInterval(
      () => this.#actor.send({ kind: 'tick' }),
      settings.reportIntervalMs,
    );
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
    await this.#actor.stop();
  }

  #subscribe(): void {
    const { rank } = this.#options.settings;
    this.#hear(this.#subjects.swap('prepare'), (payload) => {
      const message = decode('prepare', payload, prepareSchema);
      return { kind: 'prepare', message, proposal: decodeProposal(message.proposal) };
    });
    this.#hear(this.#subjects.swap('outcome'), (payload) => {
      const message = decode('outcome', payload, outcomeMessageSchema);
      return { kind: 'outcome', message, record: decodeMapRecord(message.record) };
    });
    this.#hear(this.#subjects.swap('retire'), (payload) => ({
      kind: 'retire',
      message: decode('retire', payload, retireSchema),
    }));
    this.#hear(this.#subjects.swap('cut'), (payload) => ({
      kind: 'cut',
      message: decode('cut', payload, cutSchema),
    }));
    this.#hear(this.#subjects.swap('state'), (payload) => ({
      kind: 'swap-state',
      message: decode('swap state', payload, swapStateSchema),
    }));
    this.#options.bus.subscribe(this.#subjects.query(rank), (message) => {
      const query = this.#intake.read('query', () => decode('query', message.payload, querySchema));
      if (query === null) return;
      const question = this.#nextQuestion;
      this.#nextQuestion += 1;
      this.#questions.set(question, message);
      this.#actor.send({ kind: 'query', query, question });
    });
  }

  #hear(subject: string, read: (payload: Uint8Array) => RankSwapEvent): void {
    this.#options.bus.subscribe(subject, ({ payload }) => {
      const event = this.#intake.read(subject, () => read(payload));
      if (event !== null) this.#actor.send(event);
    });
  }

  /** Where the mailbox is full, the connection begins anew: no answer may be missed for good. */
  #hearEngine(event: RankSwapEvent): void {
    if (!this.#actor.send(event)) this.#engine.reset();
  }

  #onReplaced(): void {
    const { rank } = this.#options.settings;
    const text = `another agent of rank ${rank} has connected to its engine`;
    this.#options.onFailure(new IsobarError('ISOBAR_AGENT_REPLACED', text, { rank }));
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

  #publishLoad(sample: LoadSample): void {
    const { bus, settings } = this.#options;
    if (sample.rank === settings.rank)
      bus.publish(this.#subjects.load(sample.rank), encode(sample));
  }

  #perform(effect: RankSwapEffect): void | Promise<void> {
    const { bus, file, logger } = this.#options;
    const { rank } = this.#options.settings;
    switch (effect.kind) {
      case 'persist':
        return file.save(effect.durable);
      case 'command-engine':
        this.#command(effect.command);
        return;
      case 'send-vote':
        bus.publish(this.#subjects.vote(effect.vote.version, rank), encode(effect.vote));
        logger.info(
          { version: effect.vote.version, yes: effect.vote.yes, reason: effect.vote.reason },
          'vote',
        );
        return;
      case 'send-report':
        bus.publish(this.#subjects.report(rank), encode(effect.report));
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
        this.#questions.get(effect.question)?.respond(encode(effect.answer));
        this.#questions.delete(effect.question);
        return;
      case 'activated':
        logger.info({ version: effect.version }, 'activated');
        return;
      case 'refused':
        logger.warn({ ...effect.fields, what: effect.what }, 'refused');
        return;
      case 'alarm':
        logger.error({ ...effect.fields, alarm: effect.alarm }, 'alarm');
        return;
    }
  }

  #command(command: EngineCommand): void {
    const { stageDeadlineMs, commandDeadlineMs } = this.#options.settings;
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
      const payload = await bus.request(subject, encode(question), settings.questionDeadlineMs);
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
      const payload = await bus.request(subject, question, settings.questionDeadlineMs);
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
