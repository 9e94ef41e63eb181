import type { Bus, BusSubscription, Intake } from '@isobar/bus';
import {
  assertRankOfSubject,
  type CoordinatorEvent,
  decode,
  encode,
  type Fence,
  type LeaveAnswer,
  type LeaveQuestion,
  type LoadSample,
  leaveQuestionSchema,
  loadSampleSchema,
  outcomesQuestionSchema,
  rankAnswerSchema,
  rankReportSchema,
  type Subjects,
  voteSchema,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';

export interface RankMessagesOptions {
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly intake: Intake;
  readonly logger: Logger;
  /** For a rank's answer. */
  readonly queryDeadlineMs: number;
  readonly send: (event: CoordinatorEvent) => void;
  readonly onSample: (sample: LoadSample) => void;
  readonly onReport: (rank: number) => void;
  readonly onLeave: (question: LeaveQuestion) => Promise<LeaveAnswer>;
}

/** Questions of ranks that wait for the machine; the oldest are dropped, they are asked again. */
const questionsMax = 4_096;

/** What a holder of the lease hears from ranks, and asks them. */
export class RankMessages {
  readonly #options: RankMessagesOptions;
  readonly #subscriptions: BusSubscription[] = [];
  readonly #questions = new Map<number, (payload: Uint8Array) => void>();
  readonly #asking = new Set<number>();
  #lastToken = 0;

  constructor(options: RankMessagesOptions) {
    this.#options = options;
  }

  listen(): void {
    const { subjects, send, onSample, onReport, onLeave, logger } = this.#options;
    this.#hear(subjects.vote('*', '*'), (payload, subject) => {
      const vote = decode('vote', payload, voteSchema);
      assertRankOfSubject(subject, vote.rank);
      send({ kind: 'vote', vote });
    });
    this.#hear(subjects.report('*'), (payload, subject) => {
      const report = decode('rank report', payload, rankReportSchema);
      assertRankOfSubject(subject, report.rank);
      onReport(report.rank);
      send({ kind: 'report', report });
    });
    this.#hear(subjects.load('*'), (payload, subject) => {
      const sample = decode('load sample', payload, loadSampleSchema);
      assertRankOfSubject(subject, sample.rank);
      onSample(sample);
    });
    this.#hear(subjects.leave('*'), (payload, subject, respond) => {
      const question = decode('leave question', payload, leaveQuestionSchema);
      assertRankOfSubject(subject, question.rank);
      onLeave(question).then(
        (answer) => respond(encode(answer)),
        (error: unknown) => logger.error({ err: error, rank: question.rank }, 'leave not answered'),
      );
    });
    this.#hear(subjects.leader('outcomes'), (payload, _, respond) => {
      const { since } = decode('outcomes question', payload, outcomesQuestionSchema);
      this.#lastToken += 1;
      this.#questions.set(this.#lastToken, respond);
      for (const oldest of this.#questions.keys()) {
        if (this.#questions.size <= questionsMax) break;
        this.#questions.delete(oldest);
      }
      send({ kind: 'outcomes-question', token: this.#lastToken, since });
    });
  }

  #hear(
    subject: string,
    take: (payload: Uint8Array, subject: string, respond: (payload: Uint8Array) => void) => void,
  ): void {
    const { bus, intake } = this.#options;
    const subscription = bus.subscribe(subject, (message) => {
      const respond = (payload: Uint8Array) => void message.respond(payload);
      intake.read(subject, () => take(message.payload, message.subject, respond));
    });
    this.#subscriptions.push(subscription);
  }

  /** Hears nothing from now on. */
  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    this.#questions.clear();
  }

  answerQuestion(token: number, answer: unknown): void {
    this.#questions.get(token)?.(encode(answer));
    this.#questions.delete(token);
  }

  /** Each rank once at a time: the machine asks again and again. */
  ask(ranks: readonly number[], fence: Fence): void {
    for (const rank of ranks) {
      if (this.#asking.has(rank)) continue;
      this.#asking.add(rank);
      void this.#askOne(rank, fence).finally(() => this.#asking.delete(rank));
    }
  }

  async #askOne(rank: number, fence: Fence): Promise<void> {
    const { bus, subjects, logger, intake, queryDeadlineMs, send } = this.#options;
    let payload: Uint8Array;
    try {
      const question = encode({ schema: 1, fence });
      payload = await bus.request(subjects.query(rank), question, queryDeadlineMs);
    } catch (error) {
      logger.debug({ err: error, rank }, 'rank has not answered');
      return;
    }
    intake.read('rank answer', () => {
      const answer = decode('rank answer', payload, rankAnswerSchema);
      assertRankOfSubject(subjects.query(rank), answer.rank);
      send({ kind: 'answer', answer });
    });
  }
}
