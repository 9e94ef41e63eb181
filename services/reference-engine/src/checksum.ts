/** In place of a checksum: no result came back. */
export const lostMark = 0;
/** In place of a checksum: the slot's rank did not serve that expert under that version. */
export const misroutedMark = 1;

/** FNV-1a over the bits of an expert's output; never one of the two marks. */
export function outputChecksum(output: Float64Array): number {
  const words = new Uint32Array(output.buffer, output.byteOffset, output.length * 2);
  let hash = 0x811c9dc5;
  for (const word of words) hash = Math.imul(hash ^ word, 0x01000193);
  hash >>>= 0;
  return hash <= misroutedMark ? hash + 2 : hash;
}
