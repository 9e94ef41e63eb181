import { z } from 'zod';
import { changeSchema } from '../change.js';
import { modeSchema } from '../control-record.js';
import { standingSchema } from '../engine-description.js';
import { memberSchema } from '../member.js';
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
    .describe('Tokens served in the last pass ÷ the mean of all ranks.'),
  staged: z.object({ version: z.number(), staged: z.number(), total: z.number() }).nullable(),
});
export type RankStatus = z.infer<typeof rankStatusSchema>;

const leaderSchema = z.object({
  holder: z.string(),
  term: z.number(),
  leaseMs: z
    .number()
    .describe('Another may lead once the leader record has not changed for so many milliseconds.'),
  renewedAgoMs: z.number().describe('Milliseconds since the last successful renewal began.'),
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
});

const loadSchema = z.object({
  balancedness: z.number().nullable().describe('Of the last pass, null before the first.'),
  imbalance: z
    .number()
    .nullable()
    .describe('Mean over layers of largest ÷ mean rank load, last pass.'),
  meanStepMillis: z.number().nullable().describe('Milliseconds.'),
  passes: z.number(),
  missingRanks: z.array(z.number()).describe('Live ranks not yet heard in the pass under way.'),
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
  messagesRefused: z.number(),
});
export type StatusAnswer = z.infer<typeof statusAnswerSchema>;
