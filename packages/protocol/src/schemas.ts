import { z } from 'zod';

/** Limits on everything that a message may name; a message beyond them is malformed. */
export const limits = {
  ranks: 65_536,
  layers: 1_024,
  logicalExperts: 32_768,
  physicalSlots: 262_144,
  reasonCharacters: 2_000,
} as const;

// Not z.instanceof: that would demand arrays over a plain ArrayBuffer, which views are not.
export const bytesSchema = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array,
  'must be binary',
);
export const int32ArraySchema = z.custom<Int32Array>(
  (value) => value instanceof Int32Array,
  'must be an Int32Array',
);
export const countsSchema = z.custom<Float64Array>(
  (value) => value instanceof Float64Array && isCounts(value),
  'must be a Float64Array of counts: finite, not negative',
);

export const rankSchema = z
  .number()
  .int()
  .min(0)
  .max(limits.ranks - 1);
export const versionSchema = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const stepSchema = z.number().int().min(-1).max(Number.MAX_SAFE_INTEGER);
export const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);
export const incarnationSchema = z.string().regex(/^[0-9a-f]{16}$/);
export const reasonSchema = z.string().max(limits.reasonCharacters);
export const deploymentSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/** Every message's first field. */
export const schemaField = { schema: z.literal(1) } as const;

function isCounts(values: Float64Array): boolean {
  return values.every((value) => value >= 0 && value < Number.POSITIVE_INFINITY);
}
