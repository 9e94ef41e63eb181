import { z } from 'zod';
import { requestIdSchema } from './commands/command-request.js';
import {
  engineDescriptionSchema,
  engineStateSchema,
  engineWishes,
  standingSchema,
} from './engine-description.js';
import { fenceSchema } from './fence.js';
import { knownOutcomesSchema } from './known-outcome.js';
import { memberSchema, membersSchema } from './member.js';
import { placeSchema, rankOriginSchema } from './place.js';
import { refusalCountsSchema } from './refusals/refusal-counts.js';
import {
  bytesSchema,
  countsSchema,
  digestSchema,
  incarnationSchema,
  rankSchema,
  reasonSchema,
  schemaField,
  stepSchema,
  versionSchema,
} from './schemas.js';
import { versionInForceSchema } from './version-in-force.js';

/**
 * `load.<rank>`: tokens counted by one engine, cumulative per (incarnation, mapping version),
 * so that a lost sample loses nothing and none is read through another map.
 */
export const loadSampleSchema = z.object({
  ...schemaField,
  rank: rankSchema,
  incarnation: incarnationSchema,
  mappingVersion: versionSchema,
  /** First and last forward step that the counts cover. */
  firstStep: stepSchema,
  lastStep: stepSchema,
  /** Tokens that the rank's own slots served, [layers × own slots]. */
  destination: countsSchema,
  /** Steps, and the sum and maximum of their wall time, cumulative like the counts. */
  stepMillis: z.object({
    count: z.number().int().min(0),
    sum: z.number().min(0),
    max: z.number().min(0),
  }),
  /**
   * Time that the rank's own experts took in each layer, waits for peers left out, cumulative like
   * the counts, [layers]; absent where an engine can't time its layers.
   */
  layerMillis: countsSchema.optional(),
});
export type LoadSample = Readonly<z.infer<typeof loadSampleSchema>>;

/** `swap.prepare`: the leader asks every required rank to stage and vote. */
export const prepareSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  /** The proposal's bytes: a vote, and a recovered commit, are for exactly these. */
  proposal: bytesSchema,
});
export type Prepare = Readonly<z.infer<typeof prepareSchema>>;

/** `swap.outcome`: a version is decided; the record's bytes as created. */
export const outcomeMessageSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  record: bytesSchema,
});
export type OutcomeMessage = Readonly<z.infer<typeof outcomeMessageSchema>>;

/** `swap.retire`: every member has activated `version`; what only older versions name is free. */
export const retireSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  version: versionSchema,
});
export type Retire = Readonly<z.infer<typeof retireSchema>>;

/** `swap.state`: the leader's heartbeat, by which a rank sees what it has missed. */
export const swapStateSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  newest: versionInForceSchema,
  /** Highest number decided, void included. */
  decidedUpTo: versionSchema,
  open: versionSchema.nullable(),
  retiredUpTo: versionSchema,
  /** Schema versions that the sender speaks. */
  schemaRange: z.tuple([z.number().int(), z.number().int()]),
});
export type SwapState = Readonly<z.infer<typeof swapStateSchema>>;

/**
 * `swap.cut`: every engine but the member's own is to refuse that incarnation for good, and to
 * say so in its state: proof of death once all survivors have, and they are a majority.
 */
export const cutSchema = z.object({ ...schemaField, fence: fenceSchema, member: memberSchema });
export type Cut = Readonly<z.infer<typeof cutSchema>>;

/** `vote.<version>.<rank>`. A yes binds the rank until the version's outcome (rule S6). */
export const voteSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  rank: rankSchema,
  incarnation: incarnationSchema,
  version: versionSchema,
  digest: digestSchema,
  base: versionInForceSchema,
  yes: z.boolean(),
  /** Why not, where `yes` is false. */
  reason: reasonSchema,
});
export type Vote = Readonly<z.infer<typeof voteSchema>>;

/** An order of the leader that a rank has not followed, and why. */
export const refusedOrderSchema = z.object({
  /**
   * `prepare`, `outcome`, `retire`, `cut`, `swap state`, `outcomes` where the agent refused it; the
   * command where its engine did; `greeting` where the engine refuses the agent itself. Others may come.
   */
  order: z.string().max(40),
  /** That the order was for, null where it names none or could not be read. */
  version: versionSchema.nullable(),
  code: z.string().max(100),
  reason: z.string().max(500),
});
export type RefusedOrder = Readonly<z.infer<typeof refusedOrderSchema>>;

/** Incarnations that an agent keeps the end of. */
const exitedSchema = z.array(incarnationSchema).max(64);

