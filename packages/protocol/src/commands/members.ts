import { z } from 'zod';
import { memberSchema } from '../member.js';
import { limits, rankSchema } from '../schemas.js';
import type { CommandDefinition } from './command-definition.js';
import { changeAnswerSchema, changeFields } from './envelope.js';

const change = { access: 'change', answer: changeAnswerSchema } as const;

const ranksQuestionSchema = z
  .strictObject({
    rank: rankSchema.optional().describe('One rank.'),
    node: z
      .string()
      .min(1)
      .max(128)
      .optional()
      .describe(
        'All ranks of a node: a name of the topology’s level `node`, else of its fast domains.',
      ),
    ...changeFields,
  })
  .refine(({ rank, node }) => (rank === undefined) !== (node === undefined), {
    path: ['rank'],
    message: 'name either a rank or a node',
  });

export const memberCommands = {
  drain: {
    ...change,
    description: 'Moves all experts away from a rank, or all ranks of a node, and keeps it empty.',
    question: ranksQuestionSchema,
    example: { node: 'node-1' },
    refusals: [
      'ISOBAR_COORDINATOR_PAUSED',
      'ISOBAR_COORDINATOR_SWAP_OPEN',
      'ISOBAR_COORDINATOR_UNKNOWN_MEMBER',
      'ISOBAR_COORDINATOR_UNKNOWN_NODE',
    ],
  },
  undrain: {
    ...change,
    description: 'Lets a drained rank, or all ranks of a node, hold experts again.',
    question: ranksQuestionSchema,
    example: { rank: 3 },
    refusals: ['ISOBAR_COORDINATOR_UNKNOWN_NODE'],
  },
  leave: {
    ...change,
    description: 'Moves all experts away from a rank, and lets it go: its engine stops.',
    question: z.strictObject({ rank: rankSchema, ...changeFields }),
    example: { rank: 3 },
    refusals: [
      'ISOBAR_COORDINATOR_PAUSED',
      'ISOBAR_COORDINATOR_REQUEST_INVALID',
      'ISOBAR_COORDINATOR_SWAP_OPEN',
    ],
  },
  offer: {
    ...change,
    description:
      'Limits the slots of every layer that a rank may use, its first ones; the others are emptied. The lesser of this and what its engine offers counts.',
    question: z.strictObject({
      rank: rankSchema,
      slots: z
        .number()
        .int()
        .min(0)
        .max(limits.physicalSlots)
        .nullable()
        .describe('Slots of a layer; null takes the limit away.'),
      ...changeFields,
    }),
    example: { rank: 3, slots: 10 },
    refusals: [
      'ISOBAR_COORDINATOR_PAUSED',
      'ISOBAR_COORDINATOR_REQUEST_INVALID',
      'ISOBAR_COORDINATOR_SWAP_OPEN',
      'ISOBAR_COORDINATOR_UNKNOWN_MEMBER',
    ],
  },
  'declare-dead': {
    ...change,
    description:
      'Vouches that an engine process has ended, where neither its agent nor the other ranks can.',
    question: z.strictObject({ ...memberSchema.shape, ...changeFields }),
    example: { rank: 3, incarnation: '0123456789abcdef' },
    refusals: ['ISOBAR_COORDINATOR_UNKNOWN_MEMBER'],
  },
} as const satisfies Readonly<Record<string, CommandDefinition>>;
