import {
  balancedness,
  type ClusterShape,
  type ExpertMapping,
  type ForecastSummary,
  planTransfers,
  planWaves,
  type RebalanceResult,
  type WaveRoom,
} from '@isobar/eplb';
import {
  type CommandEffect,
  type EconomySummary,
  type EngineDescription,
  encodeTransfers,
  IsobarError,
  sameVersion,
  type VersionInForce,
  type Wave,
  wholeMapping,
} from '@isobar/protocol';

/** A placement that could be applied, and all that is known about it. */
export interface RebalancePlan {
  readonly id: string;
  /** The mapping that it starts from. */
  readonly current: ExpertMapping;
  readonly target: ExpertMapping;
  readonly base: VersionInForce;
  readonly result: RebalanceResult;
  readonly waves: readonly Wave[];
  readonly moves: number;
  readonly bytes: number;
  readonly benefitSeconds: number;
  readonly costSeconds: number;
  readonly pays: boolean;
  /** Seconds saved, [layers]. */
  readonly layerBenefits: Float64Array;
  /** That it was made for, [layers × experts]. */
  readonly loads: Float64Array;
  /** Ranks that it was to leave empty. */
  readonly unavailableRanks: readonly number[];
  readonly balancedness: { readonly before: number; readonly after: number };
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
  /** What the message of a wave may hold. */
  readonly room: WaveRoom;
  readonly reason: string;
}

/**
 * Cuts a mapping that is to come into waves that spare buffers and messages can take, each with a
 * source for every expert that travels.
 * @throws EplbError ISOBAR_EPLB_NO_SPARE_BUFFERS
 */
export function wavesTo(
  current: ExpertMapping,
  target: ExpertMapping,
  options: WavesOptions,
): Wave[] {
  const { change, engines, topology, layerGains, room, reason } = options;
  const maxIncomingPerRank = new Int32Array(current.numRanks);
  for (const { rank, spareBuffers, reserveBuffers } of engines) {
    maxIncomingPerRank[rank] = Math.max(0, spareBuffers - reserveBuffers);
  }
  const gains = layerGains === undefined ? {} : { layerGains };
  const mappings = planWaves(current, target, { maxIncomingPerRank, room, ...gains });
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
export function assertCurrent(plan: RebalancePlan, inForce: VersionInForce): void {
  if (sameVersion(plan.base, inForce)) return;
  throw new IsobarError(
    'ISOBAR_COORDINATOR_PLAN_OUTDATED',
    `plan ${plan.id} was made for version ${plan.base.version}; ${inForce.version} is in force`,
    { plan: plan.id, base: plan.base.version, version: inForce.version },
  );
}

/**
 * A plan cut down to some layers; the others stay as they are.
 * @param layers each below the mapping's number of layers
 */
export function planOfLayers(
  plan: RebalancePlan,
  layers: readonly number[],
  options: Omit<WavesOptions, 'change' | 'reason' | 'layerGains'>,
): RebalancePlan {
  const { current, layerBenefits, loads, unavailableRanks } = plan;
  const chosen = [...new Set(layers)].sort((a, b) => a - b);
  const rows = Int32Array.from(chosen.flatMap((layer) => [...plan.target.row(layer)]));
  const target = current.apply({ layers: Int32Array.from(chosen), rows });
  const moves = current.numMoves(target);
  const share = plan.moves === 0 ? 0 : moves / plan.moves;
  const benefitSeconds = chosen.reduce((sum, layer) => sum + (layerBenefits[layer] ?? 0), 0);
  const costSeconds = plan.costSeconds * share;
  const pays = benefitSeconds > costSeconds;
  const { numLayers, numRanks } = target;
  const after = balancedness(target.rankLoads(loads), numLayers, numRanks, unavailableRanks);
  const told = `layer ${chosen.join(', ')} alone: ${moves} moves`;
  return {
    ...plan,
    target,
    moves,
    bytes: plan.bytes * share,
    benefitSeconds,
    costSeconds,
    pays,
    balancedness: { ...plan.balancedness, after },
    reason: `${told}, ${pays ? 'which pay' : 'which do not pay'}`,
    waves: wavesTo(current, target, {
      ...options,
      change: 'rebalance',
      layerGains: layerBenefits,
      reason: `plan ${plan.id}, ${told}`,
    }),
  };
}

/** What going from one mapping to another takes. */
export function effectOf(
  current: ExpertMapping,
  target: ExpertMapping,
  numWaves: number,
  bytesPerExpert: number,
): CommandEffect {
  const moves = current.numMoves(target);
  const slots = current.numPhysicalExperts;
  const ranks = new Set<number>();
  for (const [index, expert] of target.physicalToLogical.entries()) {
    if (current.physicalToLogical[index] !== expert) ranks.add(target.rankOfSlot(index % slots));
  }
  return {
    waves: numWaves,
    moves,
    bytes: moves * bytesPerExpert,
    ranks: [...ranks].sort((a, b) => a - b),
  };
}
