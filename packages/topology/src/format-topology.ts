import { stringify } from 'yaml';
import { formatRankRanges } from './rank-ranges.js';
import type { Topology } from './topology.js';

interface Group {
  readonly domains: Record<string, string>;
  readonly ranks: number[];
}

/** The long form, which parseTopology reads back as the same topology. */
export function formatTopology(topology: Topology): string {
  const levels = topology.levels.map((level) => ({
    name: level.name,
    bandwidth: level.bandwidthBytesPerSecond,
    latency: level.latencySeconds,
    ...(level.fastDomain ? { fastDomain: true } : {}),
    ...(level.failureDomain ? { failureDomain: true } : {}),
  }));
  const ranks = groupsOf(topology).map((group) => ({
    ranks: formatRankRanges(group.ranks),
    domains: group.domains,
    ...railsOf(topology, group.ranks),
  }));
  return stringify({ levels, ranks }, { aliasDuplicateObjects: false });
}

/** Ranks that have a rail and ranks that have none are apart: a list of rails has one a rank. */
function groupsOf(topology: Topology): Group[] {
  const groups = new Map<string, Group>();
  for (let rank = 0; rank < topology.numRanks; rank += 1) {
    const key = `${topology.domainOf(0, rank)} ${topology.rail(rank) !== undefined}`;
    const group = groups.get(key) ?? { domains: domainsOf(topology, rank), ranks: [] };
    group.ranks.push(rank);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function domainsOf(topology: Topology, rank: number): Record<string, string> {
  return Object.fromEntries(
    topology.levels.map(({ name }, level) => [name, topology.domainName(level, rank)]),
  );
}

function railsOf(topology: Topology, ranks: readonly number[]): { readonly rails?: string[] } {
  const rails = ranks.flatMap((rank) => topology.rail(rank) ?? []);
  return rails.length === 0 ? {} : { rails };
}
