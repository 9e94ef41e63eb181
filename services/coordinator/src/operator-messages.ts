import {
  changeSchema,
  IsobarError,
  incarnationSchema,
  memberSchema,
  modeSchema,
  rankSchema,
  reasonSchema,
  standingSchema,
  versionSchema,
} from '@isobar/protocol';
import { z } from 'zod';

/*
 * What operators ask over NATS, and what they are answered: JSON, so that the stock `nats`
 * client can be used. An empty body is an empty object.
 */

const gainSchema = z.object({ before: z.number(), after: z.number() });

/** By what moves pay or not. */
export const economySummarySchema = z.object({
  /** Layers by what their time per token rests on; `held`: it can't be told from noise. */
  layersByBasis: z.object({
    layer: z.number(),
    'all-layers': z.number(),
    step: z.number(),
    configured: z.number(),
    held: z.number(),
  }),
  /** Mean over the layers that are not held, null where all are. */
  perTokenSeconds: z.number().nullable(),
  /** Share by which steps are slower while weights travel, and passes seen of each kind. */
  interference: z.object({
    share: z.number(),
    basis: z.enum(['configured', 'measured']),
    transferring: z.number(),
    quiet: z.number(),
  }),
  /** Why a layer is held, null where none is. */
  reason: z.string().nullable(),
});
export type EconomySummary = z.infer<typeof economySummarySchema>;

/** How the loads that a plan is made for were forecast. */
export const forecastSummarySchema = z.object({
  /** Mean over layers of Σ |forecast − load| ÷ Σ load, one pass ahead. */
  relativeError: z.number(),
  /** Mean over layers of each method's weight. */
  methods: z.record(z.string(), z.number()),
  layers: z.number(),
  /** Layers whose newest pass is of another kind than those before it. */
  shiftedLayers: z.number(),
  /** Layers whose forecast uses that loads recur. */
  periodicLayers: z.number(),
});

/** A plan as it is told; the mapping itself stays with the coordinator. */
export const planSummarySchema = z.object({
  id: z.string(),
  baseVersion: z.number(),
  policy: z.string(),
  planMs: z.number(),
  balancedness: gainSchema,
  moves: z.number(),
  bytes: z.number(),
  waves: z.number(),
  benefitSeconds: z.number(),
  costSeconds: z.number(),
  pays: z.boolean(),
  forecast: forecastSummarySchema,
  economy: economySummarySchema,
  /** Why it would or would not be applied. */
  reason: z.string(),
});
export type PlanSummary = z.infer<typeof planSummarySchema>;

/** One rebalance: what was predicted, and what came true. */
export const rebalanceEntrySchema = z.object({
  at: z.string(),
  plan: planSummarySchema,
  /** `observed`: in mode observe nothing is done; `not-worth`: its gain does not pay. */
  outcome: z.enum([
    'observed',
    'not-worth',
    'waiting',
    'refused',
    'running',
    'applied',
    'void',
    'cancelled',
    'superseded',
    'outdated',
    'degraded',
  ]),
  /** Who had it done. */
  askedBy: z.enum(['automatic', 'operator']).nullable(),
  wavesCommitted: z.number(),
  /** Measured over passes before and after, null until enough of them are there. */
  measuredBalancedness: gainSchema.nullable(),
  measuredStepMillis: gainSchema.nullable(),
});
export type RebalanceEntry = z.infer<typeof rebalanceEntrySchema>;

export const rankStatusSchema = z.object({
  rank: z.number(),
  /** Null before its first report. */
  reportAgeMs: z.number().nullable(),
  engineConnected: z.boolean(),
  /** Of the engine as it says, null while none is connected. */
  standing: standingSchema.nullable(),
  /** Incarnation that the version in force lists, null where the rank is no member. */
  member: incarnationSchema.nullable(),
  drained: z.boolean(),
  mappingVersion: z.number().nullable(),
  incarnation: z.string().nullable(),
  freeBuffers: z.number().nullable(),
  step: z.number().nullable(),
  /** Tokens served in the last pass ÷ the mean of all ranks. */
  loadShare: z.number().nullable(),
  staged: z.object({ version: z.number(), staged: z.number(), total: z.number() }).nullable(),
});
export type RankStatus = z.infer<typeof rankStatusSchema>;

