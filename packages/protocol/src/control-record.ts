import { z } from 'zod';
import { fenceSchema } from './fence.js';
import { schemaField } from './schemas.js';

/** What the coordinator does on its own: record only, ask first, or act. */
export const modeSchema = z.enum(['observe', 'approve', 'automatic']);
export type Mode = z.infer<typeof modeSchema>;

/** The record `control`: what operators have asked for, durable. */
export const controlRecordSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  mode: modeSchema,
  /** While true, no new wave begins. */
  paused: z.boolean(),
});

export type ControlRecord = Readonly<z.infer<typeof controlRecordSchema>>;
