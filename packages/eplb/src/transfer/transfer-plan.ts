import type { ClusterShape } from '../abstract-eplb-policy.js';
import type { ExpertMapping, ExpertMove } from '../expert-mapping.js';

/** One expert's weights on their way into a slot. */
export interface ExpertTransfer {
  readonly layer: number;
  readonly slot: number;
  readonly expert: number;
  readonly destinationRank: number;
  /** −1: no rank that can give holds it; it comes from the engine's backing store. */
  readonly sourceRank: number;
}

/** What is near to what, and which ranks share a domain's links. */
export type TransferTopology = Pick<ClusterShape, 'fastDomains' | 'cost'>;

/** What a transfer plan may know of the cluster. */
export interface TransferOptions {
  /** @default all alike */
  readonly topology?: TransferTopology;
  /** Ranks that can't give; one that is only draining still can. @default none */
  readonly deadRanks?: readonly number[];
}

/**
 * A source for every slot whose expert its rank does not hold: the nearest holder. Among equally
 * near ones it is the one whose rank sends least so far, then whose link from fast domain to fast
 * domain carries least so far, then the lowest rank. Experts with one nearest holder are settled
 * first, so that those with a choice can keep out of their way.
 * @returns in the order of `from.moves(to)`
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
 */
export function planTransfers(
  from: ExpertMapping,
  to: ExpertMapping,
  options: TransferOptions = {},
): ExpertTransfer[] {
  const moves = from.moves(to);
  const dead = new Set(options.deadRanks);
  const holders = moves.map((move) => nearestHolders(from, move, dead, options.topology?.cost));
  const links = new LinkLoads(from.numRanks, options.topology?.fastDomains);
  const sources = new Int32Array(moves.length);
  const settle = (move: ExpertMove, index: number): void => {
    sources[index] = links.take(holders[index] ?? [], move.rank);
  };
  moves.forEach((move, index) => {
    if ((holders[index]?.length ?? 0) < 2) settle(move, index);
  });
  moves.forEach((move, index) => {
    if ((holders[index]?.length ?? 0) >= 2) settle(move, index);
  });
  return moves.map(({ layer, slot, expert, rank }, index) => {
    return { layer, slot, expert, destinationRank: rank, sourceRank: sources[index] ?? -1 };
  });
}

/** Ranks at the least cost among those that hold the expert and can give it, ascending. */
function nearestHolders(
  from: ExpertMapping,
  { layer, expert, rank }: ExpertMove,
  dead: ReadonlySet<number>,
  cost: Float64Array | undefined,
): number[] {
  let nearest: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const slot of from.getPhysicalExperts(layer, expert)) {
    const holder = from.rankOfSlot(slot);
    if (dead.has(holder) || nearest.includes(holder)) continue;
    const seconds = cost?.[holder * from.numRanks + rank] ?? 0;
    if (seconds < least) nearest = [];
    if (seconds <= least) nearest.push(holder);
    least = Math.min(least, seconds);
  }
  return nearest;
}

/** Experts that links carry so far. */
class LinkLoads {
  readonly #fastDomains: Int32Array;
  readonly #numDomains: number;
  /** [ranks] */
  readonly #sent: Int32Array;
  /** [domains × domains], by row of the source */
  readonly #carried: Int32Array;

  constructor(numRanks: number, fastDomains: Int32Array | undefined) {
    this.#fastDomains = fastDomains ?? new Int32Array(numRanks);
    this.#numDomains = 1 + this.#fastDomains.reduce((last, domain) => Math.max(last, domain), 0);
    this.#sent = new Int32Array(numRanks);
    this.#carried = new Int32Array(this.#numDomains * this.#numDomains);
  }

  /** The source that is busy least, which is then busy by one more; −1 of none. */
  take(candidates: readonly number[], destination: number): number {
    let source = -1;
    for (const candidate of candidates) {
      if (source < 0 || this.#isIdler(candidate, source, destination)) source = candidate;
    }
    if (source < 0) return source;
    const link = this.#link(source, destination);
    this.#sent[source] = (this.#sent[source] ?? 0) + 1;
    this.#carried[link] = (this.#carried[link] ?? 0) + 1;
    return source;
  }

  #isIdler(candidate: number, source: number, destination: number): boolean {
    const sent = (this.#sent[candidate] ?? 0) - (this.#sent[source] ?? 0);
    if (sent !== 0) return sent < 0;
    const carried = this.#carried[this.#link(candidate, destination)] ?? 0;
    return carried < (this.#carried[this.#link(source, destination)] ?? 0);
  }

  #link(source: number, destination: number): number {
    const domain = (rank: number) => this.#fastDomains[rank] ?? 0;
    return domain(source) * this.#numDomains + domain(destination);
  }
}
