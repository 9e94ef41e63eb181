import { type ExpertMapping, loadShares, type RebalanceResult } from '@isobar/eplb';
import type { PlanSummary, RebalanceEntry } from '@isobar/protocol';
import type { RebalancePlan } from './rebalance-plan.js';

/* What is told of a plan: to operators, with its versions, and in the audit trail. */

/** Of one pass. */
export interface Measured {
  readonly balancedness: number;
  readonly stepMillis: number;
}

export function reasonOf(id: string, result: RebalanceResult): string {
  const { report } = result;
  const before = report.balancednessBefore?.toFixed(3) ?? '?';
  const after = report.balancedness.toFixed(3);
  return `plan ${id}: balancedness ${before} to ${after} predicted, ${report.moves} moves`;
}

/** Each rank's load ÷ the mean of those that serve, as forecast, before and after the plan; [ranks]. */
export function rankShares({ current, target, loads, unavailableRanks: out }: RebalancePlan): {
  readonly rankShares?: { readonly before: number[]; readonly after: number[] };
} {
  if (loads.length === 0) return {};
  const before = sharesOf(current, loads, out);
  return { rankShares: { before, after: sharesOf(target, loads, out) } };
}

function sharesOf(mapping: ExpertMapping, loads: Float64Array, out: readonly number[]): number[] {
  const shares = loadShares(mapping.rankLoads(loads), mapping.numRanks, out);
  // Three digits: it is for people, and there may be thousands of ranks.
  return Array.from(shares, (share) => Math.round(share * 1e3) / 1e3);
}

export function entryOf(
  plan: RebalancePlan,
  outcome: RebalanceEntry['outcome'],
  askedBy: RebalanceEntry['askedBy'],
): RebalanceEntry {
  return {
    at: new Date().toISOString(),
    plan: summaryOf(plan),
    outcome,
    askedBy,
    wavesCommitted: 0,
    measuredBalancedness: null,
    measuredStepMillis: null,
  };
}

export function summaryOf(plan: RebalancePlan): PlanSummary {
  const { report } = plan.result;
  return {
    id: plan.id,
    baseVersion: plan.base.version,
    policy: report.policy,
    planMs: report.planMs,
    balancedness: plan.balancedness,
    moves: plan.moves,
    bytes: plan.bytes,
    waves: plan.waves.length,
    benefitSeconds: plan.benefitSeconds,
    costSeconds: plan.costSeconds,
    pays: plan.pays,
    forecast: plan.forecast,
    economy: plan.economy,
    reason: plan.reason,
  };
}

export function gainOf(
  before: readonly Measured[],
  after: readonly Measured[],
  pick: (measured: Measured) => number,
): { before: number; after: number } | null {
  if (before.length === 0 || after.length === 0) return null;
  const mean = (of: readonly Measured[]) => of.reduce((sum, at) => sum + pick(at), 0) / of.length;
  return { before: mean(before), after: mean(after) };
}
