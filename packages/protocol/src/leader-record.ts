import { z } from 'zod';
import { fenceSchema } from './fence.js';
import { schemaField } from './schemas.js';

/** The record `leader`: who leads, and a counter that changes at each write. */
export const leaderRecordSchema = z.object({
  ...schemaField,
  /** Null once the holder has given it up: whoever sees that may claim at once. */
  holder: z.string().max(200).nullable(),
  fence: fenceSchema,
  renewals: z.number().int().min(0),
});

export type LeaderRecord = Readonly<z.infer<typeof leaderRecordSchema>>;
