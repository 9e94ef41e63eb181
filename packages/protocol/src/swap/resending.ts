import { sameFence } from '../fence.js';
import type { RankReport } from '../messages.js';
import type { RankTable } from '../rank-table.js';
import type { OrderVerb } from '../subjects.js';
import type { OpenSwap } from './open-swap.js';

/*
 * To whom the open phase's message is sent again. It holds a whole mapping, so it goes only to ranks
 * that have shown nothing of it yet, and to each of them ever more rarely.
 */

/** When a rank is told again, and how long after that. */
export interface Resend {
  readonly dueAtMs: number;
  readonly intervalMs: number;
}

const intervalMinMs = 1_000;
const intervalMaxMs = 4_000;

/** More ranks than these are told at once, by one message to all. */
const addressedMax = 16;

export interface Resending {
  readonly resends: ReadonlyMap<number, Resend>;
  /** Empty where nobody is due; null: all ranks. */
  readonly ranks: readonly number[] | null;
}

/**
 * Who is due, and when they are next.
 * @param missing ranks that have not followed the open phase
 */
export function resendingAt(
  open: OpenSwap,
  missing: readonly number[],
  reports: RankTable<RankReport>,
  nowMs: number,
): Resending {
  const resends = new Map<number, Resend>();
  const ranks: number[] = [];
  for (const rank of missing) {
    if (isUnderWay(open, reports.get(rank))) continue;
    const last = open.resends.get(rank);
    // All ranks have been told when the phase began.
    const dueAtMs = last?.dueAtMs ?? open.phaseSinceMs + intervalMinMs;
    if (nowMs < dueAtMs) {
      resends.set(rank, { dueAtMs, intervalMs: last?.intervalMs ?? intervalMinMs });
      continue;
    }
    const intervalMs = Math.min(intervalMaxMs, 2 * (last?.intervalMs ?? intervalMinMs));
    resends.set(rank, { dueAtMs: nowMs + intervalMs, intervalMs });
    ranks.push(rank);
  }
  const isForAll = ranks.length > addressedMax || ranks.some(isOutOfReach(open, reports));
  return { resends, ranks: isForAll ? null : ranks };
}

/** Whether a rank's agent is of before single ranks were told: it hears what is sent to all. */
function isOutOfReach(
  { phase }: OpenSwap,
  reports: RankTable<RankReport>,
): (rank: number) => boolean {
  const verb: OrderVerb = phase === 'preparing' ? 'prepare' : 'outcome';
  return (rank) => {
    const report = reports.get(rank);
    return report !== undefined && report.ownOrders?.includes(verb) !== true;
  };
}

/** The rank has the message, and takes its time. */
function isUnderWay(
  { phase, proposal: { version, members }, votes }: OpenSwap,
  report: RankReport | undefined,
): boolean {
  const engine = report?.engine ?? null;
  if (report === undefined || engine === null) return false;
  const { incarnation } = engine;
  if (phase === 'preparing') {
    const isStaging = report.progress?.version === version && engine.openVote !== version;
    // Where its vote is in it lacks only that it is severed from the dead.
    return isStaging || votes.has(incarnation);
  }
  const isListed = members.some((member) => member.incarnation === incarnation);
  return phase === 'activating' && isListed && engine.committedVersion >= version;
}

/**
 * A rank that has come back, or has caught up, may be able to follow now: it is told again
 * at the next tick.
 */
export function withNews(
  open: OpenSwap,
  before: RankReport | undefined,
  report: RankReport,
  nowMs: number,
): OpenSwap {
  if (before === undefined || isAsBefore(before, report)) return open;
  const due = { dueAtMs: nowMs, intervalMs: intervalMinMs };
  return { ...open, resends: new Map(open.resends).set(report.rank, due) };
}

function isAsBefore(before: RankReport, report: RankReport): boolean {
  if (!sameFence(before.fence, report.fence)) return false;
  const [known, told] = [before.engine, report.engine];
  if (known === null || told === null) return known === told;
  return (
    known.incarnation === told.incarnation &&
    known.committedVersion === told.committedVersion &&
    known.standing === told.standing
  );
}
