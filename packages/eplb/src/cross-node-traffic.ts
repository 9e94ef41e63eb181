import type { ExpertMapping } from './expert-mapping.js';

/**
 * Share of all tokens' visits to experts that leave the source's fast domain: tokens come evenly
 * from all ranks, and each goes to any replica of its expert alike. 0 when idle.
 * @param loads visits by expert, [layers × experts]
 * @param fastDomains of each rank, [ranks]
 */
export function crossNodeFraction(
  mapping: ExpertMapping,
  loads: Float64Array,
  fastDomains: Int32Array,
): number {
  const { numLayers, numRanks } = mapping;
  const elsewhere = shareOfRanksElsewhere(fastDomains);
  const rankLoads = mapping.rankLoads(loads);
  let visits = 0;
  let crossing = 0;
  for (let index = 0; index < numLayers * numRanks; index += 1) {
    const load = rankLoads[index] ?? 0;
    visits += load;
    crossing += load * (elsewhere[index % numRanks] ?? 0);
  }
  return visits === 0 ? 0 : crossing / visits;
}

/** For each rank the share of ranks that are in another fast domain, [ranks]. */
function shareOfRanksElsewhere(fastDomains: Int32Array): Float64Array {
  const sizes = new Map<number, number>();
  for (const domain of fastDomains) sizes.set(domain, (sizes.get(domain) ?? 0) + 1);
  return Float64Array.from(
    fastDomains,
    (domain) => 1 - (sizes.get(domain) ?? 0) / fastDomains.length,
  );
}
