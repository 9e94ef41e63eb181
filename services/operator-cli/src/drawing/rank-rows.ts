import type { RankStatus } from '@isobar/protocol';
import { optional, ranges, seconds } from '../table.js';
import { type Paint, plain } from '../terminal/paint.js';
import { oneLine } from './fit.js';
import { loadBar } from './load-bar.js';
import { wishesOf } from './rank-wishes.js';

/** Reports come every second. */
const reportLateMs = 5_000;
const stateWidthMin = 19;
const stateWidthMax = 40;
const barWidthMin = 8;
const barWidthMax = 60;

/** What is shown of a rank or node beside its load, as far as there is room. */
interface Columns {
  readonly bar: number;
  readonly hasNode: boolean;
  readonly hasDetail: boolean;
}

function columnsFor(width: number, nodeWidth: number, stateWidth: number): Columns {
  const hasNode = nodeWidth > 0 && width >= 64;
  const hasDetail = width >= 96;
  const others = 6 + 9 + 9 + stateWidth + (hasNode ? nodeWidth + 2 : 0) + (hasDetail ? 20 : 0);
  const bar = Math.max(barWidthMin, Math.min(barWidthMax, width - others));
  return { bar, hasNode, hasDetail };
}

/** A heading and a row for each rank, in the order given. */
export function rankRows(ranks: readonly RankStatus[], width: number, paint: Paint): string[] {
  const nodeWidth = Math.max(0, ...ranks.map(({ node }) => Math.min(16, node?.length ?? 0)));
  const stateWidth = Math.max(stateWidthMin, ...ranks.map((rank) => stateOf(rank, plain).length));
  const columns = columnsFor(width, nodeWidth, Math.min(stateWidthMax, stateWidth));
  const head = row(columns, nodeWidth, {
    name: 'rank',
    node: 'node',
    bar: 'load (half: the mean)'.slice(0, columns.bar).padEnd(columns.bar),
    load: 'load',
    version: 'version',
    detail: ['buffers', 'reported'],
    state: 'state',
  });
  return [paint('dim', head), ...ranks.map((rank) => rankRow(rank, columns, nodeWidth, paint))];
}

function rankRow(rank: RankStatus, columns: Columns, nodeWidth: number, paint: Paint): string {
  const { loadShare, mappingVersion, engine, freeBuffers, reportAgeMs } = rank;
  const spare = engine == null ? '' : `/${engine.spareBuffers}`;
  return row(columns, nodeWidth, {
    name: String(rank.rank),
    node: oneLine(rank.node ?? ''),
    bar: loadBar(loadShare ?? 0, columns.bar, paint),
    load: optional(loadShare, 2),
    version: optional(mappingVersion, 0),
    detail: [
      `${optional(freeBuffers, 0)}${spare}`,
      reportAgeMs === null ? 'never' : seconds(reportAgeMs),
    ],
    state: stateOf(rank, paint),
  });
}

function stateOf(rank: RankStatus, paint: Paint): string {
  const { standing, staged, reportAgeMs } = rank;
  if (reportAgeMs === null) return paint('red', 'never heard');
  if (reportAgeMs > reportLateMs) return paint('red', `silent ${seconds(reportAgeMs)}`);
  if (!rank.engineConnected) return paint('red', 'engine away');
  const parts = [standing === 'serving' ? 'up' : (standing ?? '-')];
  parts.push(...wishesOf(rank));
  if (rank.member === null) parts.push('no member');
  if (staged !== null) parts.push(`staged ${staged.staged}/${staged.total}`);
  const text = parts.join(', ');
  return text === 'up' ? text : paint('yellow', text);
}

/** A heading and a row for each node, in the order of their first ranks. */
export function nodeRows(ranks: readonly RankStatus[], width: number, paint: Paint): string[] {
  const nodes = byNode(ranks);
  const nameWidth = Math.max(4, ...[...nodes.keys()].map((name) => Math.min(16, name.length)));
  const bar = Math.max(barWidthMin, Math.min(barWidthMax, width - nameWidth - 50));
  const title = 'load (half: the mean)'.slice(0, bar).padEnd(bar);
  const head = `${'node'.padEnd(nameWidth)}  ${title}   mean  largest (rank)  up/all   version`;
  const rows = [...nodes].map(([name, of]) => {
    const loads = of.map(({ loadShare }) => loadShare ?? 0);
    const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
    const largest = Math.max(...loads);
    const busiest = `${largest.toFixed(2)} (${of[loads.indexOf(largest)]?.rank ?? '-'})`;
    const up = of.filter(({ engineConnected: isUp }) => isUp).length;
    const all = `${up}/${of.length}`.padStart(7);
    const versions = [...new Set(of.map(({ mappingVersion }) => mappingVersion ?? -1))];
    const told = ranges(versions.filter((version) => version >= 0).sort((a, b) => a - b));
    return [
      oneLine(name).slice(0, nameWidth).padEnd(nameWidth),
      loadBar(mean, bar, paint),
      mean.toFixed(2).padStart(5),
      busiest.padStart(14),
      up < of.length ? paint('red', all) : all,
      told.padStart(8),
    ].join('  ');
  });
  return [paint('dim', head), ...rows];
}

function byNode(ranks: readonly RankStatus[]): Map<string, RankStatus[]> {
  const nodes = new Map<string, RankStatus[]>();
  for (const rank of ranks) {
    const name = rank.node ?? '-';
    const of = nodes.get(name);
    if (of === undefined) nodes.set(name, [rank]);
    else of.push(rank);
  }
  return nodes;
}

interface Row {
  readonly name: string;
  readonly node: string;
  /** As wide as the columns say. */
  readonly bar: string;
  readonly load: string;
  readonly version: string;
  readonly detail: readonly [string, string];
  readonly state: string;
}

function row({ hasNode, hasDetail }: Columns, nodeWidth: number, of: Row): string {
  const [buffers, reported] = of.detail;
  return [
    of.name.padStart(4),
    ...(hasNode ? [of.node.slice(0, nodeWidth).padEnd(nodeWidth)] : []),
    of.bar,
    of.load.padStart(5),
    of.version.padStart(7),
    ...(hasDetail ? [buffers.padStart(7), reported.padStart(9)] : []),
    of.state,
  ].join('  ');
}
