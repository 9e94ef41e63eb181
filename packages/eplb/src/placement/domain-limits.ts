import type { SlotShape } from './layer-state.js';

/**
 * Which rank a replica may go to, by two rules that each may be off.
 *
 * *Spread*: of an expert's c replicas no failure domain holds more than ⌈c ÷ D⌉, D being the failure
 * domains that the expert can be in. *Homes*: an expert stays within its fast domain.
 *
 * A change that breaks neither is open. So is one to an expert that breaks a rule already, where it
 * breaks it no more than before.
 */
export class DomainLimits {
  #spreads: boolean;
  readonly #canSpread: boolean;
  readonly #numExperts: number;
  readonly #failureDomains: Int32Array;
  readonly #numFailureDomains: number;
  readonly #fastDomains: Int32Array | null;
  /** Failure domains of ranks that serve within each fast domain, and in all. */
  readonly #widthWithin: Int32Array;
  readonly #widthInAll: number;
  /** Fast domain that each expert is to stay in, −1 for any, [experts]. */
  #homes: Int32Array | null = null;
  /** Failure domains that each expert can be in, [experts]. */
  readonly #widths: Int32Array;
  readonly #counts: Int32Array;
  /** 1 for experts that may not go just anywhere, so that most can be told at a glance, [experts]. */
  readonly bound: Uint8Array;
  /** Replicas that a failure domain may hold, ⌈count ÷ width⌉, [experts]; with one more, one fewer. */
  readonly #most: Int32Array;
  readonly #mostWithMore: Int32Array;
  readonly #mostWithFewer: Int32Array;
  /** Replicas in each failure domain, [domains × experts]. */
  readonly #held: Uint16Array;

