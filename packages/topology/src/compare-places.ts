import { nodeLevelOf, type Place } from './place.js';
import type { Topology } from './topology.js';

/** Two ranks of which the topology says otherwise than their machines. */
export interface PlaceContradiction {
  /** Of the topology. */
  readonly level: string;
  readonly ranks: readonly [number, number];
  readonly what: string;
}

interface Told {
  readonly level: number;
  /** What is told, for people. */
  readonly of: string;
  readonly read: (place: Place) => string | null;
}

/**
 * Where ranks' places contradict a topology: ranks that it has in one domain tell of two, or the other
 * way about. Names are compared among ranks alone: a topology may call domains as it likes. What a
 * place does not tell contradicts nothing.
 * @param most so many are returned, in order of levels and ranks
 */
export function comparePlaces(
  topology: Topology,
  places: ReadonlyMap<number, Place>,
  most: number,
): PlaceContradiction[] {
  const ranks = [...places].filter(([rank]) => rank < topology.numRanks).sort(([a], [b]) => a - b);
  return toldBy(topology)
    .flatMap((told) => compareLevel(topology, ranks, told))
    .slice(0, most);
}

function toldBy(topology: Topology): Told[] {
  const nodeLevel = nodeLevelOf(topology);
  const named = topology.levels.map(({ name }, level): Told => {
    const ofMachine = (place: Place) => (level === nodeLevel ? place.node : null);
    return { level, of: name, read: (place) => place.domains[name] ?? ofMachine(place) };
  });
  const fastLevel = topology.levels.findIndex(({ fastDomain }) => fastDomain);
  const nvlink = {
    level: fastLevel,
    of: 'NVLink domain',
    read: ({ gpu }: Place) => gpu?.nvlinkDomain ?? null,
  };
  return [...named, nvlink];
}

interface Seen {
  readonly rank: number;
  readonly domain: string;
  readonly told: string;
}

function compareLevel(
  topology: Topology,
  ranks: readonly (readonly [number, Place])[],
  { level, of, read }: Told,
): PlaceContradiction[] {
  const byDomain = new Map<string, Seen>();
  const byTold = new Map<string, Seen>();
  const name = topology.levels[level]?.name ?? '';
  return ranks.flatMap(([rank, place]) => {
    const told = read(place);
    if (told === null) return [];
    const seen = { rank, domain: topology.domainName(level, rank), told };
    const inDomain = firstOf(byDomain, seen.domain, seen);
    const ofTold = firstOf(byTold, told, seen);
    const found = (other: Seen, what: string): PlaceContradiction[] => [
      { level: name, ranks: [other.rank, rank], what },
    ];
    if (inDomain.told !== told) {
      const { domain } = seen;
      const what = `rank ${inDomain.rank} and ${rank} are in one ${name}, ${domain}, by the topology, and tell of ${of} ${inDomain.told} and ${told}`;
      return found(inDomain, what);
    }
    if (ofTold.domain === seen.domain) return [];
    const what = `rank ${ofTold.rank} and ${rank} are in ${name} ${ofTold.domain} and ${seen.domain} by the topology, and tell of one ${of}, ${told}`;
    return found(ofTold, what);
  });
}

function firstOf(known: Map<string, Seen>, key: string, seen: Seen): Seen {
  const first = known.get(key);
  if (first !== undefined) return first;
  known.set(key, seen);
  return seen;
}
