import { IsobarError } from '@isobar/protocol';
import type { Topology } from '@isobar/topology';

/** One rank, or all of a node. */
export interface NamedRanks {
  readonly rank?: number | undefined;
  readonly node?: string | undefined;
}

/** Names that a refusal tells. */
const namesTold = 20;

/**
 * Ranks of a node: of the topology's level `node`, else of its fast domains.
 * @throws IsobarError ISOBAR_COORDINATOR_UNKNOWN_NODE
 */
export function ranksNamed(topology: Topology, { rank, node }: NamedRanks): readonly number[] {
  if (rank !== undefined) return [rank];
  const nodes = topology.levels.findIndex(({ name }) => name === 'node');
  const fast = topology.levels.findIndex(({ fastDomain }) => fastDomain);
  const level = nodes >= 0 ? nodes : fast;
  const all = Array.from({ length: topology.numRanks }, (_, index) => index);
  const ranks = all.filter((index) => topology.domainName(level, index) === node);
  if (ranks.length > 0) return ranks;
  const names = [...new Set(all.map((index) => topology.domainName(level, index)))];
  const more = names.length > namesTold ? ', …' : '';
  const text = `the topology has no node ${node}: it has ${names.slice(0, namesTold).join(', ')}${more}`;
  throw new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_NODE', text, { field: 'node', node });
}