export const statusAnswerSchema = z.object({
  deployment: z.string(),
  leader: z.object({
    holder: z.string(),
    term: z.number(),
    /** Another may lead once the leader record has not changed for this long. */
    leaseMs: z.number(),
    /** Since the start of the last successful renewal. */
    renewedAgoMs: z.number(),
  }),
  mode: modeSchema,
  paused: z.boolean(),
  /** Why balancing by itself is held until resumed, null where it is not. */
  held: z.string().nullable(),
  /** Why no rebalance may begin by itself now, whatever the cause; null where it may. */
  heldBack: z.string().nullable(),
  /** After a void version, until it is over. */
  backOff: z
    .object({ remainingMs: z.number(), version: z.number(), reason: z.string() })
    .nullable(),
  /** Ranks that are to hold no expert. */
  drained: z.array(z.number()),
  /** Members proven dead, and how. */
  dead: z.array(memberSchema.extend({ proof: z.enum(['exited', 'declared', 'cut']) })),
  /** Members that other ranks have lost their connection to: no proof of anything. */
  suspected: z.array(memberSchema.extend({ lostBy: z.array(z.number()) })),
  mapping: z.object({
    version: z.number(),
    digest: z.string(),
    layers: z.number(),
    logicalExperts: z.number(),
    physicalExperts: z.number(),
    ranks: z.number(),
  }),
  /** The swap under way. */
  swap: z
    .object({
      version: z.number(),
      change: changeSchema,
      phase: z.string(),
      reason: z.string(),
      ageMs: z.number(),
      missingRanks: z.array(z.number()),
      wavesWaiting: z.number(),
    })
    .nullable(),
  load: z.object({
    /** Of the last pass, as served; null before the first. */
    balancedness: z.number().nullable(),
    /** Mean over layers of largest ÷ mean rank load, last pass. */
    imbalance: z.number().nullable(),
    meanStepMillis: z.number().nullable(),
    passes: z.number(),
    /** Live ranks not yet heard in the pass under way. */
    missingRanks: z.array(z.number()),
  }),
  ranks: z.array(rankStatusSchema),
  economy: economySummarySchema,
  pendingPlan: planSummarySchema.nullable(),
  /** Newest last. */
  history: z.array(rebalanceEntrySchema),
  swaps: z.object({ committed: z.number(), void: z.number() }),
  messagesRefused: z.number(),
});
export type StatusAnswer = z.infer<typeof statusAnswerSchema>;

export const mappingAnswerSchema = z.object({
  version: z.number(),
  digest: z.string(),
  numLogicalExperts: z.number(),
  modelLayerIds: z.array(z.number()),
  slotOffsets: z.array(z.number()),
  /** [layers][slots] */
  physicalToLogical: z.array(z.array(z.number())),
});
export type MappingAnswer = z.infer<typeof mappingAnswerSchema>;

export const approveQuestionSchema = z.object({ plan: z.string().max(100).optional() }).strict();
export const modeQuestionSchema = z.object({ mode: modeSchema }).strict();
export const emptyQuestionSchema = z.object({}).strict();
export const cancelQuestionSchema = z
  .object({ reason: reasonSchema.default('cancelled by an operator') })
  .strict();
export const rollbackQuestionSchema = z.object({ version: versionSchema }).strict();
export const rankQuestionSchema = z.object({ rank: rankSchema }).strict();
/** An operator's proof of death: no engine of that incarnation can be running. */
export const declareDeadQuestionSchema = memberSchema.strict();

/** What holds once a command has been done. */
export const controlAnswerSchema = z.object({
  mode: modeSchema,
  paused: z.boolean(),
  held: z.string().nullable(),
  drained: z.array(z.number()),
  dead: z.array(memberSchema),
});
export type ControlAnswer = z.infer<typeof controlAnswerSchema>;

/** A rollback has begun; `isobar status` shows how it goes. */
export const rollbackAnswerSchema = z.object({
  version: z.number(),
  waves: z.number(),
  moves: z.number(),
  held: z.string().nullable(),
});

const questionBytesMax = 65_536;

/** @throws IsobarError ISOBAR_COORDINATOR_COMMAND_MALFORMED naming the field */
export function readQuestion<T>(payload: Uint8Array, schema: z.ZodType<T>): T {
  if (payload.byteLength > questionBytesMax) throw malformed('', 'is too long');
  let value: unknown = {};
  try {
    if (payload.byteLength > 0) value = JSON.parse(new TextDecoder().decode(payload));
  } catch {
    throw malformed('', 'is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw malformed(issue?.path.join('.') ?? '', issue?.message ?? 'is invalid');
}

function malformed(field: string, why: string): IsobarError {
  const text = `the command's body${field === '' ? '' : `, field ${field},`} ${why}`;
  return new IsobarError('ISOBAR_COORDINATOR_COMMAND_MALFORMED', text, { field });
}
