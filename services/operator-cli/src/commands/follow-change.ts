import { setTimeout as delay } from 'node:timers/promises';
import type { ChangeAnswer, ChangeCommandName, CommandInput } from '@isobar/protocol';
import { type CoordinatorClient, isLeaderless } from '../coordinator-client.js';
import { errorCodeOf } from '../exit-codes.js';

/** For the answer to the first question: what is done at once needs no progress. */
const firstWaitMs = 500;
const nextWaitMs = 2_000;
const askAgainMs = 500;
/** Without anybody who leads. */
const leaderlessMsMax = 60_000;

export interface FollowOptions {
  /** Waits for the outcome for so long; as long as it takes where null. */
  readonly waitMsMax: number | null;
  /** It is running; told after each answer. */
  readonly onRunning: (answer: ChangeAnswer) => void;
  readonly signal: AbortSignal;
}

/**
 * Sends a command, and asks what becomes of it until that is known or the time is over. The question
 * has a request id: it is done once, also where an answer was lost or another leads by then.
 * @returns the last answer; its outcome is null where it is still running
 * @throws IsobarError its refusal; that nobody leads, where that lasts; the signal's reason
 */
export async function followChange<Name extends ChangeCommandName>(
  client: Pick<CoordinatorClient, 'ask'>,
  name: Name,
  question: CommandInput<Name> & { readonly requestId: string },
  { waitMsMax, onRunning, signal }: FollowOptions,
): Promise<ChangeAnswer> {
  const beganMs = performance.now();
  const leftMs = () =>
    waitMsMax === null
      ? Number.POSITIVE_INFINITY
      : Math.max(0, waitMsMax - (performance.now() - beganMs));
  let heardMs = beganMs;
  let last: ChangeAnswer | null = null;
  for (;;) {
    signal.throwIfAborted();
    const waitMs = Math.ceil(Math.min(leftMs(), last === null ? firstWaitMs : nextWaitMs));
    try {
      const answer = await untilAborted(client.ask(name, { ...question, waitMs }), signal);
      // What it takes is told once: to whoever began it.
      const { effect, plan }: Pick<ChangeAnswer, 'effect' | 'plan'> = last ?? answer;
      last = { ...answer, effect: answer.effect ?? effect, plan: answer.plan ?? plan };
      heardMs = performance.now();
      if (last.outcome !== null || leftMs() === 0) return last;
      onRunning(last);
    } catch (error) {
      if (!mayAskAgain(error, last !== null)) throw error;
      const silentMs = performance.now() - heardMs;
      if (silentMs > leaderlessMsMax || leftMs() === 0) throw error;
      await delay(Math.min(askAgainMs, leftMs()), undefined, { signal });
    }
  }
}

/** A first question that nobody took is not repeated: nothing has begun. */
function mayAskAgain(error: unknown, hasBegun: boolean): boolean {
  const code = errorCodeOf(error);
  const isInDoubt = code === 'ISOBAR_BUS_TIMEOUT' || code === 'ISOBAR_COORDINATOR_DEPOSED';
  return isInDoubt || (hasBegun && isLeaderless(error));
}

async function untilAborted<T>(asked: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([asked, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
