import type { Bus, Intake } from '@isobar/bus';
import { type RankStatus, type StatusAnswer, softwareVersion } from '@isobar/protocol';
import {
  flagReading,
  type Metric,
  Metrics,
  numberReading,
  processMetrics,
  type Reading,
} from '@isobar/telemetry';
import type { Coordinator } from './coordinator.js';

/** What a coordinator's process has by now. */
export interface ProcessParts {
  readonly bus: Bus | null;
  readonly coordinator: Coordinator | null;
  readonly intake: Intake;
}

/** What it lacks to lead, or to stand by: a standby is as ready as the leader. */
export function lackingOf({ bus, coordinator }: ProcessParts): string[] {
  if (bus?.connected !== true) return ['a NATS server'];
  return coordinator?.isServing === true ? [] : ['its records'];
}

interface Snapshot extends ProcessParts {
  /** Null unless it leads. */
  readonly status: StatusAnswer | null;
}

export function coordinatorMetrics(
  fields: Readonly<Record<string, string>>,
  parts: () => ProcessParts,
): Metrics<Snapshot> {
  const take = () => {
    const now = parts();
    return { ...now, status: now.coordinator?.statusWhileLeading() ?? null };
  };
  return new Metrics(fields, take, coordinatorMetricTable);
}

const ofTheProcess: readonly Metric<Snapshot>[] = [
  ...processMetrics(softwareVersion),
  {
    name: 'isobar_coordinator_leading',
    help: 'Whether this coordinator leads its deployment: one of a deployment does.',
    kind: 'gauge',
    read: ({ status }) => flagReading(status !== null),
  },
];

/** What only the leader knows: other coordinators tell no such series. */
const ofTheDeployment: readonly Metric<Snapshot>[] = [
  {
    name: 'isobar_term',
    help: 'Term of the leadership.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.leader.term),
  },
  {
    name: 'isobar_mode',
    help: 'The mode in force is 1.',
    kind: 'gauge',
    labels: ['mode'],
    read: ({ status }) => (status === null ? [] : [{ labels: { mode: status.mode }, value: 1 }]),
  },
  {
    name: 'isobar_held_back',
    help: 'Whether no rebalance may begin by itself now: paused, held, backing off, or the like.',
    kind: 'gauge',
    read: ({ status }) => (status === null ? [] : flagReading(status.heldBack !== null)),
  },
  {
    name: 'isobar_mapping_version',
    help: 'Version of the mapping in force.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.mapping.version),
  },
  {
    name: 'isobar_balancedness',
    help: 'Of the last pass: mean rank load over largest, 1 is perfect.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.load.balancedness),
  },
  {
    name: 'isobar_imbalance',
    help: 'Of the last pass: largest rank load over mean, averaged over layers.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.load.imbalance),
  },
  {
    name: 'isobar_step_seconds',
    help: 'Mean duration of a step in the last pass.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.load.meanStepMillis).map(secondsOf),
  },
  {
    name: 'isobar_swaps_total',
    help: 'Swaps that ended under this leadership, by outcome.',
    kind: 'counter',
    labels: ['outcome'],
    read: ({ status }) =>
      status === null
        ? []
        : [
            { labels: { outcome: 'committed' }, value: status.swaps.committed },
            { labels: { outcome: 'void' }, value: status.swaps.void },
          ],
  },
  {
    name: 'isobar_swap_age_seconds',
    help: 'Age of the swap under way; absent while there is none.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.swap?.ageMs).map(secondsOf),
  },
  {
    name: 'isobar_members_dead',
    help: 'Members proven dead that a version still lists.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.dead.length),
  },
  {
    name: 'isobar_members_suspected',
    help: 'Members that others have lost their connection to.',
    kind: 'gauge',
    read: ({ status }) => numberReading(status?.suspected.length),
  },
];

const ofRanks: readonly Metric<Snapshot>[] = [
  {
    name: 'isobar_rank_engine_connected',
    help: 'Whether the engine of a rank is connected to its agent.',
    ...byRank(({ engineConnected }) => (engineConnected ? 1 : 0)),
  },
  {
    name: 'isobar_rank_member',
    help: 'Whether the version in force lists the rank.',
    ...byRank(({ member }) => (member === null ? 0 : 1)),
  },
  {
    name: 'isobar_rank_mapping_version',
    help: 'Version that a rank routes by.',
    ...byRank(({ mappingVersion }) => mappingVersion),
  },
  {
    name: 'isobar_rank_load_share',
    help: 'Tokens that a rank served in the last pass, over the mean of all that serve.',
    ...byRank(({ loadShare }) => loadShare),
  },
  {
    name: 'isobar_rank_report_age_seconds',
    help: 'Time since the newest report of a rank.',
    ...byRank(({ reportAgeMs }) => (reportAgeMs === null ? null : reportAgeMs / 1_000)),
  },
];

function byRank(
  select: (rank: RankStatus) => number | null,
): Pick<Metric<Snapshot>, 'kind' | 'labels' | 'read'> {
  return {
    kind: 'gauge',
    labels: ['rank'],
    read: ({ status }) =>
      (status?.ranks ?? []).flatMap((rank) => {
        const value = select(rank);
        return value === null ? [] : [{ labels: { rank: rank.rank }, value }];
      }),
  };
}

function secondsOf({ value }: Reading): Reading {
  return { value: value / 1_000 };
}

/** Every metric of a coordinator. */
export const coordinatorMetricTable: readonly Metric<Snapshot>[] = [
  ...ofTheProcess,
  ...ofTheDeployment,
  ...ofRanks,
];
