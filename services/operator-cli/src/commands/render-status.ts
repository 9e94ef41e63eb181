import type { EconomySummary, PlanSummary, RebalanceEntry, StatusAnswer } from '@isobar/protocol';
import { adviceOn } from '@isobar/protocol';
import { wishesOf } from '../drawing/rank-wishes.js';
import { bytes, counted, optional, ranges, seconds, table } from '../table.js';

const refusalsShown = 16;

/** `isobar status` for a person. */
export function renderStatus(status: StatusAnswer): string {
  const { mapping, load, swap, leader } = status;
  const lines = [
    `deployment   ${status.deployment}, led by ${leader.holder} (term ${leader.term}, lease of ${seconds(leader.leaseMs)} renewed ${seconds(leader.renewedAgoMs)} ago)`,
    `mode         ${status.mode}${status.paused ? ', paused' : ''}`,
    `mapping      version ${mapping.version} (${mapping.digest.slice(0, 12)}): ${mapping.layers} layers, ${mapping.logicalExperts} experts in ${mapping.physicalExperts} slots on ${mapping.ranks} ranks`,
    `load         balancedness ${optional(load.balancedness, 3)}, imbalance ${optional(load.imbalance, 2)}, step ${optional(load.meanStepMillis, 1)} ms, ${load.passes} passes in the window${missing(load.missingRanks)}`,
    `swaps        ${status.swaps.committed} committed, ${status.swaps.void} void`,
    `per token    ${perToken(status.economy)}`,
    `interference ${interference(status.economy)}`,
  ];
  if (swap !== null) {
    lines.push(
      `swap         version ${swap.version} (${swap.change}) ${swap.phase} for ${seconds(swap.ageMs)}, ${counted(swap.wavesWaiting, 'wave')} waiting${missing(swap.missingRanks)}`,
    );
  }
  lines.push(...troubles(status));
  lines.push(...refusals(status));
  const last = status.history.at(-1);
  if (last?.outcome === 'not-worth') lines.push(`last plan    ${last.plan.reason}`);
  if (last !== undefined) lines.push(`forecast     ${forecast(last.plan)}, when last planned`);
  lines.push('', rankTable(status));
  if (status.pendingPlan !== null) lines.push('', renderPlan(status.pendingPlan));
  if (status.history.length > 0) lines.push('', historyTable(status.history));
  return lines.join('\n');
}

/** Messages that were not taken: by whom, of what kind, why. */
function refusals({ messagesRefused, refusals: recent = [] }: StatusAnswer): string[] {
  if (messagesRefused === 0 && recent.length === 0) return [];
  const lines = recent
    .slice(0, refusalsShown)
    .map(
      ({ source, kind, reason, count }) =>
        `refusing     ${source}: ${count} × ${kind}, ${reason}: ${adviceOn(reason)}`,
    );
  const more = recent.length - lines.length;
  if (more > 0) lines.push(`refusing     ${more} kinds more`);
  return [`refused      ${messagesRefused} messages, by the coordinator`, ...lines];
}

/** What keeps balancing back, and ranks that are not as they should be. */
export function troubles(status: StatusAnswer): string[] {
  const { held, heldBack, backOff, drained, dead, suspected, ranks } = status;
  const lines: string[] = [];
  if (held !== null) lines.push(`held         ${held}, until isobar resume`);
  else if (heldBack !== null) lines.push(`held back    ${heldBack}`);
  if (backOff !== null) lines.push(`back-off     ${seconds(backOff.remainingMs)} more`);
  if (drained.length > 0) lines.push(`drained      rank ${ranges(drained)}`);
  for (const { rank, incarnation, proof } of dead) {
    lines.push(`dead         rank ${rank} (${incarnation}), ${proof}`);
  }
  for (const { rank, incarnation, lostBy } of suspected) {
    lines.push(`suspected    rank ${rank} (${incarnation}), lost by rank ${ranges(lostBy)}`);
  }
  for (const { rank, refused } of ranks) {
    if (refused == null) continue;
    const { order, version, code, reason } = refused;
    const of = version === null ? '' : ` of version ${version}`;
    lines.push(`not followed rank ${rank}, ${order}${of}: ${code}, ${reason}`);
  }
  return lines;
}

