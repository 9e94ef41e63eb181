import { parseBandwidth, parseLatency } from './quantity.js';
import { parseRankRanges } from './rank-ranges.js';
import { Topology } from './topology.js';
import {
  findFlaw,
  findNameFlaw,
  TOPOLOGY_LIMITS,
  type TopologyFlaw,
  type TopologyLevel,
  type TopologySpec,
} from './topology-spec.js';
import { UNIFORM_DEFAULTS, uniformTopology } from './uniform-topology.js';
import { YamlField } from './yaml-field.js';

const LONG_KEYS = ['levels', 'ranks'];
const SHORT_KEYS = [
  'ranks',
  'nodes',
  'nodeBandwidth',
  'nodeLatency',
  'networkBandwidth',
  'networkLatency',
];
const LEVEL_KEYS = ['name', 'bandwidth', 'latency', 'fastDomain', 'failureDomain'];
const GROUP_KEYS = ['ranks', 'domains', 'rail', 'rails'];

/**
 * Reads a cluster's description, of the long form (levels, and ranks with their domains) or the
 * short form (numbers of ranks and nodes).
 * @param source what messages call the text, such as its path
 * @throws TopologyError naming source, line, column and field: ISOBAR_TOPOLOGY_SYNTAX where it
 *   is not YAML, ISOBAR_TOPOLOGY_INVALID where it describes no cluster
 */
export function parseTopology(yamlText: string, source: string): Topology {
  const root = YamlField.parse(yamlText, source);
  return root.entries().has('levels') ? parseLong(root) : parseShort(root);
}

function parseShort(root: YamlField): Topology {
  const fields = root.entriesOf(SHORT_KEYS);
  const numRanks = parseCount(required(root, fields, 'ranks'), TOPOLOGY_LIMITS.ranks);
  const numNodes = parseCount(required(root, fields, 'nodes'), numRanks);
  const read = (key: string, byDefault: number, parse: (field: YamlField) => number) => {
    const field = fields.get(key);
    return field === undefined ? byDefault : parse(field);
  };
  const byDefault = UNIFORM_DEFAULTS;
  return uniformTopology({
    numRanks,
    numNodes,
    nodeBandwidthBytesPerSecond: read(
      'nodeBandwidth',
      byDefault.nodeBandwidthBytesPerSecond,
      readBandwidth,
    ),
    nodeLatencySeconds: read('nodeLatency', byDefault.nodeLatencySeconds, readLatency),
    networkBandwidthBytesPerSecond: read(
      'networkBandwidth',
      byDefault.networkBandwidthBytesPerSecond,
      readBandwidth,
    ),
    networkLatencySeconds: read('networkLatency', byDefault.networkLatencySeconds, readLatency),
  });
}

function required(
  parent: YamlField,
  fields: ReadonlyMap<string, YamlField>,
  key: string,
): YamlField {
  const path = parent.path === '' ? key : `${parent.path}.${key}`;
  return fields.get(key) ?? parent.refuse(`${path} is missing`, { missing: key });
}

function parseCount(field: YamlField, most: number): number {
  const count = field.number;
  if (count !== undefined && Number.isInteger(count) && count >= 1 && count <= most) return count;
  return field.refuse(`must be an integer from 1 to ${most}`);
}

function readBandwidth(field: YamlField): number {
  const rate = field.number ?? parseBandwidth(field.string ?? '');
  if (rate === undefined) {
    return field.refuse('must be bytes per second, or such as "450 GB/s" or "400 Gb/s"');
  }
  return rate > 0 && rate < Number.POSITIVE_INFINITY ? rate : field.refuse('must be above 0');
}

function readLatency(field: YamlField): number {
  const latency = field.number ?? parseLatency(field.string ?? '');
  if (latency === undefined) return field.refuse('must be seconds, or such as "2 us"');
  return latency >= 0 && latency < Number.POSITIVE_INFINITY
    ? latency
    : field.refuse('must not be negative');
}

function readName(field: YamlField): string {
  const number = field.number;
  const name = field.string ?? (number === undefined ? undefined : String(number));
  if (name === undefined) return field.refuse('must be a name');
  const flaw = findNameFlaw(name);
  return flaw === undefined ? name : field.refuse(flaw);
}

/** Ranks that are alike but for their rails, and where the text says so. */
interface RankGroup {
  readonly field: YamlField;
  readonly ranks: readonly number[];
  /** By level, undefined where not named, [levels]. */
  readonly domains: readonly (string | undefined)[];
  /** By rank of the group. */
  readonly rails: readonly (string | undefined)[];
}

