/** No key is larger. */
export const largestKey = 0x7fffffff;

/**
 * Keys of 0 to 2^31 − 1 that order as weights do, heaviest first: a non-negative float32's bits,
 * less the sign that −0 has, order as its value. They sort digit by digit and compare without a
 * branch.
 * @param bits of non-negative float32 values, [weights]
 * @param keys [weights], written
 */
export function heaviestFirst(bits: Int32Array, keys: Int32Array): void {
  for (let index = 0; index < keys.length; index += 1) keys[index] = ~bits[index] & largestKey;
}

/** @param bits of a non-negative float32 */
export function heaviestFirstKey(bits: number): number {
  return ~bits & largestKey;
}

/** The bits of float32 values, in the same memory; of positive ones they are keys, lightest first. */
export function bitsOf(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}
