import { z } from 'zod';
import { changeSchema } from '../change.js';
import { modeSchema } from '../control-record.js';
import { standingSchema } from '../engine-description.js';
import { memberSchema } from '../member.js';
import { refusedOrderSchema } from '../messages.js';
import { placeSchema, rankOriginSchema } from '../place.js';
import { refusalCountSchema } from '../refusals/refusal-counts.js';
import { incarnationSchema } from '../schemas.js';
import { economySummarySchema, planSummarySchema, rebalanceEntrySchema } from './plan.js';

export const rankStatusSchema = z.object({
  rank: z.number(),
  reportAgeMs: z
    .number()
    .nullable()
    .describe('Milliseconds since its newest report, null before its first.'),
  engineConnected: z.boolean(),
  standing: standingSchema
    .nullable()
    .describe('Of the engine as it says, null while none is connected.'),
  member: incarnationSchema
    .nullable()
    .describe('Incarnation that the version in force lists, null where the rank is no member.'),
  drained: z.boolean(),
  slots: z
    .object({ own: z.number(), offered: z.number(), limit: z.number().nullable() })
    .describe('Of a layer: all, those that its engine offers, and the limit of operators.'),
  leaving: z.boolean().describe('It wants to leave.'),
  mappingVersion: z.number().nullable(),
  incarnation: z.string().nullable(),
  freeBuffers: z.number().nullable(),
  step: z.number().nullable(),
  loadShare: z
    .number()
    .nullable()
    .describe('Tokens served in the last pass ÷ the mean of all ranks that serve.'),
  staged: z
    .object({ version: z.number(), staged: z.number(), total: z.number() })
    .nullable()
    .describe('Experts staged of those to come, while it stages.'),
  sampleAgeMs: z
    .number()
    .nullable()
    .optional()
    .describe('Milliseconds since its newest load sample, null before its first.'),
  node: z.string().optional().describe('Its fast domain in the topology.'),
  engine: z
    .object({
      name: z.string().describe('Name and version of the engine.'),
      modelRevision: z.string(),
      spareBuffers: z.number().describe('Buffers beyond the slots.'),
      reserveBuffers: z.number().describe('Of these, kept for evacuation.'),
      ownBalancer: z.boolean(),
    })
    .nullable()
    .optional()
    .describe('As the engine described itself; null while none is known.'),
  software: z
    .string()
    .nullable()
    .optional()
    .describe("Version of the rank's agent; null where it does not tell."),
  clockSkewMs: z
    .number()
    .nullable()
    .optional()
    .describe(
      "The agent's clock less the leader's, milliseconds, by the least delayed of its newest reports: too low by that delay. Null where it does not tell.",
    ),
  refused: refusedOrderSchema
    .nullable()
    .optional()
    .describe('The newest order of the leader that the rank has not followed, until it does.'),
  place: placeSchema
    .nullable()
    .optional()
    .describe(
      'Where asked for, where the rank runs as its agent finds it; null where it does not tell.',
    ),
  origin: rankOriginSchema
    .nullable()
    .optional()
    .describe('Where asked for, how its agent came to its rank; null where it does not tell.'),
});
export type RankStatus = z.infer<typeof rankStatusSchema>;

const leaderSchema = z.object({
  holder: z.string(),
  term: z.number(),
  leaseMs: z
    .number()
    .describe('Another may lead once the leader record has not changed for so many milliseconds.'),
  renewedAgoMs: z.number().describe('Milliseconds since the last successful renewal began.'),
  software: z.string().optional().describe('Version of the coordinator.'),
  atMs: z
    .number()
    .optional()
    .describe("Milliseconds since 1970 when it answered, by its machine's clock."),
});

const mappingInForceSchema = z.object({
  version: z.number(),
  digest: z.string(),
  layers: z.number(),
  logicalExperts: z.number(),
  physicalExperts: z.number(),
  ranks: z.number(),
});

const swapUnderWaySchema = z.object({
  version: z.number(),
  change: changeSchema,
  phase: z.string(),
  reason: z.string(),
  ageMs: z.number().describe('Milliseconds.'),
  missingRanks: z.array(z.number()),
  wavesWaiting: z.number(),
  neededRanks: z
    .array(z.number())
    .optional()
    .describe('Ranks that must vote for it, and follow it.'),
  moves: z.number().optional().describe('Slots whose weights travel for this version.'),
  bytes: z.number().optional().describe('Bytes of weights that travel for it.'),
});

const loadSchema = z.object({
  balancedness: z
    .number()
    .nullable()
    .describe(
      'Of the last pass, null before the first. Over the ranks that serve: members that are not drained and may use a slot, and whoever has load still.',
    ),
  imbalance: z
    .number()
    .nullable()
    .describe('Mean over layers of largest ÷ mean rank load, last pass, over the same ranks.'),
  meanStepMillis: z.number().nullable().describe('Milliseconds.'),
  passes: z.number(),
  missingRanks: z.array(z.number()).describe('Live ranks not yet heard in the pass under way.'),
  worstLayers: z
    .array(
      z.object({
        layer: z.number(),
        modelLayer: z.number().nullable().describe("The layer's id in the model, where known."),
        imbalance: z.number().describe('Largest ÷ mean rank load.'),
        rank: z.number().describe('Rank of the largest load.'),
      }),
    )
    .optional()
    .describe('Of the last pass, the layers of largest imbalance, the worst first.'),
});

export const statusAnswerSchema = z.object({
  deployment: z.string(),
  leader: leaderSchema,
  mode: modeSchema,
  paused: z.boolean(),
  held: z
    .string()
    .nullable()
    .describe('Why balancing by itself is held until resumed, null where it is not.'),
  heldBack: z
    .string()
    .nullable()
    .describe('Why no rebalance may begin by itself now, whatever the cause; null where it may.'),
  backOff: z
    .object({ remainingMs: z.number(), version: z.number(), reason: z.string() })
    .nullable()
    .describe('After a void version, until it is over.'),
  drained: z.array(z.number()).describe('Ranks that are to hold no expert.'),
  dead: z
    .array(memberSchema.extend({ proof: z.enum(['exited', 'declared', 'cut']) }))
    .describe('Members proven dead, and how.'),
  suspected: z
    .array(memberSchema.extend({ lostBy: z.array(z.number()) }))
    .describe('Members that other ranks have lost their connection to: no proof of anything.'),
  mapping: mappingInForceSchema,
  swap: swapUnderWaySchema.nullable().describe('The swap under way.'),
  load: loadSchema,
  ranks: z.array(rankStatusSchema),
  economy: economySummarySchema,
  pendingPlan: planSummarySchema.nullable().describe('Waits to be approved or refused.'),
  history: z.array(rebalanceEntrySchema).describe('Newest last.'),
  swaps: z.object({ committed: z.number(), void: z.number() }),
  placeContradictions: z
    .array(z.object({ level: z.string(), ranks: z.array(z.number()), what: z.string() }))
    .optional()
    .describe('Where ranks tell of other places than the topology, the first of them.'),
  messagesRefused: z.number().describe('By the coordinator, since it began.'),
  refusals: z
    .array(
      refusalCountSchema.extend({
        source: z.string().describe('`coordinator`, or `rank` and its number.'),
      }),
    )
    .optional()
    .describe('Messages that were not taken, or not permitted, by who, kind and reason.'),
});
export type StatusAnswer = z.infer<typeof statusAnswerSchema>;
