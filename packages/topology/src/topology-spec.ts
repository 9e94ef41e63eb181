/** A kind of place that ranks share: a node, a rack, the cluster. */
export interface TopologyLevel {
  readonly name: string;
  /** Between two ranks of which this is the innermost place they share; one direction. */
  readonly bandwidthBytesPerSecond: number;
  readonly latencySeconds: number;
  /** Its places are those within which traffic is fast. */
  readonly fastDomain: boolean;
  /** Its places are those that fail as one. */
  readonly failureDomain: boolean;
}

/** Content of a topology. */
export interface TopologySpec {
  /** Innermost first. */
  readonly levels: readonly TopologyLevel[];
  /** Name of each rank's domain at each level, [levels][ranks]; the outermost has one domain. */
  readonly domains: readonly (readonly string[])[];
  /** Rail of each rank, [ranks]. @default none */
  readonly rails?: readonly (string | undefined)[];
}

export const TOPOLOGY_LIMITS = {
  ranks: 4096,
  levels: 8,
  nameLength: 128,
  /** Characters of a file. */
  textLength: 2 ** 20,
  aliases: 1000,
} as const;

/** What is wrong with a topology, and of which level's which property or of which rank. */
export interface TopologyFlaw {
  readonly what: string;
  readonly level?: number;
  readonly property?: string;
  readonly rank?: number;
}

/** The first flaw that makes the content no topology. */
export function findFlaw(spec: TopologySpec): TopologyFlaw | undefined {
  return findLevelFlaw(spec.levels) ?? findRankFlaw(spec) ?? findNestingFlaw(spec);
}

function findLevelFlaw(levels: readonly TopologyLevel[]): TopologyFlaw | undefined {
  if (levels.length < 1 || levels.length > TOPOLOGY_LIMITS.levels) {
    return { what: `there must be 1 to ${TOPOLOGY_LIMITS.levels} levels, not ${levels.length}` };
  }
  for (const [level, { name, bandwidthBytesPerSecond, latencySeconds }] of levels.entries()) {
    const nameFlaw = findNameFlaw(name);
    if (nameFlaw !== undefined) return { what: nameFlaw, level, property: 'name' };
    if (levels.findIndex((other) => other.name === name) < level) {
      return { what: `two levels are named ${name}`, level, property: 'name' };
    }
    if (!(bandwidthBytesPerSecond > 0 && bandwidthBytesPerSecond < Number.POSITIVE_INFINITY)) {
      return { what: 'must be above 0', level, property: 'bandwidth' };
    }
    if (!(latencySeconds >= 0 && latencySeconds < Number.POSITIVE_INFINITY)) {
      return { what: 'must not be negative', level, property: 'latency' };
    }
  }
  return findMarkFlaw(levels, 'fastDomain') ?? findMarkFlaw(levels, 'failureDomain') ?? undefined;
}

function findMarkFlaw(
  levels: readonly TopologyLevel[],
  property: 'fastDomain' | 'failureDomain',
): TopologyFlaw | undefined {
  const marked = levels.flatMap((level, index) => (level[property] ? [index] : []));
  if (marked.length === 1) return undefined;
  const [, second] = marked;
  const what = `exactly one level must have ${property}, not ${marked.length}`;
  return second === undefined ? { what } : { what, level: second, property };
}

export function findNameFlaw(name: string): string | undefined {
  if (name.length >= 1 && name.length <= TOPOLOGY_LIMITS.nameLength) return undefined;
  return `must have 1 to ${TOPOLOGY_LIMITS.nameLength} characters`;
}

function findRankFlaw({ levels, domains, rails }: TopologySpec): TopologyFlaw | undefined {
  const numRanks = domains[0]?.length ?? 0;
  if (numRanks < 1 || numRanks > TOPOLOGY_LIMITS.ranks) {
    return { what: `there must be 1 to ${TOPOLOGY_LIMITS.ranks} ranks, not ${numRanks}` };
  }
  if (domains.length !== levels.length || domains.some(({ length }) => length !== numRanks)) {
    return { what: `domains must be ${levels.length} levels of ${numRanks} ranks` };
  }
  if (rails !== undefined && rails.length !== numRanks) {
    return { what: `rails must be of ${numRanks} ranks, not ${rails.length}` };
  }
  for (let rank = 0; rank < numRanks; rank += 1) {
    for (const name of [...domains.map((names) => names[rank] ?? ''), rails?.[rank] ?? 'none']) {
      const what = findNameFlaw(name);
      if (what !== undefined) return { what: `a domain's or rail's name ${what}`, rank };
    }
  }
  return undefined;
}

function findNestingFlaw({ levels, domains }: TopologySpec): TopologyFlaw | undefined {
  for (let level = 0; level + 1 < levels.length; level += 1) {
    const outerOf = new Map<string, string>();
    for (const [rank, inner] of (domains[level] ?? []).entries()) {
      const outer = domains[level + 1]?.[rank] ?? '';
      const known = outerOf.get(inner) ?? outer;
      if (known !== outer) {
        const [name, outerName] = [levels[level]?.name, levels[level + 1]?.name];
        return { what: `${name} ${inner} is in ${outerName} ${known} and in ${outer}`, rank };
      }
      outerOf.set(inner, outer);
    }
  }
  const [first, ...rest] = domains[levels.length - 1] ?? [];
  const apart = rest.findIndex((name) => name !== first);
  if (apart < 0) return undefined;
  const outermost = levels[levels.length - 1]?.name;
  const what = `ranks 0 and ${apart + 1} share no domain: the outermost level, ${outermost}, must have one domain`;
  return { what, rank: apart + 1 };
}
