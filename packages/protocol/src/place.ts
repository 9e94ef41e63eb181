import { z } from 'zod';
import { limits, rankSchema } from './schemas.js';

const nameSchema = z.string().min(1).max(253);
const localRankSchema = z
  .number()
  .int()
  .min(0)
  .max(limits.ranks - 1);

/** Where a rank runs, as its agent finds it: nothing is decided by it. */
export const placeSchema = z.object({
  /** Name of its machine. */
  node: nameSchema,
  /** Its place among the ranks of its machine or pod, null where nobody says. */
  localRank: localRankSchema.nullable(),
  /** Domains by the names of the topology's levels, as far as they are told. */
  domains: z
    .record(z.string().min(1).max(128), nameSchema)
    .refine((domains) => Object.keys(domains).length <= 8, 'must have at most 8 levels'),
  gpu: z
    .object({
      index: z.number().int().min(0).max(999),
      uuid: z.string().max(100),
      name: z.string().max(100),
      /** GPUs that tell the same are joined by NVLink; null where the machine has none. */
      nvlinkDomain: z.string().max(300).nullable(),
    })
    .nullable(),
});
export type RankPlace = Readonly<z.infer<typeof placeSchema>>;

/** One who says which rank an agent is of. */
export const rankTellingSchema = z.object({
  /** Such as `--rank`, `torchrun` or `slurm`. */
  source: z.string().max(40),
  rank: rankSchema,
  /** Ranks that there are, by the same source; null where it does not say. */
  numRanks: z.number().int().min(1).nullable(),
  localRank: localRankSchema.nullable(),
});
export type RankTelling = Readonly<z.infer<typeof rankTellingSchema>>;

/** How an agent came to its rank, for people. */
export const rankOriginSchema = z.object({
  /** The source that holds: the first of those that say so. */
  source: z.string().max(40),
  tellings: z.array(rankTellingSchema).max(16),
  /** What contradicts it, or could not be read. */
  warnings: z.array(z.string().max(500)).max(16),
});
export type RankOrigin = Readonly<z.infer<typeof rankOriginSchema>>;
