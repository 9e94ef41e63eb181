import { setTimeout as delay } from 'node:timers/promises';
import type { Bus } from '@isobar/bus';
import { IsobarError, subjectsOf } from '@isobar/protocol';
import type { ClusterWatch } from './cluster-watch.js';
import { NotSeenError } from './not-seen-error.js';

const attemptTimeoutMs = 1_000;
const betweenAttemptsMs = 200;

/**
 * Asks by each server in turn until one answers: servers may be down, their streams without a
 * leader, and of coordinators only the leader answers.
 * @throws the last failure, after `deadlineMs`
 */
export async function askAny<T>(
  watch: ClusterWatch,
  ask: (bus: Bus) => Promise<T>,
  deadlineMs: number,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    let failure: unknown = null;
    for (const bus of watch.buses) {
      try {
        return await ask(bus);
      } catch (error) {
        if (!(error instanceof IsobarError || error instanceof NotSeenError)) throw error;
        failure = error;
      }
    }
    if (performance.now() > endMs) throw failure;
    await delay(betweenAttemptsMs);
  }
}

/** A command of an operator, without arguments. @throws the last refusal, after `deadlineMs` */
export async function command(
  watch: ClusterWatch,
  name: 'pause' | 'resume',
  deadlineMs: number,
): Promise<void> {
  const subject = `${subjectsOf(watch.deployment).commandPrefix}.${name}`;
  const empty = new TextEncoder().encode('{}');
  await askAny(watch, (bus) => bus.request(subject, empty, attemptTimeoutMs), deadlineMs);
}