function missing(ranks: readonly number[]): string {
  return ranks.length === 0 ? '' : `, waiting for rank ${ranges(ranks)}`;
}

function rankTable(status: StatusAnswer): string {
  const head = [
    'rank',
    'engine',
    'standing',
    'version',
    'load',
    'free buffers',
    'step',
    'reported',
  ];
  const rows = status.ranks.map((rank) => [
    String(rank.rank),
    rank.engineConnected ? 'up' : 'away',
    [rank.standing ?? '-', ...wishesOf(rank)].join(', '),
    optional(rank.mappingVersion, 0),
    optional(rank.loadShare, 2),
    optional(rank.freeBuffers, 0),
    optional(rank.step, 0),
    rank.reportAgeMs === null ? 'never' : `${seconds(rank.reportAgeMs)} ago`,
  ]);
  return table(head, rows);
}

function historyTable(history: readonly RebalanceEntry[]): string {
  const head = ['rebalance', 'outcome', 'predicted', 'measured', 'moves', 'bytes', 'waves'];
  const rows = history.map(({ plan, outcome, measuredBalancedness, wavesCommitted }) => [
    plan.id,
    outcome,
    gain(plan.balancedness),
    measuredBalancedness === null ? '-' : gain(measuredBalancedness),
    String(plan.moves),
    bytes(plan.bytes),
    `${wavesCommitted}/${plan.waves}`,
  ]);
  return table(head, rows);
}

function gain({ before, after }: { readonly before: number; readonly after: number }): string {
  return `${before.toFixed(3)} → ${after.toFixed(3)}`;
}

const basisNames = {
  layer: 'fitted by layer',
  'all-layers': 'with the slope of all layers',
  step: 'with the slope of whole steps',
  configured: 'configured',
  held: "held: can't be told from noise",
} as const;

function perToken({ perTokenSeconds, layersByBasis, reason }: EconomySummary): string {
  const mean = perTokenSeconds === null ? 'not known' : `${microseconds(perTokenSeconds)} a layer`;
  const layers = (Object.keys(basisNames) as (keyof typeof basisNames)[])
    .filter((basis) => layersByBasis[basis] > 0)
    .map((basis) => `${layersByBasis[basis]} layers ${basisNames[basis]}`);
  return `${mean}; ${layers.join(', ')}${reason === null ? '' : ` (${reason})`}`;
}

function microseconds(seconds: number): string {
  return `${(seconds * 1e6).toPrecision(3)} µs`;
}

function interference({ interference: { share, basis, transferring, quiet } }: EconomySummary) {
  const seen = `${transferring} passes with weights travelling, ${quiet} without`;
  return `${(share * 100).toFixed(1)} % slower while weights travel, ${basis} (${seen})`;
}

/** Methods of less weight than half a percent are left out. */
function forecast({ forecast: { relativeError, methods, ...of } }: PlanSummary): string {
  const weights = Object.entries(methods)
    .filter(([, weight]) => weight >= 0.005)
    .sort(([, a], [, b]) => b - a)
    .map(([method, weight]) => `${method} ${(weight * 100).toFixed(0)} %`);
  return [
    `${(relativeError * 100).toFixed(1)} % off so far (${weights.join(', ')})`,
    `a shift in ${of.shiftedLayers} and a period in ${of.periodicLayers} of ${of.layers} layers`,
  ].join('; ');
}

/** `isobar plan` for a person. */
export function renderPlan(plan: PlanSummary): string {
  return [
    `plan ${plan.id} on version ${plan.baseVersion}, by the ${plan.policy} policy in ${plan.planMs.toFixed(0)} ms`,
    `  balancedness  ${gain(plan.balancedness)} predicted`,
    `  moves         ${counted(plan.moves, 'expert')}, ${bytes(plan.bytes)}, in ${counted(plan.waves, 'wave')}`,
    `  worth         ${plan.benefitSeconds.toFixed(2)} s of rank time over the horizon, for ${plan.costSeconds.toFixed(3)} s`,
    `  forecast      ${forecast(plan)}`,
    `  per token     ${perToken(plan.economy)}`,
    `  interference  ${interference(plan.economy)}`,
    `  ${plan.reason}`,
  ].join('\n');
}
