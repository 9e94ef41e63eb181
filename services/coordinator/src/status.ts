import { balancedness, imbalance } from '@isobar/eplb';
import {
  type CoordinatorState,
  type LeaderState,
  type Member,
  offeredSlotsOf,
  type RankStatus,
  ranksMissing,
  type StatusAnswer,
  sameMember,
} from '@isobar/protocol';
import type { Leadership } from './leadership.js';
import type { CoordinatorSettings } from './settings.js';

/** Rebalances told. */
const historyTold = 16;

export interface StatusSources {
  readonly settings: CoordinatorSettings;
  readonly numRanks: number;
  readonly state: CoordinatorState;
  readonly leadership: Leadership;
  /** When each rank's newest report came, on the process's clock. */
  readonly reportedAtMs: ReadonlyMap<number, number>;
  readonly messagesRefused: number;
  readonly nowMs: number;
}

/** What the command `status` answers, by the process that leads. */
export function statusOf(sources: StatusSources): StatusAnswer {
  const { settings, leadership, messagesRefused } = sources;
  const { leader, rebalancing } = leadership;
  const { control, swap } = leader;
  const { mapping } = rebalancing;
  return {
    deployment: settings.deployment,
    leader: leaderStatus(sources),
    mode: control.mode,
    paused: control.paused,
    held: control.held,
    heldBack: leadership.heldBack,
    backOff: backOffStatus(leader, sources.nowMs),
    drained: [...control.drained],
    dead: leader.evidence.proven.map(({ member, proof }) => ({ ...member, proof })),
    suspected: suspectedOf(leader),
    mapping: {
      version: swap.newest.version,
      digest: swap.newest.digest,
      layers: mapping.numLayers,
      logicalExperts: mapping.numLogicalExperts,
      physicalExperts: mapping.numPhysicalExperts,
      ranks: mapping.numRanks,
    },
    swap: swapStatus(leader, sources.nowMs),
    load: loadStatus(leadership),
    ranks: Array.from({ length: sources.numRanks }, (_, rank) => rankStatus(sources, rank)),
    economy: rebalancing.economy,
    pendingPlan: rebalancing.pendingPlan,
    history: rebalancing.history.slice(-historyTold),
    swaps: { ...leadership.swaps },
    messagesRefused,
  };
}

function leaderStatus({
  settings,
  state,
  leadership,
  nowMs,
}: StatusSources): StatusAnswer['leader'] {
  const { phase } = state.lease;
  const writtenAtMs = phase.kind === 'holding' ? phase.writtenAtMs : nowMs;
  return {
    holder: settings.holder,
    term: leadership.fence.term,
    leaseMs: settings.leaseMs,
    renewedAgoMs: nowMs - writtenAtMs,
  };
}

function backOffStatus({ backOff }: LeaderState, nowMs: number): StatusAnswer['backOff'] {
  if (backOff === null || nowMs >= backOff.untilMs) return null;
  const { untilMs, version, reason } = backOff;
  return { remainingMs: untilMs - nowMs, version, reason };
}

/** Members with which others have lost their connection: no proof of anything. */
function suspectedOf({ swap }: LeaderState): StatusAnswer['suspected'] {
  const lostBy = (member: Member) =>
    [...swap.reports.values()]
      .filter(({ engine }) => engine?.brokenPeers.some((peer) => sameMember(peer, member)))
      .map(({ rank }) => rank);
  return swap.members
    .map((member) => ({ ...member, lostBy: lostBy(member) }))
    .filter(({ lostBy: ranks }) => ranks.length > 0);
}

function swapStatus({ swap }: LeaderState, nowMs: number): StatusAnswer['swap'] {
  const { open, waiting } = swap;
  if (open === null) return null;
  return {
    version: open.proposal.version,
    change: open.proposal.change,
    phase: open.phase,
    reason: open.proposal.reason,
    ageMs: nowMs - open.startedAtMs,
    missingRanks: ranksMissing(swap, open),
    wavesWaiting: waiting.length,
  };
}

function loadStatus({ lastPass, rebalancing, window }: Leadership): StatusAnswer['load'] {
  const { numLayers, numRanks } = rebalancing.mapping;
  const perLayer = lastPass === null ? null : imbalance(lastPass.rankLoads, numLayers, numRanks);
  return {
    balancedness: lastPass === null ? null : balancedness(lastPass.rankLoads, numLayers, numRanks),
    imbalance:
      perLayer === null ? null : perLayer.reduce((sum, at) => sum + at, 0) / perLayer.length,
    meanStepMillis: lastPass?.meanStepMillis ?? null,
    passes: rebalancing.passes,
    missingRanks: window.missingRanks,
  };
}

function rankStatus(sources: StatusSources, rank: number): RankStatus {
  const { leadership, reportedAtMs, nowMs } = sources;
  const { swap, control } = leadership.leader;
  const report = swap.reports.get(rank);
  const reportedAt = reportedAtMs.get(rank);
  const engine = report?.engine ?? null;
  return {
    rank,
    reportAgeMs: reportedAt === undefined ? null : nowMs - reportedAt,
    engineConnected: engine !== null,
    standing: engine?.standing ?? null,
    member: swap.members.find((member) => member.rank === rank)?.incarnation ?? null,
    drained: control.drained.includes(rank),
    slots: slotsOf(leadership.leader, rank),
    leaving: engine?.leaving === true,
    mappingVersion: engine?.mappingVersion ?? null,
    incarnation: engine?.incarnation ?? null,
    freeBuffers: engine?.freeBuffers ?? null,
    step: engine?.step ?? null,
    loadShare: loadShare(leadership, rank),
    staged: report?.progress ?? null,
  };
}

function slotsOf({ mapping, evidence, control }: LeaderState, rank: number): RankStatus['slots'] {
  const { slotOffsets } = mapping;
  return {
    own: (slotOffsets[rank + 1] ?? 0) - (slotOffsets[rank] ?? 0),
    offered: offeredSlotsOf(mapping, evidence, rank),
    limit: control.slotLimits.find((limit) => limit.rank === rank)?.slots ?? null,
  };
}

/** Tokens that the rank served in the last pass ÷ the mean of all. */
function loadShare({ lastPass, rebalancing }: Leadership, rank: number): number | null {
  if (lastPass === null) return null;
  const { numRanks } = rebalancing.mapping;
  let own = 0;
  let all = 0;
  lastPass.rankLoads.forEach((load, index) => {
    all += load;
    if (index % numRanks === rank) own += load;
  });
  return all === 0 ? 0 : (own * numRanks) / all;
}
