/**
 * Integers of 0 to 2^31 − 1 that order as weights do: a non-negative float32's bits, less the sign
 * that −0 has, order as its value. They sort digit by digit and compare without a branch.
 */
export const largestKey = 0x7fffffff;

/** @param bits of a non-negative float32; lighter weights have smaller keys */
export function lightestFirst(bits: number): number {
  return bits & largestKey;
}

/** @param bits of a non-negative float32; heavier weights have smaller keys */
export function heaviestFirst(bits: number): number {
  return largestKey - (bits & largestKey);
}

/** The bits of float32 values, in the same memory. */
export function bitsOf(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}
