import type { Bus, BusSubscription, Intake } from '@isobar/bus';
import {
  assertRankOfSubject,
  type CoordinatorEvent,
  decode,
  decodeKnownOutcome,
  encode,
  type Fence,
  IsobarError,
  type LeaveAnswer,
  type LeaveQuestion,
  type LoadSample,
  leaveQuestionSchema,
  loadSampleSchema,
  type MessageKind,
  outcomesQuestionSchema,
  type RankAnswer,
  type RankReport,
  rankAnswerSchema,
  rankReportSchema,
  type Subjects,
  senderOfSubject,
  voteSchema,
} from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { RankInboxes, type RankMessage, type RankMessageKind } from './rank-inboxes.js';

export interface RankMessagesOptions {
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly intake: Intake;
  readonly logger: Logger;
  /** Ranks of the deployment are below it. */
  readonly numRanks: number;
  /** For a rank's answer. */
  readonly queryDeadlineMs: number;
  /** @param bytes of the message that it was read from */
  readonly send: (event: CoordinatorEvent, bytes: number) => void;
  readonly onSample: (sample: LoadSample) => void;
  readonly onReport: (report: RankReport) => void;
  readonly onLeave: (question: LeaveQuestion) => Promise<LeaveAnswer>;
  /** Reading failed in a way that is not known. */
  readonly onFailure: (cause: unknown) => void;
}

/** Questions of ranks that wait for the machine; the oldest are dropped, they are asked again. */
const questionsMax = 4_096;

/**
 * Ranks asked at a time: an answer holds whole mappings, and more of them than the server keeps for
 * a client that has not read them yet would have it cut off.
 */
const askedAtATime = 32;

/** What a holder of the lease hears from ranks, and asks them. */
export class RankMessages {
  readonly #options: RankMessagesOptions;
  readonly #subscriptions: BusSubscription[] = [];
  readonly #inboxes: RankInboxes;
  readonly #questions = new Map<number, (payload: Uint8Array) => void>();
  readonly #asking = new Set<number>();
  /** Ranks to be asked, and under which fence. */
  readonly #toAsk = new Map<number, Fence>();
  #lastToken = 0;

