import { RadixOrder } from './radix-order.js';
import { Tournament } from './tournament.js';
import { bitsOf, heaviestFirst, largestKey } from './weight-key.js';

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
  readonly #itemKeys: Int32Array;
  readonly #order: RadixOrder;
  readonly #packItems: Int32Array;
  readonly #packWeights: Float32Array;
  readonly #packBits: Int32Array;
  readonly #lightest: Tournament;

  /** @param numItems divisible by `numPacks` */
  constructor(numItems: number, numPacks: number) {
    this.packOf = Int32Array.from({ length: numItems }, (_, item) => item);
    this.placeInPack = new Int32Array(numItems);
    this.#itemKeys = new Int32Array(numItems);
    this.#order = new RadixOrder(numItems);
    this.#packItems = new Int32Array(numPacks);
    this.#packWeights = new Float32Array(numPacks);
    this.#packBits = bitsOf(this.#packWeights);
    this.#lightest = new Tournament(numPacks);
  }

  /** @param weights [items], not negative */
  pack(weights: Float32Array): void {
    const packItems = this.#packItems.fill(0);
    if (weights.length === packItems.length) return;
    this.#packWeights.fill(0);
    heaviestFirst(bitsOf(weights), this.#itemKeys);
    const order = this.#order.indices(this.#itemKeys);
    const numSpread = this.#spreadOverEmptyPacks(weights, order);
    this.#lightest.start(this.#packBits);
    this.#packLightest(weights, order, numSpread);
  }

  /** The lightest pack is the next empty one as long as items weigh anything. */
  #spreadOverEmptyPacks(weights: Float32Array, order: Int32Array): number {
    const packWeights = this.#packWeights;
    let pack = 0;
    for (; pack < packWeights.length && weights[order[pack]] > 0; pack += 1) {
      const item = order[pack];
      this.packOf[item] = pack;
      this.placeInPack[item] = 0;
      this.#packItems[pack] = 1;
      packWeights[pack] = weights[item];
    }
    return pack;
  }

  /** Packs what comes in `order` from place `from` on. */
  #packLightest(weights: Float32Array, order: Int32Array, from: number): void {
    const { packOf, placeInPack } = this;
    const packItems = this.#packItems;
    const packWeights = this.#packWeights;
    const packBits = this.#packBits;
    const lightest = this.#lightest;
    const size = order.length / packItems.length;
    for (let at = from; at < order.length; at += 1) {
      const item = order[at];
      const pack = lightest.winner;
      packOf[item] = pack;
      placeInPack[item] = packItems[pack];
      packItems[pack] += 1;
      packWeights[pack] += weights[item];
      lightest.replace(pack, packItems[pack] === size ? largestKey : packBits[pack]);
    }
  }
}
