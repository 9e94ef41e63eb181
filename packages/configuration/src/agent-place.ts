import { IsobarError } from '@isobar/protocol';
import { nodeLevelOf, readTopology, Topology } from '@isobar/topology';
import { fillPlaceholders } from './agent-options.js';
import type { LoadedConfiguration } from './load-configuration.js';

/** Where one rank's agent finds its engine, keeps its state, and is asked how it is. */
export interface AgentPlace {
  readonly engine: string;
  readonly stateDirectory: string;
  /** `HOST:PORT`; null where no port is to be opened. */
  readonly httpListen: string | null;
}

/**
 * Fills in a rank's placeholders. The topology is read only where `{localRank}` needs it.
 * @throws IsobarError ISOBAR_CONFIGURATION_RANK where the topology has no such rank; TopologyError
 */
export async function agentPlace(
  { configuration }: LoadedConfiguration,
  rank: number,
): Promise<AgentPlace> {
  const { engine, stateDirectory } = configuration.agent;
  const { listen } = configuration.http;
  const { topology: given } = configuration;
  const isLocal = [engine, stateDirectory, listen].some((text) => text?.includes('{localRank}'));
  const topology = typeof given === 'string' && isLocal ? await readTopology(given) : given;
  if (topology instanceof Topology && rank >= topology.numRanks) {
    const text = `the topology has ${topology.numRanks} ranks, none is ${rank}`;
    throw new IsobarError('ISOBAR_CONFIGURATION_RANK', text, { field: 'rank', rank });
  }
  const localRank = topology instanceof Topology ? localRankOf(topology, rank) : 0;
  return {
    engine: fillPlaceholders(engine, rank, localRank),
    stateDirectory: fillPlaceholders(stateDirectory, rank, localRank),
    httpListen: listen === null ? null : fillPlaceholders(listen, rank, localRank),
  };
}

/** Where a coordinator is asked how it is: its placeholders are 0. */
export function coordinatorListen({ configuration }: LoadedConfiguration): string | null {
  const { listen } = configuration.http;
  return listen === null ? null : fillPlaceholders(listen, 0, 0);
}

/** A rank's place among the ranks of its node: of the level `node`, else of the innermost. */
export function localRankOf(topology: Topology, rank: number): number {
  const level = nodeLevelOf(topology);
  const node = topology.domainName(level, rank);
  const before = Array.from({ length: rank }, (_, other) => other);
  return before.filter((other) => topology.domainName(level, other) === node).length;
}

/** Path of a process's context file, null where it has none. */
export function contextOf({ configuration }: LoadedConfiguration, process: string): string | null {
  return configuration.nats.context?.replaceAll('{process}', process) ?? null;
}
