import { Tournament } from './tournament.js';
import { bitsOf, heaviestFirst, indexOfKey, lightestFirst } from './weight-key.js';

/**
 * Packs items into packs of equal size: heaviest first, each into the lightest pack that has
 * room. With one item a pack, item i goes to pack i. Ties keep item order, sums are 32-bit.
 * Its buffers are reused from one packing to the next.
 * Source: `balanced_packing` of DeepSeek's EPLB.
 */
export class BalancedPacking {
  /** Pack of each item, [items]. */
  readonly packOf: Int32Array;
  /** Place of each item in its pack, [items]. */
  readonly placeInPack: Int32Array;
  readonly #numPacks: number;
  readonly #order: Float64Array;
  readonly #packItems: Int32Array;
  readonly #packWeights: Float32Array;
  readonly #emptyPacks: Float64Array;
  readonly #lightest: Tournament;

  /** @param numItems divisible by `numPacks` */
  constructor(numItems: number, numPacks: number) {
    this.packOf = Int32Array.from({ length: numItems }, (_, item) => item);
    this.placeInPack = new Int32Array(numItems);
    this.#numPacks = numPacks;
    this.#order = new Float64Array(numItems);
    this.#packItems = new Int32Array(numPacks);
    this.#packWeights = new Float32Array(numPacks);
    this.#emptyPacks = Float64Array.from({ length: numPacks }, (_, pack) => lightestFirst(0, pack));
    this.#lightest = new Tournament(numPacks);
  }

  /** @param weights [items], not negative */
  pack(weights: Float32Array): void {
    const size = weights.length / this.#numPacks;
    if (size === 1) return;
    const { packOf, placeInPack } = this;
    const packItems = this.#packItems.fill(0);
    const packWeights = this.#packWeights.fill(0);
    const packBits = bitsOf(packWeights);
    const lightest = this.#lightest;
    lightest.start(this.#emptyPacks);
    const order = this.#heaviestFirst(weights);
    for (let at = 0; at < order.length; at += 1) {
      const item = indexOfKey(order[at]);
      const pack = indexOfKey(lightest.least());
      packOf[item] = pack;
      placeInPack[item] = packItems[pack];
      packItems[pack] += 1;
      packWeights[pack] += weights[item];
      const full = packItems[pack] === size;
      lightest.replace(pack, full ? Number.POSITIVE_INFINITY : lightestFirst(packBits[pack], pack));
    }
  }

  #heaviestFirst(weights: Float32Array): Float64Array {
    const order = this.#order;
    const bits = bitsOf(weights);
    for (let item = 0; item < order.length; item += 1) {
      order[item] = heaviestFirst(bits[item], item);
    }
    return order.sort();
  }
}
