import type { Topology } from './topology.js';

/** A GPU as its machine's driver tells of it. */
export interface Gpu {
  /** As `nvidia-smi` counts. */
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  /** GPUs that tell the same are joined by NVLink; null where none of the machine has NVLink. */
  readonly nvlinkDomain: string | null;
}

/** Where a rank runs, as its own machine tells. */
export interface Place {
  /** Name of the machine. */
  readonly node: string;
  /** Its place among the ranks of its machine or pod, null where nobody says. */
  readonly localRank: number | null;
  /** Domains by the names of the topology's levels, as far as they are told. */
  readonly domains: Readonly<Record<string, string>>;
  /** Null where there is none, or it is not known which. */
  readonly gpu: Gpu | null;
}

/** Index of the level of machines: the one named `node`, else the innermost. */
export function nodeLevelOf({ levels }: Topology): number {
  return Math.max(
    0,
    levels.findIndex(({ name }) => name === 'node'),
  );
}

/** Ranks that have a domain of a level, ascending. */
export function ranksOfDomain(topology: Topology, level: number, name: string): number[] {
  const ranks = Array.from({ length: topology.numRanks }, (_, rank) => rank);
  return ranks.filter((rank) => topology.domainName(level, rank) === name);
}
