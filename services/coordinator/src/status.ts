import { balancedness, imbalance, loadShares } from '@isobar/eplb';
import {
  type CoordinatorState,
  decodeTransfers,
  includesMember,
  type LeaderState,
  type Member,
  membersWithout,
  offeredSlotsOf,
  type RankStatus,
  ranksMissing,
  type StatusAnswer,
  sameMember,
  softwareVersion,
} from '@isobar/protocol';
import type { Topology } from '@isobar/topology';
import type { Leadership } from './leadership.js';
import type { RankSightings } from './rank-sightings.js';
import type { CoordinatorSettings } from './settings.js';

/** Sources, kinds and reasons told. */
const refusalsTold = 1_024;
/** Rebalances told. */
const historyTold = 16;
/** Layers told of a pass. */
const worstLayersTold = 8;

export interface StatusSources {
  readonly settings: CoordinatorSettings;
  readonly topology: Topology;
  readonly state: CoordinatorState;
  readonly leadership: Leadership;
  readonly sightings: RankSightings;
  /** Where each rank runs is told: of many ranks it is a good part of what one message can hold. */
  readonly arePlacesTold: boolean;
  readonly messagesRefused: number;
  readonly nowMs: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** What the command `status` answers, by the process that leads. */
export function statusOf(sources: StatusSources): StatusAnswer {
  const { settings, leadership, messagesRefused, sightings, nowMs } = sources;
  const { leader, rebalancing } = leadership;
  const { control } = leader;
  const { mapping } = rebalancing;
  const { lastPass, unavailableRanks } = leadership;
  const shares =
    lastPass === null ? null : loadShares(lastPass.rankLoads, mapping.numRanks, unavailableRanks);
  return {
    deployment: settings.deployment,
    leader: leaderStatus(sources),
    mode: control.mode,
    paused: control.paused,
    held: control.held,
    heldBack: leadership.heldBack,
    backOff: backOffStatus(leader, nowMs),
    drained: [...control.drained],
    dead: deadOf(leader),
    suspected: suspectedOf(leader),
    mapping: {
      ...rebalancing.inForce,
      layers: mapping.numLayers,
      logicalExperts: mapping.numLogicalExperts,
      physicalExperts: mapping.numPhysicalExperts,
      ranks: mapping.numRanks,
    },
    swap: swapStatus(leadership, nowMs),
    load: loadStatus(leadership),
    ranks: Array.from({ length: sources.topology.numRanks }, (_, rank) =>
      rankStatus(sources, rank, shares?.[rank] ?? null),
    ),
    economy: rebalancing.economy,
    pendingPlan: rebalancing.pendingPlan,
    history: rebalancing.history.slice(-historyTold),
    swaps: { ...leadership.swaps },
    placeContradictions: sightings.places.contradictionsAt(nowMs).map((found) => ({
      ...found,
      ranks: [...found.ranks],
    })),
    messagesRefused,
    refusals: sightings.refusals.slice(0, refusalsTold).map(({ source, kind, reason, count }) => ({
      source,
      kind,
      reason,
      count,
    })),
  };
}

function leaderStatus({
  settings,
  state,
  leadership,
  nowMs,
  atMs,
}: StatusSources): StatusAnswer['leader'] {
  const { phase } = state.lease;
  const writtenAtMs = phase.kind === 'holding' ? phase.writtenAtMs : nowMs;
  return {
    holder: settings.holder,
    term: leadership.fence.term,
    leaseMs: settings.leaseMs,
    renewedAgoMs: nowMs - writtenAtMs,
    software: softwareVersion,
    atMs,
  };
}

function backOffStatus({ backOff }: LeaderState, nowMs: number): StatusAnswer['backOff'] {
  if (backOff === null || nowMs >= backOff.untilMs) return null;
  const { untilMs, version, reason } = backOff;
  return { remainingMs: untilMs - nowMs, version, reason };
}

/** Members proven dead; of who is listed no more, nothing is left to be done. */
function deadOf({ swap, evidence }: LeaderState): StatusAnswer['dead'] {
  const listed = [...swap.members, ...(swap.open?.voters ?? [])];
  return evidence.proven
    .filter(({ member }) => includesMember(listed, member))
    .map(({ member, proof }) => ({ ...member, proof }));
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

function swapStatus(leadership: Leadership, nowMs: number): StatusAnswer['swap'] {
  const { swap } = leadership.leader;
  const { open, waiting } = swap;
  if (open === null) return null;
  const moves = decodeTransfers(open.proposal.transfers).length;
  return {
    version: open.proposal.version,
    change: open.proposal.change,
    phase: open.phase,
    reason: open.proposal.reason,
    ageMs: nowMs - open.startedAtMs,
    missingRanks: ranksMissing(swap, open),
    wavesWaiting: waiting.length,
    neededRanks: membersWithout(open.voters, swap.dead).map(({ rank }) => rank),
    moves,
    bytes: moves * leadership.bytesPerExpert,
  };
}

function loadStatus(leadership: Leadership): StatusAnswer['load'] {
  const { lastPass, rebalancing, window } = leadership;
  const { numLayers, numRanks } = rebalancing.mapping;
  const rankLoads = lastPass?.rankLoads ?? null;
  const out = leadership.unavailableRanks;
  const perLayer = rankLoads === null ? null : imbalance(rankLoads, numLayers, numRanks, out);
  return {
    balancedness: rankLoads === null ? null : balancedness(rankLoads, numLayers, numRanks, out),
    imbalance:
      perLayer === null ? null : perLayer.reduce((sum, at) => sum + at, 0) / perLayer.length,
    meanStepMillis: lastPass?.meanStepMillis ?? null,
    passes: rebalancing.passes,
    missingRanks: window.missingRanks,
    worstLayers: perLayer === null ? [] : worstLayers(leadership, perLayer),
  };
}

function worstLayers(
  { lastPass, rebalancing, engines }: Leadership,
  imbalances: Float64Array,
): NonNullable<StatusAnswer['load']['worstLayers']> {
  const { numRanks } = rebalancing.mapping;
  const modelLayers = engines[0]?.modelLayerIds;
  return Array.from(imbalances, (imbalance, layer) => ({ layer, imbalance }))
    .sort((a, b) => b.imbalance - a.imbalance)
    .slice(0, worstLayersTold)
    .map(({ layer, imbalance }) => {
      const loads = lastPass?.rankLoads.subarray(layer * numRanks, (layer + 1) * numRanks);
      const rank = loads?.indexOf(Math.max(...loads)) ?? 0;
      return { layer, modelLayer: modelLayers?.[layer] ?? null, imbalance, rank };
    });
}

function rankStatus(sources: StatusSources, rank: number, loadShare: number | null): RankStatus {
  const { leadership, topology, sightings, nowMs } = sources;
  const { swap, control } = leadership.leader;
  const report = swap.reports.get(rank);
  const engine = report?.engine ?? null;
  return {
    rank,
    reportAgeMs: sightings.reportAgeMs(rank, nowMs),
    sampleAgeMs: sightings.sampleAgeMs(rank, nowMs),
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
    loadShare,
    staged: report?.progress ?? null,
    refused: report?.refused ?? null,
    node: topology.domainName(
      topology.levels.findIndex(({ fastDomain }) => fastDomain),
      rank,
    ),
    engine: engineStatus(leadership, rank),
    software: report?.software ?? null,
    clockSkewMs: sightings.clocks.skewMs(rank),
    ...placeStatus(sources, rank),
  };
}

function placeStatus(
  { sightings: { places }, arePlacesTold }: StatusSources,
  rank: number,
): Pick<RankStatus, 'place' | 'origin'> {
  if (!arePlacesTold) return {};
  return { place: places.placeOf(rank), origin: places.originOf(rank) };
}

function slotsOf({ mapping, evidence, control }: LeaderState, rank: number): RankStatus['slots'] {
  const { slotOffsets } = mapping;
  return {
    own: (slotOffsets[rank + 1] ?? 0) - (slotOffsets[rank] ?? 0),
    offered: offeredSlotsOf(mapping, evidence, rank),
    limit: control.slotLimits.find((limit) => limit.rank === rank)?.slots ?? null,
  };
}

function engineStatus({ leader }: Leadership, rank: number): RankStatus['engine'] {
  const description = leader.engines.get(rank)?.description;
  if (description === undefined) return null;
  const { engine: name, modelRevision, spareBuffers, reserveBuffers, ownBalancer } = description;
  return { name, modelRevision, spareBuffers, reserveBuffers, ownBalancer };
}
