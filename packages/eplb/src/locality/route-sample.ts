/**
 * What a bounded sample of tokens asked for: the experts that fire together, and where the token
 * came from. Plain data, in order of arrival, so that it can go to a worker.
 */
export interface RouteSample {
  readonly numRoutes: number;
  readonly topK: number;
  /** Experts of each token, [routes × layers × topK]; −1 for none. */
  readonly experts: Int16Array;
  /** Rank that each token came from, [routes]; −1 where it is not known. */
  readonly sourceRanks: Int32Array;
  /**
   * First route of each window of load and, after the last, the number of routes, [windows + 1]: how
   * the mix of sources varies from window to window. @default all are of one window
   */
  readonly windowOffsets?: Int32Array;
}

/**
 * Routes that stand for each source domain, [domains][…]: its own, spread evenly over time, and as
 * many of all domains' where it has few of its own, so that a domain of which little is known
 * looks like the cluster.
 * @param maxPerDomain a multiple of 32
 */
export function routesBySourceDomain(
  sample: RouteSample,
  domainOfRank: Int32Array,
  numDomains: number,
  maxPerDomain: number,
): Int32Array[] {
  const own: number[][] = Array.from({ length: numDomains }, () => []);
  for (let route = 0; route < sample.numRoutes; route += 1) {
    const rank = sample.sourceRanks[route] ?? -1;
    if (rank >= 0) own[domainOfRank[rank] ?? 0]?.push(route);
  }
  const most = Math.min(maxPerDomain, sample.numRoutes);
  return own.map((routes, domain) => {
    const fromOwn = Math.min(routes.length, most);
    const drawn = new Int32Array(most);
    for (let index = 0; index < fromOwn; index += 1) {
      drawn[index] = routes[Math.floor((index * routes.length) / fromOwn)] ?? 0;
    }
    const rest = most - fromOwn;
    for (let index = 0; index < rest; index += 1) {
      const position = (index + (domain + 0.5) / numDomains) / rest;
      drawn[fromOwn + index] = Math.floor(position * sample.numRoutes);
    }
    return spread(drawn);
  });
}

/** The same entries in bit-reversed order of position: any first part of them is spread evenly. */
function spread(entries: Int32Array): Int32Array {
  const bits = Math.ceil(Math.log2(Math.max(2, entries.length)));
  const out = new Int32Array(entries.length);
  let next = 0;
  for (let index = 0; index < 2 ** bits; index += 1) {
    let position = 0;
    for (let bit = 0; bit < bits; bit += 1) position |= ((index >>> bit) & 1) << (bits - 1 - bit);
    if (position >= entries.length) continue;
    out[next] = entries[position] ?? 0;
    next += 1;
  }
  return out;
}
