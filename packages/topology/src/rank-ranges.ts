import { TOPOLOGY_LIMITS } from './topology-spec.js';

/** Ranks of such as `0-7, 12`; undefined where the text is none, or names ranks past the limit. */
export function parseRankRanges(text: string): number[] | undefined {
  const ranks: number[] = [];
  for (const part of text.split(',')) {
    const match = /^ *(\d{1,6})(?: *- *(\d{1,6}))? *$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first || last >= TOPOLOGY_LIMITS.ranks) return undefined;
    if (ranks.length + last - first >= TOPOLOGY_LIMITS.ranks) return undefined;
    for (let rank = first; rank <= last; rank += 1) ranks.push(rank);
  }
  return ranks;
}

/** @param ranks ascending */
export function formatRankRanges(ranks: readonly number[]): string {
  const ranges: { first: number; last: number }[] = [];
  for (const rank of ranks) {
    const range = ranges.at(-1);
    if (range !== undefined && range.last === rank - 1) range.last = rank;
    else ranges.push({ first: rank, last: rank });
  }
  return ranges
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
    .join(', ');
}
