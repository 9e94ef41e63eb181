const digitBits = 8;
const numDigits = 4;
const digitValues = 2 ** digitBits;
const digitMask = digitValues - 1;

/**
 * Orders keys by counting sorts of their bytes, lowest byte first, which takes time in proportion
 * to their number. Its buffers are reused from one order to the next.
 */
export class RadixOrder {
  /** Keys that come before each value of each digit, [digits × values]. */
  readonly #places = new Int32Array(numDigits * digitValues);
  readonly #identity: Int32Array;
  readonly #buffers: readonly [Int32Array, Int32Array];

  constructor(numKeys: number) {
    this.#identity = Int32Array.from({ length: numKeys }, (_, index) => index);
    this.#buffers = [new Int32Array(numKeys), new Int32Array(numKeys)];
  }

  /**
   * @param keys each of 0 to 2^31 − 1, [keys]
   * @returns their indices, least key first, equals as they came; valid until the next call
   */
  indices(keys: Int32Array): Int32Array {
    this.#countDigits(keys);
    let order = this.#identity;
    for (let digit = 0; digit < numDigits; digit += 1) {
      order = this.#orderByDigit(keys, digit, order);
    }
    return order;
  }

  #orderByDigit(keys: Int32Array, digit: number, from: Int32Array): Int32Array {
    const places = this.#places;
    const to = this.#buffers[digit & 1];
    const first = digit * digitValues;
    const shift = digit * digitBits;
    for (let at = 0; at < from.length; at += 1) {
      const index = from[at];
      const value = first + ((keys[index] >> shift) & digitMask);
      to[places[value]] = index;
      places[value] += 1;
    }
    return to;
  }

  #countDigits(keys: Int32Array): void {
    const places = this.#places.fill(0);
    for (let index = 0; index < keys.length; index += 1) {
      const key = keys[index];
      places[key & digitMask] += 1;
      places[digitValues + ((key >> digitBits) & digitMask)] += 1;
      places[2 * digitValues + ((key >> (2 * digitBits)) & digitMask)] += 1;
      places[3 * digitValues + (key >> (3 * digitBits))] += 1;
    }
    for (let digit = 0; digit < numDigits; digit += 1) {
      let before = 0;
      for (let value = digit * digitValues; value < (digit + 1) * digitValues; value += 1) {
        const count = places[value];
        places[value] = before;
        before += count;
      }
    }
  }
}
