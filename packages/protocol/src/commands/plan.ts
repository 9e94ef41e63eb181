import { z } from 'zod';

export const gainSchema = z.object({ before: z.number(), after: z.number() });

/** By what moves pay or not. */
export const economySummarySchema = z.object({
  layersByBasis: z
    .object({
      layer: z.number(),
      'all-layers': z.number(),
      step: z.number(),
      configured: z.number(),
      held: z.number(),
    })
    .describe('Layers by what their time per token rests on; `held`: not to be told from noise.'),
  perTokenSeconds: z
    .number()
    .nullable()
    .describe('Seconds, mean over the layers that are not held; null where all are.'),
  interference: z
    .object({
      share: z.number(),
      basis: z.enum(['configured', 'measured']),
      transferring: z.number(),
      quiet: z.number(),
    })
    .describe(
      'Share by which steps are slower while weights travel, and passes seen of each kind.',
    ),
  reason: z.string().nullable().describe('Why a layer is held, null where none is.'),
});
export type EconomySummary = z.infer<typeof economySummarySchema>;

/** How the loads that a plan is made for were forecast. */
export const forecastSummarySchema = z.object({
  relativeError: z
    .number()
    .describe('Mean over layers of Σ |forecast − load| ÷ Σ load, one pass ahead.'),
  methods: z.record(z.string(), z.number()).describe("Mean over layers of each method's weight."),
  layers: z.number(),
  shiftedLayers: z
    .number()
    .describe('Layers whose newest pass is of another kind than those before it.'),
  periodicLayers: z.number().describe('Layers whose forecast uses that loads recur.'),
});

/** A plan as it is told; the mapping itself stays with the coordinator. */
export const planSummarySchema = z.object({
  id: z.string(),
  baseVersion: z.number().describe('Version that it was made on.'),
  policy: z.string(),
  planMs: z.number().describe('Milliseconds that planning took.'),
  balancedness: gainSchema.describe('Forecast; 1 is perfect.'),
  moves: z.number().describe('Slots whose weights must travel.'),
  bytes: z.number().describe('Bytes of weights that travel.'),
  waves: z.number().describe('Swaps, one after the other.'),
  benefitSeconds: z.number().describe('Seconds saved over the horizon.'),
  costSeconds: z.number().describe('Seconds by which the moves slow inference.'),
  pays: z.boolean().describe('The benefit is above the cost.'),
  forecast: forecastSummarySchema,
  economy: economySummarySchema,
  reason: z.string().describe('Why it pays or does not.'),
});
export type PlanSummary = z.infer<typeof planSummarySchema>;

/** One rebalance: what was predicted, and what came true. */
export const rebalanceEntrySchema = z.object({
  at: z.string().describe('ISO 8601.'),
  plan: planSummarySchema,
  outcome: z
    .enum([
      'observed',
      'not-worth',
      'waiting',
      'declined',
      'refused',
      'running',
      'applied',
      'void',
      'cancelled',
      'superseded',
      'outdated',
      'degraded',
    ])
    .describe(
      '`observed`: in mode observe nothing is done; `not-worth`: it does not pay; `declined`: by an operator.',
    ),
  askedBy: z.enum(['automatic', 'operator']).nullable().describe('Who had it done.'),
  wavesCommitted: z.number(),
  measuredBalancedness: gainSchema
    .nullable()
    .describe('Over passes before and after, null until enough of them are there.'),
  measuredStepMillis: gainSchema.nullable().describe('Milliseconds of a step, likewise.'),
});
export type RebalanceEntry = z.infer<typeof rebalanceEntrySchema>;
