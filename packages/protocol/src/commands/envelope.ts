import { z } from 'zod';
import { modeSchema } from '../control-record.js';
import { memberSchema } from '../member.js';
import { parametersSchema } from '../parameters.js';
import { rankSchema, versionSchema } from '../schemas.js';
import { commandOutcomeSchema, requestIdSchema } from './command-request.js';
import { planSummarySchema } from './plan.js';

/** Fields of every command that changes something. */
export const changeFields = {
  requestId: requestIdSchema
    .optional()
    .describe(
      'Sent again with the same id and question, a command is not done again: it is answered what became of it. Drawn where absent.',
    ),
  dryRun: z
    .boolean()
    .default(false)
    .describe('Answers what it would do, or why it would be refused; nothing is changed.'),
  waitMs: z
    .number()
    .int()
    .min(0)
    .max(60_000)
    .default(2_000)
    .describe('Milliseconds to wait for the outcome; the answer is `running` where they are over.'),
} as const;

/** What holds by operators' commands. */
export const controlAnswerSchema = z.object({
  mode: modeSchema.describe('What the coordinator does on its own.'),
  paused: z.boolean().describe('No further wave begins.'),
  held: z
    .string()
    .nullable()
    .describe('Why balancing by itself is held until resumed, null where it is not.'),
  drained: z.array(rankSchema).describe('Ranks that are to hold no expert.'),
  slotLimits: z
    .array(z.object({ rank: rankSchema, slots: z.number().int() }))
    .describe('Slots of a layer that a rank may use, of those with a limit.'),
  dead: z.array(memberSchema).describe('Engines whose end an operator has vouched for.'),
  parameters: parametersSchema.describe(
    'Options that commands have set: they go before environment, file and default.',
  ),
});
export type ControlAnswer = z.infer<typeof controlAnswerSchema>;

/** The moves that a command takes. */
export const effectSchema = z.object({
  waves: z.number().int().describe('Swaps, one after the other.'),
  moves: z.number().int().describe('Slots whose weights must travel.'),
  bytes: z.number().describe('Bytes of weights that travel.'),
  ranks: z.array(rankSchema).describe('Ranks whose slots change.'),
});
export type CommandEffect = z.infer<typeof effectSchema>;

/** Answer of every command that changes something. */
export const changeAnswerSchema = z.object({
  requestId: requestIdSchema.nullable().describe('Null of a dry run.'),
  command: z.string(),
  dryRun: z.boolean(),
  state: z
    .enum(['running', 'done'])
    .describe('`running`: ask again with the same requestId to wait on.'),
  outcome: z
    .enum([...commandOutcomeSchema.options, 'would-be-done', 'would-be-refused'])
    .nullable()
    .describe('Null while it is running; the last two of a dry run.'),
  reason: z.string().describe('Why, and by whom where another command came in the way.'),
  code: z.string().nullable().describe('Code of the refusal (docs/errors.md), null where none.'),
  baseVersion: versionSchema
    .nullable()
    .describe('Version in force when it began, null where it takes no swap.'),
  version: versionSchema.nullable().describe('Version in force when it ended, null while running.'),
  effect: effectSchema
    .nullable()
    .describe('What it takes; null where nothing moves, or another leader began it.'),
  plan: planSummarySchema.nullable().describe('The plan that it applies or refuses.'),
  control: controlAnswerSchema.describe('What holds now; of a dry run, what would.'),
});
export type ChangeAnswer = z.infer<typeof changeAnswerSchema>;
