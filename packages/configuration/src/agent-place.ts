import { IsobarError } from '@isobar/protocol';
import { nodeLevelOf, readTopology, Topology } from '@isobar/topology';
import { type ListenAddress, parseListenAddress } from './listen-address.js';
import type { LoadedConfiguration } from './load-configuration.js';
import { fillPlaceholders } from './placeholders.js';

/** Where one rank's agent finds its engine, keeps its state, and is asked how it is. */
export interface AgentPlace {
  readonly engine: string;
  readonly stateDirectory: string;
  /** Null where no port is to be opened. */
  readonly httpListen: ListenAddress | null;
}

/**
 * Fills in a rank's placeholders. The topology is read only where `{localRank}` needs it.
 * @throws IsobarError ISOBAR_CONFIGURATION_RANK where the topology has no such rank,
 *   ISOBAR_CONFIGURATION_LISTEN; TopologyError
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
    httpListen: listenAddress(listen, rank, localRank),
  };
}

/**
 * Where a coordinator is asked how it is: its placeholders are 0.
 * @throws IsobarError ISOBAR_CONFIGURATION_LISTEN
 */
export function coordinatorListen({ configuration }: LoadedConfiguration): ListenAddress | null {
  return listenAddress(configuration.http.listen, 0, 0);
}

function listenAddress(
  template: string | null,
  rank: number,
  localRank: number,
): ListenAddress | null {
  if (template === null) return null;
  const filled = fillPlaceholders(template, rank, localRank);
  const address = parseListenAddress(filled);
  if (address !== null) return address;
  // Ranks of several digits may make a port that is none.
  const text = `http.listen is ${filled} for rank ${rank}, and no HOST:PORT`;
  throw new IsobarError('ISOBAR_CONFIGURATION_LISTEN', text, { field: 'http.listen', rank });
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
