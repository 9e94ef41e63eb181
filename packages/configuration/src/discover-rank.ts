import { IsobarError, type RankOrigin } from '@isobar/protocol';
import { nodeLevelOf, readTopology, Topology } from '@isobar/topology';
import { localRankOf } from './agent-place.js';
import type { Environment } from './environment-values.js';
import type { LoadedConfiguration } from './load-configuration.js';
import { nodeName } from './named-place.js';
import type { RankCircumstances, SourcedRank, UnreadableSource } from './rank-source.js';
import { rankArgument, rankSources } from './rank-sources.js';

/** What all say of a process's rank. */
export interface RankDiscovery {
  /** The first that says one; null where nobody does. */
  readonly found: SourcedRank | null;
  /** It was said to this very process. */
  readonly isExplicit: boolean;
  /** Who says one, in order of precedence. */
  readonly tellings: readonly SourcedRank[];
  /** What contradicts the one found, or can't be read. */
  readonly problems: readonly IsobarError[];
}

/**
 * Asks every source which rank this process is.
 * @param argument the rank after `--rank`, null where there is none
 */
export function discoverRank(
  argument: number | null,
  circumstances: RankCircumstances,
): RankDiscovery {
  const read = rankSources.map((source) => source.read(circumstances));
  const said = read.filter((one) => one !== null && 'rank' in one);
  const tellings = argument === null ? said : [ofArgument(argument), ...said];
  const [found = null] = tellings;
  const unreadable = read.filter((one) => one !== null && 'variable' in one).map(unreadableSource);
  const isExplicit =
    found !== null &&
    (found.source === rankArgument ||
      rankSources.some(({ name, isExplicit: of }) => of && name === found.source));
  const contradictions = found === null ? [] : contradictionsOf(found, tellings, circumstances);
  const outcome = isExplicit
    ? `${found.source} holds`
    : 'say which by --rank or ISOBAR_RANK, or correct one';
  const problems = [...unreadable, ...contradictions.map((told) => contradicted(told, outcome))];
  return { found, isExplicit, tellings, problems };
}

/**
 * The rank that holds.
 * @throws IsobarError ISOBAR_CONFIGURATION_RANK_MISSING; and where none was said to this very process,
 *   ISOBAR_CONFIGURATION_RANK_CONTRADICTED naming both sides, ISOBAR_CONFIGURATION_RANK_SOURCE naming
 *   the variable
 */
export function rankOf({ found, isExplicit, problems }: RankDiscovery): number {
  const [problem] = problems;
  if (!isExplicit && problem !== undefined) throw problem;
  if (found !== null) return found.rank;
  const names = [rankArgument, ...rankSources.map(({ variables: [first = ''] }) => first)];
  const text = `nothing says which rank this is: none of ${[...new Set(names)].join(', ')}`;
  throw new IsobarError('ISOBAR_CONFIGURATION_RANK_MISSING', text, { field: 'rank' });
}

/**
 * As `discoverRank`, with what a configuration says. A topology that has a file of its own is read
 * where the rank is not said outright.
 * @throws TopologyError
 */
export async function discoverAgentRank(
  { configuration }: LoadedConfiguration,
  argument: number | null,
  environment: Environment,
): Promise<RankDiscovery> {
  const { topology: given, agent } = configuration;
  const inHand = given instanceof Topology ? given : null;
  const { ranksPerPod } = agent;
  const circumstances = { environment, ranksPerPod, node: nodeName(environment), topology: inHand };
  const discovery = discoverRank(argument, circumstances);
  if (discovery.isExplicit || typeof given !== 'string') return discovery;
  return discoverRank(argument, { ...circumstances, topology: await readTopology(given) });
}

/**
 * The rank's place on its machine or in its pod: of the first telling that agrees on the rank and says it,
 * since one that is said outright comes without.
 */
export function localRankIn({ found, tellings }: RankDiscovery): number | null {
  const agreeing = tellings.filter(({ rank }) => rank === found?.rank);
  return agreeing.find(({ localRank }) => localRank !== null)?.localRank ?? null;
}

/** As a report tells it. */
export function originOf({ found, tellings, problems }: RankDiscovery): RankOrigin | null {
  if (found === null) return null;
  return {
    source: found.source,
    tellings: tellings.map(({ source, rank, numRanks, localRank }) => ({
      source,
      rank,
      numRanks,
      localRank,
    })),
    warnings: problems.slice(0, 16).map(({ message }) => message.slice(0, 500)),
  };
}

function ofArgument(rank: number): SourcedRank {
  const unknown = { numRanks: null, localRank: null, nodeIndex: null };
  return { source: rankArgument, rank, ...unknown, from: `${rankArgument} ${rank}` };
}

interface Side {
  readonly source: string;
  readonly from: string;
  readonly says: string;
}

/** What two of them say that can't both be so. */
type Contradiction = readonly [Side, Side];

function contradictionsOf(
  found: SourcedRank,
  tellings: readonly SourcedRank[],
  { topology }: RankCircumstances,
): Contradiction[] {
  const differing = tellings
    .filter(({ rank }) => rank !== found.rank)
    .map(
      (other): Contradiction => [
        { ...found, says: `rank ${found.rank}` },
        { ...other, says: `rank ${other.rank}` },
      ],
    );
  if (topology === null) return differing;
  return [...differing, ...tellings.flatMap((telling) => againstTopology(telling, topology))];
}

function againstTopology(telling: SourcedRank, topology: Topology): Contradiction[] {
  const { rank, numRanks, localRank, nodeIndex } = telling;
  const sides = (says: string, topologySays: string): Contradiction[] => [
    [
      { ...telling, says },
      { source: 'topology', from: 'topology', says: topologySays },
    ],
  ];
  if (numRanks !== null && numRanks !== topology.numRanks) {
    return sides(`${numRanks} ranks`, `${topology.numRanks}`);
  }
  // That there is no such rank is refused where it is used.
  if (rank >= topology.numRanks) return [];
  const node = topology.domainOf(nodeLevelOf(topology), rank);
  if (nodeIndex !== null && nodeIndex !== node) {
    return sides(`rank ${rank} on the machine of index ${nodeIndex}`, `on that of index ${node}`);
  }
  const place = localRankOf(topology, rank);
  if (nodeIndex === null || localRank === null || localRank === place) return [];
  return sides(`rank ${rank} at place ${localRank} of its machine`, `at place ${place}`);
}

/** @param outcome what follows from it */
function contradicted([one, other]: Contradiction, outcome: string): IsobarError {
  const of = ({ source, from, says }: Side) =>
    `${from === source ? source : `${source} (${from})`} says ${says}`;
  const text = `${of(one)}, ${of(other)}: ${outcome}`;
  const fields = { field: 'rank', sources: [one.source, other.source] };
  return new IsobarError('ISOBAR_CONFIGURATION_RANK_CONTRADICTED', text, fields);
}

function unreadableSource({ source, variable, what }: UnreadableSource): IsobarError {
  const text = `${variable} ${what}`;
  return new IsobarError('ISOBAR_CONFIGURATION_RANK_SOURCE', text, { source, variable });
}
