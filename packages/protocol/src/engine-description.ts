import { z } from 'zod';
import { fenceSchema } from './fence.js';
import { knownOutcomesSchema } from './known-outcome.js';
import { membersSchema } from './member.js';
import {
  bytesSchema,
  deploymentSchema,
  digestSchema,
  incarnationSchema,
  int32ArraySchema,
  limits,
  rankSchema,
  stepSchema,
  versionSchema,
} from './schemas.js';
import { versionInForceSchema } from './version-in-force.js';

/** How an engine switches to a new mapping. See docs/engine-port.md. */
export const activationSchema = z.enum(['two-table', 'in-place']);
export type Activation = z.infer<typeof activationSchema>;

/** What an engine is: fixed for one incarnation. */
export const engineDescriptionSchema = z.object({
  deployment: deploymentSchema,
  rank: rankSchema,
  numRanks: z.number().int().min(1).max(limits.ranks),
  incarnation: incarnationSchema,
  /**
   * The engine's process as its own machine sees it, null where it won't say: an agent that finds
   * the same process there can later witness its end. `startTicks` is field 22 of /proc/PID/stat.
   */
  process: z
    .object({
      processId: z.number().int().positive(),
      startTicks: z.string().regex(/^\d{1,20}$/),
    })
    .nullable(),
  /** Name and version of the engine, for people. */
  engine: z.string().max(200),
  modelRevision: z.string().max(200),
  phase: z.enum(['prefill', 'decode', 'mixed']),
  /** The layer's id in the model, [layers]; MoE layers only. */
  modelLayerIds: int32ArraySchema,
  numLogicalExperts: z.number().int().min(1).max(limits.logicalExperts),
  /** Physical slots of a layer by rank, [ranks + 1]. */
  slotOffsets: int32ArraySchema,
  /** Physical slots that must keep their expert, in every layer. */
  pinnedSlots: int32ArraySchema,
  bytesPerExpert: z.number().int().positive(),
  /** Buffers beyond the slots, for staging and for retained old weights. */
  spareBuffers: z.number().int().min(0),
  /** Of these, kept for evacuation. */
  reserveBuffers: z.number().int().min(0),
  replicaChoice: z.enum(['uniform', 'nearest', 'weighted']),
  activation: activationSchema,
  staging: z.enum(['one-sided', 'two-sided']),
  digestAlgorithm: z.enum(['sha256', 'none']),
  /** True where the engine's own balancer is on: such an engine is refused. */
  ownBalancer: z.boolean(),
});

export type EngineDescription = Readonly<z.infer<typeof engineDescriptionSchema>>;

/**
 * `serving`: listed by the newest committed record that it knows, or one of an entirely new group
 * on its start mapping. `joining`: not listed yet; holds no weights that count, routes nothing.
 * `stopped`: was a member and is absent from the newest record; it takes no requests any more and
 * returns under a new incarnation only.
 */
export const standingSchema = z.enum(['serving', 'joining', 'stopped']);
export type Standing = z.infer<typeof standingSchema>;

/** A yes vote that waits for its outcome (rule S6); the proposal's bytes as they came. */
export const openVoteSchema = z.object({
  version: versionSchema,
  digest: digestSchema,
  base: versionInForceSchema,
  incarnation: incarnationSchema,
  proposal: bytesSchema,
});

export type OpenVote = Readonly<z.infer<typeof openVoteSchema>>;

/** What an engine wants of its place in the group; in its state and in its agent's report. */
export const engineWishes = {
  /**
   * Slots of every layer that it offers, its first ones; absent: all that its description names.
   * The others are emptied. Until no unretired version names them, it serves from them.
   */
  offeredSlots: z.number().int().min(0).max(limits.physicalSlots).optional(),
  /** It wants to leave its group. @default false */
  leaving: z.boolean().optional(),
} as const;

/** What an engine holds and routes by now; the engine itself keeps the truth about it. */
export const engineStateSchema = z.object({
  /** Highest fence accepted, null before the first. */
  fence: fenceSchema.nullable(),
  /** Newest version that it knows as committed; above `mappingVersion` until the switch. */
  committedVersion: versionSchema,
  /** The version that it routes by, and that mapping's digest. */
  mappingVersion: versionSchema,
  mappingDigest: digestSchema,
  /** The mapping that it routes by, [layers × slots]. */
  physicalToLogical: int32ArraySchema,
  /** Newest version under which every token routed by an older one has been answered. */
  activatedVersion: versionSchema,
  /** Buffers of all versions below this one are free. */
  retiredUpTo: versionSchema,
  /** Highest version voted for or seen decided. */
  votedUpTo: versionSchema,
  vote: openVoteSchema.nullable(),
  standing: standingSchema,
  /** The newest committed outcome that it has acted on or adopted, and every later one. */
  outcomes: knownOutcomesSchema,
  /** Incarnations that it refuses for good. */
  cuts: membersSchema,
  /** Members of its mapping, under their incarnations, with which it has no connection now. */
  brokenPeers: membersSchema,
  freeBuffers: z.number().int().min(0),
  step: stepSchema,
  ...engineWishes,
});

export type EngineState = Readonly<z.infer<typeof engineStateSchema>>;
