import { z } from 'zod';
import { bytesSchema, versionSchema } from './schemas.js';

/** A version's outcome as it is kept and told. */
export const knownOutcomeSchema = z.object({
  version: versionSchema,
  outcome: z.enum(['committed', 'void']),
  /** The record's bytes as created. */
  record: bytesSchema,
});

export type KnownOutcome = Readonly<z.infer<typeof knownOutcomeSchema>>;

/** Of one rank: the newest committed outcome and every later one. */
export const knownOutcomesSchema = z.array(knownOutcomeSchema).max(4_096);