function parseLong(root: YamlField): Topology {
  const fields = root.entriesOf(LONG_KEYS);
  const levelsField = required(root, fields, 'levels');
  const levelFields = levelsField.items();
  if (levelFields.length < 1 || levelFields.length > TOPOLOGY_LIMITS.levels) {
    levelsField.refuse(`must be 1 to ${TOPOLOGY_LIMITS.levels} levels, not ${levelFields.length}`);
  }
  const levels = levelFields.map(parseLevel);
  const ranksField = required(root, fields, 'ranks');
  const groups = ranksField.items().map((field) => parseGroup(field, levels));
  const groupOf = groupsByRank(ranksField, groups);
  const spec: TopologySpec = {
    levels,
    domains: levels.map((level, index) => domainsOf(level, index, levels.length, groupOf)),
    rails: groupOf.map((group, rank) => group.rails[group.ranks.indexOf(rank)]),
  };
  const flaw = findFlaw(spec);
  if (flaw !== undefined) refuseFlaw(flaw, levelsField, groupOf);
  return Topology.create(spec);
}

function parseLevel(field: YamlField): TopologyLevel {
  const fields = field.entriesOf(LEVEL_KEYS);
  return {
    name: readName(required(field, fields, 'name')),
    bandwidthBytesPerSecond: readBandwidth(required(field, fields, 'bandwidth')),
    latencySeconds: readLatency(required(field, fields, 'latency')),
    fastDomain: fields.get('fastDomain')?.boolean() ?? false,
    failureDomain: fields.get('failureDomain')?.boolean() ?? false,
  };
}

function parseGroup(field: YamlField, levels: readonly TopologyLevel[]): RankGroup {
  const fields = field.entriesOf(GROUP_KEYS);
  const ranks = parseRanks(required(field, fields, 'ranks'));
  const domains = fields.get('domains')?.entriesOf(levels.map(({ name }) => name));
  return {
    field,
    ranks,
    domains: levels.map(({ name }) => {
      const domain = domains?.get(name);
      return domain === undefined ? undefined : readName(domain);
    }),
    rails: parseRails(fields, ranks.length),
  };
}

function parseRanks(field: YamlField): number[] {
  const number = field.number;
  const ranks = parseRankRanges(number === undefined ? (field.string ?? '') : String(number));
  if (ranks !== undefined) return ranks;
  const last = TOPOLOGY_LIMITS.ranks - 1;
  return field.refuse(`must be a rank, or such as "0-7, 12", up to rank ${last}`);
}

function parseRails(
  fields: ReadonlyMap<string, YamlField>,
  numRanks: number,
): (string | undefined)[] {
  const rail = fields.get('rail');
  const rails = fields.get('rails');
  if (rails === undefined) {
    return Array<string | undefined>(numRanks).fill(rail && readName(rail));
  }
  if (rail !== undefined) rails.refuse('must not stand beside rail');
  const names = rails.items().map(readName);
  if (names.length === numRanks) return names;
  return rails.refuse(`must be one a rank: ${numRanks}, not ${names.length}`);
}

/** Group of each rank, [ranks]. */
function groupsByRank(field: YamlField, groups: readonly RankGroup[]): RankGroup[] {
  const groupOf = new Map<number, RankGroup>();
  for (const group of groups) {
    for (const rank of group.ranks) {
      if (groupOf.has(rank)) group.field.refuse(`rank ${rank} stands twice`, { rank });
      groupOf.set(rank, group);
    }
  }
  if (groupOf.size === 0) field.refuse('must name at least one rank');
  return Array.from({ length: groupOf.size }, (_, rank) => {
    const group = groupOf.get(rank);
    const highest = () => Math.max(...groupOf.keys());
    return group ?? field.refuse(`rank ${rank} is missing below rank ${highest()}`, { rank });
  });
}

/** A level's domain by rank. The outermost may go unnamed: it has one domain, named as it is. */
function domainsOf(
  level: TopologyLevel,
  index: number,
  numLevels: number,
  groupOf: readonly RankGroup[],
): string[] {
  const isUnnamed = groupOf.every(({ domains }) => domains[index] === undefined);
  if (index === numLevels - 1 && isUnnamed) return groupOf.map(() => level.name);
  return groupOf.map(
    ({ domains, field }, rank) =>
      domains[index] ?? field.refuse(`domains.${level.name} is missing`, { rank }),
  );
}

function refuseFlaw(
  { what, level, property, rank }: TopologyFlaw,
  levels: YamlField,
  groupOf: readonly RankGroup[],
): never {
  const group = rank === undefined ? undefined : groupOf[rank];
  if (group !== undefined) return group.field.refuse(what, { rank });
  const levelField = level === undefined ? undefined : levels.items()[level];
  const field = levelField?.entries().get(property ?? '') ?? levelField ?? levels;
  return field.refuse(what);
}