  constructor(shape: SlotShape) {
    const { numExperts, numRanks, failureDomains, fastDomains } = shape;
    this.#canSpread = failureDomains !== null;
    this.#spreads = this.#canSpread;
    this.#numExperts = numExperts;
    this.#failureDomains = failureDomains ?? new Int32Array(numRanks);
    this.#numFailureDomains = 1 + this.#failureDomains.reduce((a, b) => Math.max(a, b), 0);
    this.#fastDomains = fastDomains;
    const serving = servingRanks(shape);
    this.#widthInAll = this.#width(serving);
    this.#widthWithin = Int32Array.from({ length: fastDomains === null ? 0 : numRanks }, (_, at) =>
      this.#width(serving.filter((rank) => fastDomains?.[rank] === at)),
    );
    this.#widths = new Int32Array(numExperts).fill(this.#widthInAll);
    this.#counts = new Int32Array(numExperts);
    this.bound = new Uint8Array(numExperts);
    this.#most = new Int32Array(numExperts);
    this.#mostWithMore = new Int32Array(numExperts);
    this.#mostWithFewer = new Int32Array(numExperts);
    this.#held = new Uint16Array(this.#numFailureDomains * numExperts);
  }

  #width(ranks: readonly number[]): number {
    return Math.max(1, new Set(ranks.map((rank) => this.#failureDomains[rank])).size);
  }

  /** @param homes fast domain of each expert, −1 for any, [experts]; null: none has one */
  begin(homes: Int32Array | null): void {
    this.#spreads = this.#canSpread;
    this.#homes = this.#fastDomains === null ? null : homes;
    for (let expert = 0; expert < this.#numExperts; expert += 1) {
      const home = this.#homes?.[expert] ?? -1;
      this.#widths[expert] = home < 0 ? this.#widthInAll : this.#widthWithin[home];
    }
  }

  /** Whether replicas are to be spread. */
  get spreads(): boolean {
    return this.#spreads;
  }

  /** No spreading until the next layer. */
  letCrowd(): void {
    this.#spreads = false;
    for (let expert = 0; expert < this.#numExperts; expert += 1) this.#bind(expert);
  }

  /** Counts no replica. */
  clear(): void {
    this.#counts.fill(0);
    this.#held.fill(0);
    this.#most.fill(0);
    this.#mostWithMore.fill(1);
    this.#mostWithFewer.fill(0);
    if (this.#homes === null) this.bound.fill(0);
    else for (let expert = 0; expert < this.#numExperts; expert += 1) this.#bind(expert);
  }

  /** Counts a replica in, or out (−1). */
  count(expert: number, rank: number, sign: number): void {
    const count = this.#counts[expert] + sign;
    const width = this.#widths[expert];
    this.#counts[expert] = count;
    this.#held[this.#failureDomains[rank] * this.#numExperts + expert] += sign;
    this.#most[expert] = partOf(count, width);
    this.#mostWithMore[expert] = partOf(count + 1, width);
    this.#mostWithFewer[expert] = partOf(count - 1, width);
    this.#bind(expert);
  }

  #bind(expert: number): void {
    const isSpread = this.#spreads && this.#counts[expert] > 1;
    const hasHome = this.#homes !== null && this.#homes[expert] >= 0;
    this.bound[expert] = isSpread || hasHome ? 1 : 0;
  }

  /** Whether a replica may go from one rank to another. */
  mayMove(expert: number, from: number, to: number): boolean {
    const home = this.#homes === null ? -1 : this.#homes[expert];
    if (home >= 0 && this.#fastDomainOf(to) !== home && this.#fastDomainOf(from) === home) {
      return false;
    }
    const here = this.#failureDomains[from];
    const there = this.#failureDomains[to];
    if (!this.#spreads || here === there) return true;
    const most = this.#most[expert];
    return (
      this.#held[there * this.#numExperts + expert] < most ||
      this.#held[here * this.#numExperts + expert] > most
    );
  }

  /** Whether an expert may get a further replica on a rank. */
  mayAdd(expert: number, rank: number): boolean {
    const home = this.#homes === null ? -1 : this.#homes[expert];
    if (home >= 0 && this.#fastDomainOf(rank) !== home) return false;
    // With every domain's part full, one more replica raises what each may hold.
    if (!this.#spreads || this.#mostWithMore[expert] > this.#most[expert]) return true;
    const at = this.#failureDomains[rank] * this.#numExperts + expert;
    return this.#held[at] < this.#most[expert];
  }

  /** Whether the replica on a rank may go: with fewer in all, each domain may hold fewer. */
  mayDrop(expert: number, rank: number): boolean {
    if (!this.#spreads || this.#mostWithFewer[expert] === this.#most[expert]) return true;
    const most = this.#most[expert];
    const own = this.#failureDomains[rank];
    let worsening = 0;
    for (let domain = 0; domain < this.#numFailureDomains; domain += 1) {
      const held = this.#held[domain * this.#numExperts + expert];
      const after = domain === own ? held - 1 : held;
      worsening += Math.max(0, after - (most - 1)) - Math.max(0, held - most);
    }
    return worsening <= 0;
  }

  /** Whether some failure domain holds more of an expert than its part. */
  isCrowded(expert: number): boolean {
    if (this.#counts[expert] < 2) return false;
    for (let domain = 0; domain < this.#numFailureDomains; domain += 1) {
      if (this.#held[domain * this.#numExperts + expert] > this.#most[expert]) return true;
    }
    return false;
  }

  /** Whether a move between two ranks makes an expert less crowded. */
  relieves(expert: number, from: number, to: number): boolean {
    const most = this.#most[expert];
    return (
      this.#held[this.#failureDomains[from] * this.#numExperts + expert] > most &&
      this.#held[this.#failureDomains[to] * this.#numExperts + expert] < most
    );
  }

  #fastDomainOf(rank: number): number {
    return this.#fastDomains === null ? -1 : this.#fastDomains[rank];
  }
}

function partOf(count: number, width: number): number {
  return count <= width ? (count > 0 ? 1 : 0) : Math.ceil(count / width);
}

/** Ranks that serve and have slots. */
export function servingRanks({ numRanks, slotOffsets, capacities }: SlotShape): readonly number[] {
  return Array.from({ length: numRanks }, (_, rank) => rank).filter(
    (rank) => capacities[rank] > 0 && slotOffsets[rank + 1] > slotOffsets[rank],
  );
}
