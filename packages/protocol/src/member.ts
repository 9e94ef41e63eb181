import { z } from 'zod';
import { incarnationSchema, limits, rankSchema } from './schemas.js';

/** One engine process of the deployment: its rank, and the number it drew when it started. */
export const memberSchema = z.object({ rank: rankSchema, incarnation: incarnationSchema });

export type Member = Readonly<z.infer<typeof memberSchema>>;

export const membersSchema = z.array(memberSchema).max(limits.ranks);
