import {
  type ClusterShape,
  type ExpertMapping,
  type ForecastSummary,
  planTransfers,
  planWaves,
  type RebalanceResult,
} from '@isobar/eplb';
import {
  type EngineDescription,
  encodeTransfers,
  IsobarError,
  type Wave,
  wholeMapping,
} from '@isobar/protocol';

import type { EconomySummary } from './operator-messages.js';

/** A placement that could be applied, and all that is known about it. */
export interface RebalancePlan {
  readonly id: string;
  readonly base: { readonly version: number; readonly digest: string };
  readonly result: RebalanceResult;
  readonly waves: readonly Wave[];
  readonly moves: number;
  readonly bytes: number;
  readonly benefitSeconds: number;
  readonly costSeconds: number;
  readonly pays: boolean;
  readonly forecast: ForecastSummary;
  readonly economy: EconomySummary;
  /** Why it pays or does not. */
  readonly reason: string;
}

export interface WavesOptions {
  readonly change: 'rebalance' | 'rollback';
  readonly engines: readonly EngineDescription[];
  readonly topology: ClusterShape;
  /** Seconds saved, [layers]: the wave with most of them by move goes first; all alike where absent. */
  readonly layerGains?: Float64Array;
  readonly reason: string;
}

/**
 * Cuts a mapping that is to come into waves that the ranks' spare buffers can take, each with a
 * source for every expert that travels.
 * @throws EplbError ISOBAR_EPLB_NO_SPARE_BUFFERS
 */
export function wavesTo(
  current: ExpertMapping,
  target: ExpertMapping,
  options: WavesOptions,
): Wave[] {
  const { change, engines, topology, layerGains, reason } = options;
  const maxIncomingPerRank = new Int32Array(current.numRanks);
  for (const { rank, spareBuffers, reserveBuffers } of engines) {
    maxIncomingPerRank[rank] = Math.max(0, spareBuffers - reserveBuffers);
  }
  const gains = layerGains === undefined ? {} : { layerGains };
  const mappings = planWaves(current, target, { maxIncomingPerRank, ...gains });
  let before = current;
  return mappings.map((mapping, index) => {
    const { layers, rows } = before.delta(mapping);
    const transfers = encodeTransfers(planTransfers(before, mapping, { topology }));
    before = mapping;
    return {
      change,
      reason: `${reason}; wave ${index + 1} of ${mappings.length}`,
      mapping: wholeMapping(mapping),
      digest: mapping.digest(),
      layers,
      rows,
      transfers,
    };
  });
}

/**
 * A plan is applied only to the mapping that it was made for.
 * @throws IsobarError ISOBAR_COORDINATOR_PLAN_OUTDATED
 */
export function assertCurrent(
  plan: RebalancePlan,
  newest: { readonly version: number; readonly digest: string },
): void {
  if (plan.base.version === newest.version && plan.base.digest === newest.digest) return;
  throw new IsobarError(
    'ISOBAR_COORDINATOR_PLAN_OUTDATED',
    `plan ${plan.id} was made for version ${plan.base.version}; ${newest.version} is in force`,
    { plan: plan.id, base: plan.base.version, version: newest.version },
  );
}
