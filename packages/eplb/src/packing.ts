/** Buffers of `packBalanced`, reused from layer to layer. */
export interface Packing {
  /** Pack of each item, [items]. */
  readonly packOf: Int32Array;
  /** Place of each item in its pack, [items]. */
  readonly placeInPack: Int32Array;
}

/**
 * Packs items into packs of equal size: heaviest first, each into the lightest pack that has
 * room. With one item a pack, item i goes to pack i. Ties keep item order, sums are 32-bit.
 * Source: `balanced_packing` of DeepSeek's EPLB.
 * @param weights [items], items divisible by `numPacks`
 */
export function packBalanced(weights: Float32Array, numPacks: number): Packing {
  const numItems = weights.length;
  const packOf = new Int32Array(numItems);
  const placeInPack = new Int32Array(numItems);
  const size = numItems / numPacks;
  if (size === 1) {
    packOf.forEach((_, item) => {
      packOf[item] = item;
    });
    return { packOf, placeInPack };
  }
  const packWeights = new Float32Array(numPacks);
  const packItems = new Int32Array(numPacks);
  for (const item of byWeightDescending(weights)) {
    const pack = lightestWithRoom(packWeights, packItems, size);
    packOf[item] = pack;
    placeInPack[item] = packItems[pack] ?? 0;
    packWeights[pack] = (packWeights[pack] ?? 0) + (weights[item] ?? 0);
    packItems[pack] = (packItems[pack] ?? 0) + 1;
  }
  return { packOf, placeInPack };
}

function lightestWithRoom(packWeights: Float32Array, packItems: Int32Array, size: number): number {
  let lightest = -1;
  let weight = Number.POSITIVE_INFINITY;
  for (let pack = 0; pack < packWeights.length; pack += 1) {
    const candidate = packWeights[pack] ?? 0;
    if ((packItems[pack] ?? 0) < size && candidate < weight) {
      lightest = pack;
      weight = candidate;
    }
  }
  return lightest;
}

/**
 * Items, heaviest first, ties in item order. Weight and item are packed into one float64 each
 * (a non-negative float32's bits, less the sign that −0 has, order as its value), since a native
 * typed-array sort is many times as fast as one with a comparator.
 */
function byWeightDescending(weights: Float32Array): Float64Array {
  const numItems = weights.length;
  const bits = new Uint32Array(weights.buffer, weights.byteOffset, numItems);
  const keys = new Float64Array(numItems);
  for (let item = 0; item < numItems; item += 1) {
    keys[item] = (0xffffffff - ((bits[item] ?? 0) & 0x7fffffff)) * itemLimit + item;
  }
  keys.sort();
  for (let place = 0; place < numItems; place += 1) {
    keys[place] = (keys[place] ?? 0) % itemLimit;
  }
  return keys;
}

/** 32 bits of weight and 20 of item fit the 53 bits of a float64's integers. */
const itemLimit = 2 ** 20;
