/**
 * A weight and an index in one float64, whose order is that of the weight and, among equal
 * weights, of the index: a typed array of them sorts natively, and the least of two needs no rule
 * for ties. A non-negative float32's bits, less the sign that −0 has, order as its value; 32 bits
 * of weight and 20 of index fit the 53 bits of a float64's integers.
 */
const indexLimit = 2 ** 20;

/** @param bits of a non-negative float32; lighter weights have smaller keys */
export function lightestFirst(bits: number, index: number): number {
  return (bits & 0x7fffffff) * indexLimit + index;
}

/** @param bits of a non-negative float32; heavier weights have smaller keys */
export function heaviestFirst(bits: number, index: number): number {
  return (0x7fffffff - (bits & 0x7fffffff)) * indexLimit + index;
}

export function indexOfKey(key: number): number {
  return key - Math.floor(key / indexLimit) * indexLimit;
}

/** The bits of float32 values, in the same memory. */
export function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}
