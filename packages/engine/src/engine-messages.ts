import {
  bytesSchema,
  engineDescriptionSchema,
  engineStateSchema,
  fenceSchema,
  incarnationSchema,
  loadSampleSchema,
  memberSchema,
  schemaField,
  versionSchema,
} from '@isobar/protocol';
import { z } from 'zod';
import { chosenVersionSchema } from './greeting.js';

/** Of a refusal's text. */
export const messageCharactersMax = 2_000;

/** What an agent asks of its engine. Every command carries the leader's fence. */
export const engineCommandSchema = z.discriminatedUnion('kind', [
  /** Being asked raises the engine's fence. */
  z.object({ kind: z.literal('query'), fence: fenceSchema }),
  /** Fetch the proposal's incoming experts, verify them, and hold the vote. */
  z.object({ kind: z.literal('stage'), fence: fenceSchema, proposal: bytesSchema }),
  /** A version is committed: switch to it between two steps. */
  z.object({ kind: z.literal('activate'), fence: fenceSchema, record: bytesSchema }),
  /** A version is void: free what was staged for it. */
  z.object({ kind: z.literal('discard'), fence: fenceSchema, record: bytesSchema }),
  /** A joining engine takes a committed version as the base of the one that is to list it. */
  z.object({ kind: z.literal('adopt'), fence: fenceSchema, record: bytesSchema }),
  /** Refuse that incarnation for good. */
  z.object({ kind: z.literal('cut'), fence: fenceSchema, member: memberSchema }),
  /** Every member has activated `version`: free what only older versions name. */
  z.object({ kind: z.literal('retire'), fence: fenceSchema, version: versionSchema }),
]);
export type EngineCommandMessage = Readonly<z.infer<typeof engineCommandSchema>>;

export const engineRequestSchema = z.object({
  ...schemaField,
  /** Drawn by the agent; its result carries it back. */
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  command: engineCommandSchema,
});
export type EngineRequest = Readonly<z.infer<typeof engineRequestSchema>>;

export const engineHelloSchema = z.object({
  ...schemaField,
  kind: z.literal('hello'),
  /** The version of the port that is spoken from here on. */
  portVersion: chosenVersionSchema,
  description: engineDescriptionSchema,
  state: engineStateSchema,
});
export type EngineHello = Readonly<z.infer<typeof engineHelloSchema>>;

const resultFields = {
  ...schemaField,
  kind: z.literal('result'),
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
} as const;

const refusalFields = {
  code: z.string().max(100),
  message: z.string().max(messageCharactersMax),
} as const;

/** What an engine tells its agent. */
export const engineMessageSchema = z.union([
  engineHelloSchema,
  z.object({ ...schemaField, kind: z.literal('load'), sample: loadSampleSchema }),
  z.object({
    ...schemaField,
    kind: z.literal('progress'),
    version: versionSchema,
    staged: z.number().int().min(0),
    total: z.number().int().min(0),
  }),
  /** Every token routed by an older version has been answered or its connection cut. */
  z.object({ ...schemaField, kind: z.literal('activated'), state: engineStateSchema }),
  /**
   * Told unasked: broken peers, standing, or outcomes are others than before, be it that a peer
   * has told one.
   */
  z.object({ ...schemaField, kind: z.literal('changed'), state: engineStateSchema }),
  z.object({ ...resultFields, ok: z.literal(true), state: engineStateSchema }),
  z.object({ ...resultFields, ok: z.literal(false), ...refusalFields }),
  z.object({ ...schemaField, kind: z.literal('stopping') }),
  /** The connection is ended for what the agent has sent, or has not: it is told by the code. */
  z.object({ ...schemaField, kind: z.literal('refused'), ...refusalFields }),
  /** A newer agent has connected (rule S3): this one must not dial again. */
  z.object({ ...schemaField, kind: z.literal('replaced'), by: incarnationSchema }),
]);
export type EngineMessage = Readonly<z.infer<typeof engineMessageSchema>>;
