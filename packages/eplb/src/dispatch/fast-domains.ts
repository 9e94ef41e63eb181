import type { ClusterShape } from '../abstract-eplb-policy.js';

export interface FastDomains {
  /** Fast domain of each rank, counted from 0 without gaps, [ranks]. */
  readonly ofRank: Int32Array;
  readonly count: number;
}

/** The topology's fast domains, renumbered without gaps; one for all ranks without a topology. */
export function fastDomains(topology: ClusterShape | undefined, numRanks: number): FastDomains {
  if (topology === undefined) return { ofRank: new Int32Array(numRanks), count: 1 };
  const names = [...new Set(topology.fastDomains)].sort((a, b) => a - b);
  const indices = new Map(names.map((name, index) => [name, index]));
  return {
    ofRank: topology.fastDomains.map((name) => indices.get(name) ?? 0),
    count: names.length,
  };
}

/**
 * Cost from domain to domain, [domains × domains]: seconds between their ranks on average, 1 for
 * the dearest pair, 0 within a domain.
 */
export function domainCosts(
  topology: ClusterShape | undefined,
  domains: FastDomains,
): Float64Array {
  const { ofRank, count } = domains;
  const sums = new Float64Array(count * count);
  const pairs = new Float64Array(count * count);
  ofRank.forEach((from, rank) => {
    ofRank.forEach((to, other) => {
      const at = from * count + to;
      if (from === to) return;
      sums[at] = (sums[at] ?? 0) + (topology?.cost[rank * ofRank.length + other] ?? 1);
      pairs[at] = (pairs[at] ?? 0) + 1;
    });
  });
  const means = sums.map((sum, at) => ((pairs[at] ?? 0) === 0 ? 0 : sum / (pairs[at] ?? 1)));
  const dearest = means.reduce((most, cost) => Math.max(most, cost), 0);
  return means.map((cost, at) => {
    if (Math.floor(at / count) === at % count) return 0;
    return dearest > 0 ? cost / dearest : 1;
  });
}