/** `agent.<rank>.report`: what a rank has seen and holds; sent every second and at each change. */
export const rankReportSchema = z.object({
  ...schemaField,
  rank: rankSchema,
  fence: fenceSchema.nullable(),
  /** The agent votes on no number up to this one, whatever its engine knows. Agents of before tell none. */
  votedUpTo: versionSchema.optional(),
  /** Null while no engine is connected. */
  engine: z
    .object({
      incarnation: incarnationSchema,
      committedVersion: versionSchema,
      mappingVersion: versionSchema,
      mappingDigest: digestSchema,
      activatedVersion: versionSchema,
      retiredUpTo: versionSchema,
      votedUpTo: versionSchema,
      openVote: versionSchema.nullable(),
      freeBuffers: z.number().int().min(0),
      step: stepSchema,
      standing: standingSchema,
      cuts: membersSchema,
      brokenPeers: membersSchema,
      ...engineWishes,
    })
    .nullable(),
  /** Incarnations of this rank's engine whose process the agent has seen end: proof of death. */
  exited: exitedSchema,
  /** Staging under way, for people who watch: experts staged of those to come. */
  progress: z
    .object({ version: versionSchema, staged: z.number().int(), total: z.number().int() })
    .nullable(),
  /** The newest refusal, until an order of its kind is followed. Agents of before tell none. */
  refused: refusedOrderSchema.nullable().default(null),
  /** Of messages that the agent did not take lately, or the server did not permit it, the totals. */
  refusals: refusalCountsSchema.optional(),
  schemaRange: z.tuple([z.number().int(), z.number().int()]),
  /**
   * Verbs that the agent also hears on `agent.<rank>.<verb>`. Agents of before tell none, and hear
   * what is sent to all; later ones may tell others.
   */
  ownOrders: z.array(z.string().max(40)).max(16).optional(),
  /** Version of the agent, for people who look for old ones. */
  software: z.string().max(64).optional(),
  /** Milliseconds since 1970 when it was sent, by the rank's machine: nothing is decided by it. */
  atMs: z.number().int().min(0).optional(),
  /** Where the rank runs; agents of before tell none, nor how they came to their rank. */
  place: placeSchema.optional(),
  origin: rankOriginSchema.optional(),
});
export type RankReport = Readonly<z.infer<typeof rankReportSchema>>;

/** `agent.<rank>.query`: a new leader asks under its own term; being asked raises the rank's. */
export const querySchema = z.object({ ...schemaField, fence: fenceSchema });
export type Query = Readonly<z.infer<typeof querySchema>>;

/** The answer to a query. */
export const rankAnswerSchema = z.object({
  ...schemaField,
  rank: rankSchema,
  /** The fence after the question; another than the asker's means it was refused. */
  fence: fenceSchema.nullable(),
  votedUpTo: versionSchema,
  /**
   * Outcomes kept, the newest committed record and every later one, but for those that the engine's
   * state tells as well.
   */
  outcomes: knownOutcomesSchema,
  /** As RankReport.exited. */
  exited: exitedSchema,
  /**
   * Null while no engine is connected. `physicalToLogical` is empty above version 0, whose mapping
   * alone no record tells.
   */
  engine: z.object({ description: engineDescriptionSchema, state: engineStateSchema }).nullable(),
});
export type RankAnswer = Readonly<z.infer<typeof rankAnswerSchema>>;

/** `leader.outcomes`: a rank asks for every outcome above `since`. */
export const outcomesQuestionSchema = z.object({
  ...schemaField,
  rank: rankSchema,
  since: versionSchema,
});
export type OutcomesQuestion = Readonly<z.infer<typeof outcomesQuestionSchema>>;

/** `leader.leave.<rank>`: an agent asks that its own engine may leave; asked again until it has. */
export const leaveQuestionSchema = z.object({
  ...schemaField,
  rank: rankSchema,
  incarnation: incarnationSchema,
  /** Of the request, which is recorded like a command: another is a new attempt. */
  requestId: requestIdSchema,
});
export type LeaveQuestion = Readonly<z.infer<typeof leaveQuestionSchema>>;

export const leaveAnswerSchema = z.object({
  ...schemaField,
  /**
   * `left`: no version lists that incarnation, and none that might is open. `refused`: not now, ask
   * again. `failed`: this attempt has come to nothing, ask with another request id.
   */
  state: z.enum(['leaving', 'left', 'refused', 'failed']),
  code: z.string().max(100).nullable(),
  reason: reasonSchema,
});
export type LeaveAnswer = Readonly<z.infer<typeof leaveAnswerSchema>>;

export const outcomesAnswerSchema = z.object({
  ...schemaField,
  fence: fenceSchema,
  outcomes: knownOutcomesSchema,
});
export type OutcomesAnswer = Readonly<z.infer<typeof outcomesAnswerSchema>>;
