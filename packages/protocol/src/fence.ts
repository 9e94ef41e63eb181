import { z } from 'zod';

/** Epoch of one coordinator's leadership: a term, and a nonce drawn at its process start. */
export const fenceSchema = z.object({
  term: z.number().int().positive(),
  nonce: z.string().regex(/^[0-9a-f]{16}$/),
});

export type Fence = Readonly<z.infer<typeof fenceSchema>>;

/**
 * Rule S3: refuses a lower term, and an equal term under another nonce.
 * @param highest the highest fence the receiver has accepted, null before the first
 */
export function isFenced(highest: Fence | null, incoming: Fence): boolean {
  if (highest === null || incoming.term > highest.term) return false;
  return incoming.term < highest.term || incoming.nonce !== highest.nonce;
}

export function sameFence(left: Fence | null, right: Fence | null): boolean {
  if (left === null || right === null) return left === right;
  return left.term === right.term && left.nonce === right.nonce;
}
