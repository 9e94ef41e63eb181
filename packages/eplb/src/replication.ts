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
    const { physicalToLogical, physicalLoads } = this;
    const replicaCounts = this.#replicaCounts.fill(1);
    const shares = this.#shares;
    shares.set(loads);
    const shareBits = this.#shareBits;
    const largest = this.#largest;
    heaviestFirst(shareBits, this.#keys);
    largest.start(this.#keys);
    for (let slot = shares.length; slot < physicalToLogical.length; slot += 1) {
      const expert = largest.winner;
      physicalToLogical[slot] = expert;
      replicaCounts[expert] += 1;
      shares[expert] = loads[expert] / replicaCounts[expert];
      largest.replace(expert, heaviestFirstKey(shareBits[expert]));
    }
    for (let slot = 0; slot < physicalToLogical.length; slot += 1) {
      physicalLoads[slot] = shares[physicalToLogical[slot]];
    }
  }
}