  constructor(options: RankMessagesOptions) {
    this.#options = options;
    const { intake, onFailure } = options;
    this.#inboxes = new RankInboxes({
      read: (message) => this.#read(message),
      onDropped: ({ kind, subject }) => intake.refuse(kind, overflow(kind, subject)),
      onFailure,
    });
  }

  listen(): void {
    const { subjects, send, onLeave, logger } = this.#options;
    this.#hearRanks('vote', subjects.vote('*', '*'));
    this.#hearRanks('report', subjects.report('*'));
    this.#hearRanks('load', subjects.load('*'));
    this.#hear('leave-question', subjects.leave('*'), (payload, subject, respond) => {
      const question = decode('leave question', payload, leaveQuestionSchema);
      this.#assertRank(subject, question.rank);
      onLeave(question).then(
        (answer) => respond(encode(answer)),
        (error: unknown) => logger.error({ err: error, rank: question.rank }, 'leave not answered'),
      );
    });
    this.#hear('outcomes-question', subjects.leader('outcomes'), (payload, _, respond) => {
      const { since } = decode('outcomes question', payload, outcomesQuestionSchema);
      this.#lastToken += 1;
      this.#questions.set(this.#lastToken, respond);
      for (const oldest of this.#questions.keys()) {
        if (this.#questions.size <= questionsMax) break;
        this.#questions.delete(oldest);
      }
      send({ kind: 'outcomes-question', token: this.#lastToken, since }, payload.byteLength);
    });
  }

  #hearRanks(kind: RankMessageKind, pattern: string): void {
    const subscription = this.#options.bus.subscribe(pattern, ({ subject, payload }) => {
      const rank = senderOfSubject(subject);
      const message = { kind, subject, payload };
      // Of a rank that the deployment has not nothing waits: it is refused.
      if (rank === null || rank >= this.#options.numRanks) this.#read(message);
      else this.#inboxes.add(rank, message);
    });
    this.#subscriptions.push(subscription);
  }

  #read({ kind, subject, payload }: RankMessage): void {
    this.#options.intake.read(kind, payload, () => this.#take(kind, subject, payload));
  }

  #take(kind: RankMessageKind, subject: string, payload: Uint8Array): void {
    const { send, onSample, onReport } = this.#options;
    switch (kind) {
      case 'vote': {
        const vote = decode('vote', payload, voteSchema);
        this.#assertRank(subject, vote.rank);
        send({ kind: 'vote', vote }, payload.byteLength);
        return;
      }
      case 'report': {
        const report = decode('rank report', payload, rankReportSchema);
        this.#assertRank(subject, report.rank);
        onReport(report);
        send({ kind: 'report', report }, payload.byteLength);
        return;
      }
      case 'load': {
        const sample = decode('load sample', payload, loadSampleSchema);
        this.#assertRank(subject, sample.rank);
        onSample(sample);
        return;
      }
    }
  }

  /** @throws IsobarError ISOBAR_PROTOCOL_WRONG_RANK, also for a rank that the deployment has not */
  #assertRank(subject: string, rank: number): void {
    assertRankOfSubject(subject, rank);
    if (rank < this.#options.numRanks) return;
    const text = `a message came of rank ${rank} of ${this.#options.numRanks}`;
    throw new IsobarError('ISOBAR_PROTOCOL_WRONG_RANK', text, { field: 'rank', subject });
  }

  #hear(
    kind: MessageKind,
    subject: string,
    take: (payload: Uint8Array, subject: string, respond: (payload: Uint8Array) => void) => void,
  ): void {
    const { bus, intake } = this.#options;
    const subscription = bus.subscribe(subject, (message) => {
      const respond = (payload: Uint8Array) => void message.respond(payload);
      intake.read(kind, message.payload, () => take(message.payload, message.subject, respond));
    });
    this.#subscriptions.push(subscription);
  }

  /** Hears nothing from now on. */
  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    this.#inboxes.clear();
    this.#questions.clear();
    this.#toAsk.clear();
  }

  answerQuestion(token: number, answer: unknown): void {
    this.#questions.get(token)?.(encode(answer));
    this.#questions.delete(token);
  }

  /** Each rank once at a time: the machine asks again and again. */
  ask(ranks: readonly number[], fence: Fence): void {
    for (const rank of ranks) this.#toAsk.set(rank, fence);
    this.#askNext();
  }

  #askNext(): void {
    for (const [rank, fence] of this.#toAsk) {
      if (this.#asking.size >= askedAtATime) return;
      if (this.#asking.has(rank)) continue;
      this.#toAsk.delete(rank);
      this.#asking.add(rank);
      this.#askOne(rank, fence)
        .catch(this.#options.onFailure)
        .finally(() => {
          this.#asking.delete(rank);
          this.#askNext();
        });
    }
  }

  async #askOne(rank: number, fence: Fence): Promise<void> {
    const { bus, subjects, logger, intake, queryDeadlineMs, send } = this.#options;
    let payload: Uint8Array;
    try {
      const question = encode({ schema: 1, fence });
      payload = await bus.request(subjects.query(rank), question, queryDeadlineMs);
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      logger.debug({ err: error, rank }, 'rank has not answered');
      return;
    }
    intake.read('answer', payload, () => {
      const answer = decode('rank answer', payload, rankAnswerSchema);
      assertRankOfSubject(subjects.query(rank), answer.rank);
      assertReadable(answer);
      send({ kind: 'answer', answer }, payload.byteLength);
    });
  }
}

function overflow(kind: RankMessageKind, subject: string): IsobarError {
  const text = `a ${kind} was dropped: too many of this rank wait already`;
  return new IsobarError('ISOBAR_BUS_OVERFLOW', text, { subject });
}

/**
 * A record that is none is the rank's to answer for; one of a schema that this process does not speak
 * goes to the machine, which then does not lead.
 * @throws IsobarError ISOBAR_PROTOCOL_MALFORMED
 */
function assertReadable({ outcomes, engine }: RankAnswer): void {
  for (const known of [...outcomes, ...(engine?.state.outcomes ?? [])]) {
    try {
      decodeKnownOutcome(known);
    } catch (error) {
      const isNewer =
        error instanceof IsobarError && error.code === 'ISOBAR_PROTOCOL_SCHEMA_VERSION';
      if (!isNewer) throw error;
    }
  }
}
