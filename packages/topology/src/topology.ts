import { TopologyError } from './topology-error.js';
import { findFlaw, type TopologyLevel, type TopologySpec } from './topology-spec.js';

/**
 * The cluster as ranks in nested domains: which they share, what fails as one, and what carrying
 * bytes from one to another costs. Immutable.
 */
export class Topology {
  readonly numRanks: number;
  /** Innermost first. */
  readonly levels: readonly TopologyLevel[];
  readonly numFastDomains: number;
  readonly #rails: readonly (string | undefined)[];
  /** Domain of each rank by level, numbered in order of their first ranks, [levels][ranks]. */
  readonly #domains: readonly Int32Array[];
  /** [levels][domains] */
  readonly #domainNames: readonly (readonly string[])[];
  readonly #fastLevel: number;
  readonly #failureLevel: number;
  /** Least bandwidth of each level and those within it, bytes per second, [levels]. */
  readonly #narrowest: Float64Array;

  private constructor(spec: TopologySpec) {
    this.levels = Object.freeze(spec.levels.map((level) => Object.freeze({ ...level })));
    this.#domainNames = spec.domains.map((names) => [...new Set(names)]);
    this.#domains = spec.domains.map((names, level) => {
      const indices = new Map(this.#domainNames[level]?.map((name, index) => [name, index]));
      return Int32Array.from(names, (name) => indices.get(name) ?? 0);
    });
    this.numRanks = this.#domains[0]?.length ?? 0;
    this.#rails = Array.from({ length: this.numRanks }, (_, rank) => spec.rails?.[rank]);
    this.#fastLevel = this.levels.findIndex(({ fastDomain }) => fastDomain);
    this.#failureLevel = this.levels.findIndex(({ failureDomain }) => failureDomain);
    this.numFastDomains = this.#domainNames[this.#fastLevel]?.length ?? 0;
    let narrowest = Number.POSITIVE_INFINITY;
    this.#narrowest = Float64Array.from(this.levels, ({ bandwidthBytesPerSecond }) => {
      narrowest = Math.min(narrowest, bandwidthBytesPerSecond);
      return narrowest;
    });
  }

  /** @throws TopologyError ISOBAR_TOPOLOGY_INVALID naming level and property, or rank */
  static create(spec: TopologySpec): Topology {
    const flaw = findFlaw(spec);
    if (flaw === undefined) return new Topology(spec);
    const { what, ...fields } = flaw;
    const of = [
      flaw.level === undefined ? '' : `levels[${flaw.level}]`,
      flaw.property === undefined ? '' : `.${flaw.property}`,
      flaw.rank === undefined ? '' : `rank ${flaw.rank}`,
    ].join('');
    const message = `topology: ${of === '' ? '' : `${of}: `}${what}`;
    throw new TopologyError('ISOBAR_TOPOLOGY_INVALID', message, fields);
  }

  /**
   * Domain of a rank at a level, counted from 0 in order of the domains' first ranks.
   * @param level its index, innermost 0, or its name
   * @throws TopologyError ISOBAR_TOPOLOGY_INVALID where there is no such level,
   *   ISOBAR_TOPOLOGY_RANKS where there is no such rank
   */
  domainOf(level: number | string, rank: number): number {
    return this.#domain(this.#levelIndex(level), rank);
  }

  /** @throws TopologyError as domainOf does */
  domainName(level: number | string, rank: number): string {
    const index = this.#levelIndex(level);
    return this.#domainNames[index]?.[this.#domain(index, rank)] ?? '';
  }

  fastDomainOf(rank: number): number {
    return this.#domain(this.#fastLevel, rank);
  }

  failureDomainOf(rank: number): number {
    return this.#domain(this.#failureLevel, rank);
  }

  /** The network plane that the rank's adapter is on, where the description says. */
  rail(rank: number): string | undefined {
    this.#assertRank(rank);
    return this.#rails[rank];
  }

  /** Index of the innermost level at which both ranks have the same domain. */
  sharedLevel(a: number, b: number): number {
    this.#assertRank(a);
    this.#assertRank(b);
    return this.#domains.findIndex((domains) => domains[a] === domains[b]);
  }

  /**
   * Seconds to carry bytes from one rank to another: the latency of the innermost level that
   * they share, and the bytes over the narrowest level up to that one; 0 on the same rank.
   * @throws TopologyError ISOBAR_TOPOLOGY_RANKS, or ISOBAR_TOPOLOGY_INVALID for a size that is
   *   none
   */
  costSeconds(from: number, to: number, bytes: number): number {
    assertBytes(bytes);
    return this.#cost(from, to, this.sharedLevel(from, to), bytes);
  }

  #cost(from: number, to: number, level: number, bytes: number): number {
    if (from === to) return 0;
    const latencySeconds = this.levels[level]?.latencySeconds ?? 0;
    return latencySeconds + bytes / (this.#narrowest[level] ?? Number.POSITIVE_INFINITY);
  }

  /**
   * What placement asks of a cluster, as plain data: fast and failure domain of each rank
   * [ranks], and seconds to carry so many bytes from rank to rank [ranks × ranks], by row of the
   * source.
   * @throws TopologyError ISOBAR_TOPOLOGY_INVALID for a size that is none
   */
  toClusterShape(bytes: number): {
    readonly numRanks: number;
    readonly fastDomains: Int32Array;
    readonly failureDomains: Int32Array;
    readonly cost: Float64Array;
  } {
    assertBytes(bytes);
    const { numRanks } = this;
    const cost = new Float64Array(numRanks * numRanks);
    for (let from = 0; from < numRanks; from += 1) {
      for (let to = 0; to < numRanks; to += 1) {
        cost[from * numRanks + to] = this.#cost(from, to, this.sharedLevel(from, to), bytes);
      }
    }
    return {
      numRanks,
      fastDomains: Int32Array.from(this.#domains[this.#fastLevel] ?? []),
      failureDomains: Int32Array.from(this.#domains[this.#failureLevel] ?? []),
      cost,
    };
  }

  /** @throws TopologyError ISOBAR_TOPOLOGY_RANKS where the cluster has another number of ranks */
  assertFits(numRanks: number): void {
    if (numRanks === this.numRanks) return;
    throw new TopologyError(
      'ISOBAR_TOPOLOGY_RANKS',
      `the topology describes ${this.numRanks} ranks, and the cluster has ${numRanks}`,
      { described: this.numRanks, numRanks },
    );
  }

  #domain(level: number, rank: number): number {
    this.#assertRank(rank);
    return this.#domains[level]?.[rank] ?? 0;
  }

  #levelIndex(level: number | string): number {
    const index = this.levels.findIndex(({ name }, at) => name === level || at === level);
    if (index >= 0) return index;
    const names = this.levels.map(({ name }) => name).join(', ');
    throw new TopologyError(
      'ISOBAR_TOPOLOGY_INVALID',
      `there is no level ${level}: the topology has ${names}`,
      { field: 'level', level },
    );
  }

  #assertRank(rank: number): void {
    if (Number.isInteger(rank) && rank >= 0 && rank < this.numRanks) return;
    throw new TopologyError(
      'ISOBAR_TOPOLOGY_RANKS',
      `there is no rank ${rank}: the topology describes ${this.numRanks} ranks`,
      { field: 'rank', rank, described: this.numRanks },
    );
  }
}

function assertBytes(bytes: number): void {
  if (bytes >= 0 && bytes < Number.POSITIVE_INFINITY) return;
  throw new TopologyError(
    'ISOBAR_TOPOLOGY_INVALID',
    `bytes must be finite and not negative, not ${bytes}`,
    { field: 'bytes', bytes },
  );
}
