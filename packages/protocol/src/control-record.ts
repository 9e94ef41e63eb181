import { z } from 'zod';
import { encode } from './codec.js';
import { commandRequestSchema } from './commands/command-request.js';
import { fenceSchema } from './fence.js';
import { membersSchema } from './member.js';
import { parametersSchema } from './parameters.js';
import { limits, rankSchema, reasonSchema, schemaField } from './schemas.js';

/** What the coordinator does on its own: record only, ask first, or act. */
export const modeSchema = z.enum(['observe', 'approve', 'automatic']);
export type Mode = z.infer<typeof modeSchema>;

/** Commands that are remembered; of those that are done, the oldest is forgotten for a new one. */
export const requestsMax = 64;

/** An operator's limit on the slots of every layer that a rank may use. */
export const slotLimitSchema = z.object({
  rank: rankSchema,
  slots: z.number().int().min(0).max(limits.physicalSlots),
});
export type SlotLimit = Readonly<z.infer<typeof slotLimitSchema>>;

/** The record `control`: what operators have asked for, durable. */
export const controlRecordSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  mode: modeSchema,
  /** While true, no new wave begins. */
  paused: z.boolean(),
  /** Why automatic balancing is held, null where it is not: after a rollback, until resumed. */
  held: reasonSchema.nullable().default(null),
  /** Ranks that are to hold no expert. */
  drained: z.array(rankSchema).max(limits.ranks).default([]),
  /** At most one of a rank, ascending; the lesser of this and what its engine offers counts. */
  slotLimits: z.array(slotLimitSchema).max(limits.ranks).default([]),
  /** Engines whose death an operator or the platform has vouched for. */
  dead: membersSchema.default([]),
  /** Options that commands have set. */
  parameters: parametersSchema.default({}),
  /** Commands that were taken, in their order: what is sent again is not done again. */
  requests: z.array(commandRequestSchema).max(requestsMax).default([]),
});

export type ControlRecord = Readonly<z.infer<typeof controlRecordSchema>>;

const encoded = new WeakMap<ControlRecord, Uint8Array>();

/** Encodes each record once: it is compared, measured and written, and never changed. */
export function encodeControlRecord(record: ControlRecord): Uint8Array {
  const known = encoded.get(record);
  if (known !== undefined) return known;
  const bytes = encode(record);
  encoded.set(record, bytes);
  return bytes;
}
