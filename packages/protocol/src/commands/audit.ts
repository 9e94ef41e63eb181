import { z } from 'zod';
import { changeSchema } from '../change.js';
import { memberSchema } from '../member.js';
import { digestSchema, versionSchema } from '../schemas.js';
import { askedBySchema } from './command-request.js';
import { gainSchema } from './plan.js';

/** An event of the audit trail; its other fields depend on its kind. */
export const auditEventSchema = z.looseObject({
  kind: z.string().max(64),
  at: z.number().int().min(0).describe("Milliseconds since 1970, by the coordinator's clock."),
});
export type AuditEvent = z.infer<typeof auditEventSchema>;

const pageFields = {
  before: z
    .number()
    .int()
    .min(1)
    .optional()
    .describe('Of events before this sequence alone: the `next` of the answer before.'),
};

const nextField = z
  .number()
  .int()
  .nullable()
  .optional()
  .describe(
    'Asked again with it as `before`, older events are looked at; null where there are none.',
  );

/** Events that one question may be answered with. */
export const eventsAskedMax = 1_000;

export const historyQuestionSchema = z.strictObject({
  last: z
    .number()
    .int()
    .min(1)
    .max(eventsAskedMax)
    .default(50)
    .describe('The newest so many events.'),
  of: versionSchema.optional().describe('Of this version alone.'),
  ...pageFields,
});

export const historyAnswerSchema = z.object({
  events: z.array(auditEventSchema.extend({ sequence: z.number().int() })).describe('Newest last.'),
  searched: z.number().int().describe('Events looked through, from the newest back.'),
  isComplete: z
    .boolean()
    .describe('False where older ones that were asked for did not fit, or were not looked at.'),
  next: nextField,
});
export type HistoryAnswer = z.infer<typeof historyAnswerSchema>;

export const explainQuestionSchema = z.strictObject({ version: versionSchema, ...pageFields });

export const votesSchema = z.object({ yes: z.number(), needed: z.number() });

/** All that is known of one version, from its record and the events that are kept of it. */
export const explainAnswerSchema = z.object({
  version: versionSchema,
  outcome: z.enum(['committed', 'void']),
  reason: z.string(),
  term: z.number().int().describe('Of the leader that decided it.'),
  change: changeSchema.nullable().describe('Null of a void version.'),
  digest: digestSchema.nullable().describe('Of its mapping; null of a void version.'),
  members: z.array(memberSchema).describe('None of a void version.'),
  moves: z
    .number()
    .int()
    .nullable()
    .describe('Slots whose weights travelled; null where the version before has no record.'),
  bytes: z.number().nullable().describe('Bytes of weights that travelled, likewise.'),
  askedBy: askedBySchema
    .nullable()
    .describe('The command that it was made for; null where none was, or no event is kept.'),
  plan: auditEventSchema
    .nullable()
    .describe('Of a rebalance: loads by rank, forecast, gain predicted, cost.'),
  measured: z
    .object({ balancedness: gainSchema.nullable(), stepMillis: gainSchema.nullable() })
    .nullable()
    .describe('Of a rebalance: what came true; null until it has been measured.'),
  durations: z
    .record(z.string(), z.number())
    .nullable()
    .describe('Milliseconds of each phase that it went through, and in all.'),
  votes: votesSchema
    .nullable()
    .describe('Yes votes, and those that it needed; null where no event is kept.'),
  events: z
    .array(auditEventSchema)
    .describe('Events kept of it among those that were looked at, newest last.'),
  searched: z.number().int().optional().describe('Events looked through, from the newest back.'),
  next: nextField,
});
export type ExplainAnswer = z.infer<typeof explainAnswerSchema>;
