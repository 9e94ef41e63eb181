import { setTimeout as delay } from 'node:timers/promises';
import { IsobarError, subjectsOf } from '@isobar/protocol';
import type { ClusterWatch } from './cluster-watch.js';

const attemptTimeoutMs = 1_000;
const betweenAttemptsMs = 200;

/**
 * A command of an operator, asked again by each server in turn until the leader answers: standbys
 * refuse, and servers may be down.
 * @throws the last refusal
 */
export async function command(
  watch: ClusterWatch,
  name: 'pause' | 'resume',
  deadlineMs: number,
): Promise<void> {
  const subject = `${subjectsOf(watch.deployment).commandPrefix}.${name}`;
  const endMs = performance.now() + deadlineMs;
  const empty = new TextEncoder().encode('{}');
  for (let attempt = 0; ; attempt += 1) {
    const bus = watch.buses[attempt % watch.buses.length];
    try {
      await bus?.request(subject, empty, attemptTimeoutMs);
      return;
    } catch (error) {
      if (!(error instanceof IsobarError) || performance.now() > endMs) throw error;
    }
    await delay(betweenAttemptsMs);
  }
}
