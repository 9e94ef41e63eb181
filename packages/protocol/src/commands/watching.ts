import { z } from 'zod';
import { versionSchema } from '../schemas.js';
import {
  explainAnswerSchema,
  explainQuestionSchema,
  historyAnswerSchema,
  historyQuestionSchema,
} from './audit.js';
import type { CommandDefinition } from './command-definition.js';
import { mappingAnswerSchema } from './mapping.js';
import { planSummarySchema } from './plan.js';
import { statusAnswerSchema } from './status.js';

const nothing = z.strictObject({});

export const watchingCommands = {
  status: {
    access: 'read',
    description: 'What the deployment does now: leader, mapping, load, ranks, swap, rebalances.',
    question: z.strictObject({
      places: z
        .boolean()
        .optional()
        .describe('Also where each rank runs, and how its agent came to its rank.'),
    }),
    answer: statusAnswerSchema,
    example: {},
    refusals: [],
  },
  plan: {
    access: 'read',
    description: 'What a rebalance would do now, and whether it pays; nothing is changed.',
    question: nothing,
    answer: planSummarySchema,
    example: {},
    refusals: ['ISOBAR_EPLB_NO_LOADS'],
  },
  export: {
    access: 'read',
    description: 'The mapping of a version, whole: of the one in force where none is named.',
    question: z.strictObject({ version: versionSchema.optional() }),
    answer: mappingAnswerSchema,
    example: { version: 3 },
    refusals: ['ISOBAR_COORDINATOR_NO_VERSION'],
  },
  history: {
    access: 'read',
    description: 'Events of the audit trail, the newest last; no more than fit into one message.',
    question: historyQuestionSchema,
    answer: historyAnswerSchema,
    example: { last: 20 },
    refusals: ['ISOBAR_BUS_NO_STREAM', 'ISOBAR_BUS_TIMEOUT'],
  },
  explain: {
    access: 'read',
    description: 'Why a version is as it is: loads, forecast, gain, bytes, durations, who asked.',
    question: explainQuestionSchema,
    answer: explainAnswerSchema,
    example: { version: 3 },
    refusals: ['ISOBAR_COORDINATOR_NO_VERSION', 'ISOBAR_BUS_TIMEOUT'],
  },
} as const satisfies Readonly<Record<string, CommandDefinition>>;
