import { Tournament } from './tournament.js';
import { bitsOf, heaviestFirst, heaviestFirstKey } from './weight-key.js';

/**
 * One copy of each expert, then one more of whichever has the largest load ÷ copies, until all
 * slots are used; ties go to the lowest expert, quotients are 32-bit. Its buffers are reused from
 * one replication to the next.
 * Source: `replicate_experts` of DeepSeek's EPLB.
 */
export class GreedyReplication {
  /** Expert of each physical expert, [physical]. */
  readonly physicalToLogical: Int32Array;
  /** Load of each physical expert: its expert's, split evenly, [physical]. */
  readonly physicalLoads: Float32Array;
  readonly #replicaCounts: Int32Array;
  readonly #shares: Float32Array;
  readonly #shareBits: Int32Array;
  readonly #keys: Int32Array;
  readonly #largest: Tournament;

  /** @param numPhysicalExperts at least `numExperts` */
  constructor(numExperts: number, numPhysicalExperts: number) {
    this.physicalToLogical = Int32Array.from({ length: numPhysicalExperts }, (_, slot) => slot);
    this.physicalLoads = new Float32Array(numPhysicalExperts);
    this.#replicaCounts = new Int32Array(numExperts);
    this.#shares = new Float32Array(numExperts);
    this.#shareBits = bitsOf(this.#shares);
    this.#keys = new Int32Array(numExperts);
    this.#largest = new Tournament(numExperts);
  }

  /** @param loads [experts], not negative */
  replicate(loads: Float32Array): void {
    this.#replicaCounts.fill(1);
    this.#shares.set(loads);
    heaviestFirst(this.#shareBits, this.#keys);
    this.#largest.start(this.#keys);
    this.#replicateLargest(loads);
    this.#shareLoads();
  }

  #replicateLargest(loads: Float32Array): void {
    const { physicalToLogical } = this;
    const replicaCounts = this.#replicaCounts;
    const shares = this.#shares;
    const shareBits = this.#shareBits;
    const largest = this.#largest;
    for (let physical = loads.length; physical < physicalToLogical.length; physical += 1) {
      const expert = largest.winner;
      physicalToLogical[physical] = expert;
      replicaCounts[expert] += 1;
      shares[expert] = loads[expert] / replicaCounts[expert];
      largest.replace(expert, heaviestFirstKey(shareBits[expert]));
    }
  }

  #shareLoads(): void {
    const { physicalToLogical, physicalLoads } = this;
    const shares = this.#shares;
    for (let physical = 0; physical < physicalLoads.length; physical += 1) {
      physicalLoads[physical] = shares[physicalToLogical[physical]];
    }
  }
}
