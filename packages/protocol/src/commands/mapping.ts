import { z } from 'zod';
import { digestSchema, limits, versionSchema } from '../schemas.js';

const counts = z.number().int().min(0);
const expertSchema = z
  .number()
  .int()
  .min(-1)
  .max(limits.logicalExperts - 1);

const placementFields = {
  numLogicalExperts: z.number().int().min(1).max(limits.logicalExperts),
  slotOffsets: z
    .array(counts.max(limits.physicalSlots))
    .min(2)
    .max(limits.ranks + 1)
    .describe('[ranks + 1]: the slots of rank r are slotOffsets[r] to slotOffsets[r + 1].'),
  physicalToLogical: z
    .array(z.array(expertSchema).max(limits.physicalSlots))
    .min(1)
    .max(limits.layers)
    .describe('[layers][slots]: the expert that each slot holds, −1 where it is empty.'),
} as const;
const modelLayerIds = z
  .array(counts)
  .max(limits.layers)
  .describe("[layers]: the layers' ids in the model.");

export const mappingAnswerSchema = z.object({
  version: versionSchema,
  digest: digestSchema,
  modelLayerIds,
  ...placementFields,
});
export type MappingAnswer = z.infer<typeof mappingAnswerSchema>;

/** A mapping as `export` gives it; what is told beside the placement is held against it. */
export const importedMappingSchema = z.strictObject({
  version: versionSchema.optional().describe('Not looked at: the version that it was exported of.'),
  digest: digestSchema
    .optional()
    .describe('Refused where the mapping has another: it was changed since.'),
  modelLayerIds: modelLayerIds.optional(),
  ...placementFields,
});
export type ImportedMapping = z.infer<typeof importedMappingSchema>;
