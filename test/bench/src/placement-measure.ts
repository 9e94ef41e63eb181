import { balancednessBound } from '@isobar/operator-cli';
import type { PlacementCase, Plan } from './placement-case.js';

export const runsMin = 5;
/** Quick plans are timed more often: until so much time has gone by. */
const timedMillis = 250;
/** Plans that take longer are timed once. */
export const slowMillis = 2_000;

export interface MeasuredPlan {
  readonly balancedness: number;
  readonly bound: number;
  readonly moves: number;
  /** By the clock, of each run. */
  readonly planMillis: readonly number[];
  /** Processor time of one run, which other work on the machine does not lengthen; the mean. */
  readonly cpuMillis: number;
}

/** @param isWarm whether plans like it have just been made */
export function measure(plan: Plan, { loads }: PlacementCase, isWarm = false): MeasuredPlan {
  const planMillis: number[] = [];
  let cpuStart = process.cpuUsage();
  let result = timed(plan, planMillis);
  if (!isWarm && (planMillis[0] ?? 0) < slowMillis) {
    planMillis.length = 0;
    cpuStart = process.cpuUsage();
    const startedMs = performance.now();
    while (planMillis.length < runsMin || performance.now() - startedMs < timedMillis) {
      result = timed(plan, planMillis);
    }
  }
  const { user, system } = process.cpuUsage(cpuStart);
  const { mapping, report } = result;
  return {
    balancedness: report.balancedness,
    bound: balancednessBound(mapping.rankLoads(loads), report.lowerBound),
    moves: report.moves,
    planMillis,
    cpuMillis: (user + system) / 1_000 / planMillis.length,
  };
}

function timed(plan: Plan, planMillis: number[]): ReturnType<Plan> {
  const startedMs = performance.now();
  const result = plan();
  planMillis.push(performance.now() - startedMs);
  return result;
}
