import { z } from 'zod';
import { fenceSchema } from './fence.js';
import { schemaField } from './schemas.js';

/** The record `leader`: who leads, and a counter that changes at each renewal. */
export const leaderRecordSchema = z.object({
  ...schemaField,
  holder: z.string().max(200),
  fence: fenceSchema,
  renewals: z.number().int().min(0),
});

export type LeaderRecord = Readonly<z.infer<typeof leaderRecordSchema>>;
