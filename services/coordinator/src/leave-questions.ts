import { EplbError } from '@isobar/eplb';
import {
  type ChangeAnswer,
  IsobarError,
  isAwaited,
  type LeaveAnswer,
  type LeaveQuestion,
  type Requester,
  roleName,
} from '@isobar/protocol';
import { carryOut } from './change-commands.js';
import type { CommandEvent } from './command-endpoints.js';
import type { CommandTarget } from './command-target.js';

/** A leave that an agent asked for: as it was last answered, told once each. */
interface Told {
  readonly requestId: string;
  readonly code: string | null;
}

/** Each attempt is a write of the record `control`: no rank makes more of them than that. */
const attemptIntervalMs = 1_000;

/**
 * Agents that ask for their own engine to leave: a `leave` like an operator's, recorded with the agent
 * as requester. Which rank may ask is the server's to permit, by the subject.
 */
export class LeaveQuestions {
  readonly #target: CommandTarget;
  readonly #tell: (event: CommandEvent) => void;
  readonly #told = new Map<number, Told>();
  /** The newest attempt of each rank. */
  readonly #attempts = new Map<number, { readonly requestId: string; readonly atMs: number }>();

  constructor(target: CommandTarget, tell: (event: CommandEvent) => void) {
    this.#target = target;
    this.#tell = tell;
  }

  async answer(question: LeaveQuestion): Promise<LeaveAnswer> {
    try {
      return await this.#leave(question);
    } catch (error) {
      if (!(error instanceof IsobarError || error instanceof EplbError)) throw error;
      this.#note(question, 'refused', error.code);
      return answerOf('refused', error.code, error.message);
    }
  }

  async #leave(question: LeaveQuestion): Promise<LeaveAnswer> {
    const { rank, incarnation, requestId } = question;
    const leadership = this.#target.leadership();
    const member = { rank, incarnation };
    const { swap } = leadership.leader;
    if (!isAwaited(leadership.leader, member)) return answerOf('left', null, '');
    const listed = swap.members.find((other) => other.rank === rank);
    // A version that it is not to be part of, or may come to be, is under way.
    if (listed?.incarnation !== incarnation) return answerOf('leaving', null, '');
    this.#noteAttempt(question);
    const asked = { requestId, rank, dryRun: false, waitMs: 0 };
    const answer = await carryOut(this.#target, 'leave', asked, requesterOf(rank), () =>
      leadership.prepareLeave(rank),
    );
    this.#note(question, 'done', null);
    return toldOf(answer, this.#isListed(question));
  }

  /** @throws IsobarError ISOBAR_COORDINATOR_BUSY where another attempt has just been made */
  #noteAttempt({ rank, requestId }: LeaveQuestion): void {
    const before = this.#attempts.get(rank);
    if (before?.requestId === requestId) return;
    const atMs = performance.now();
    if (before !== undefined && atMs - before.atMs < attemptIntervalMs) {
      const text = `rank ${rank} makes another attempt within ${attemptIntervalMs} ms`;
      throw new IsobarError('ISOBAR_COORDINATOR_BUSY', text, { rank });
    }
    this.#attempts.set(rank, { requestId, atMs });
  }

  #isListed({ incarnation }: LeaveQuestion): boolean {
    const { swap } = this.#target.leadership().leader;
    return swap.members.some((member) => member.incarnation === incarnation);
  }

  #note(
    { rank, requestId }: LeaveQuestion,
    outcome: 'done' | 'refused',
    code: string | null,
  ): void {
    const before = this.#told.get(rank);
    if (before?.requestId === requestId && before.code === code) return;
    this.#told.set(rank, { requestId, code });
    this.#tell({ command: 'leave', requester: requesterOf(rank), outcome, code, requestId });
  }
}

function requesterOf(rank: number): Requester {
  return { verified: false, account: null, user: roleName({ kind: 'agent', rank }), host: null };
}

function toldOf({ outcome, reason }: ChangeAnswer, isListed: boolean): LeaveAnswer {
  if (outcome === null) return answerOf('leaving', null, reason);
  if (outcome === 'committed' && !isListed) return answerOf('leaving', null, reason);
  return answerOf('failed', null, `${outcome}: ${reason}`);
}

function answerOf(state: LeaveAnswer['state'], code: string | null, reason: string): LeaveAnswer {
  return { schema: 1, state, code, reason: reason.slice(0, 2_000) };
}
