import { z } from 'zod';
import { modeSchema } from '../control-record.js';
import { limits, reasonSchema, versionSchema } from '../schemas.js';
import type { CommandDefinition } from './command-definition.js';
import { changeAnswerSchema, changeFields } from './envelope.js';
import { importedMappingSchema } from './mapping.js';

const change = { access: 'change', answer: changeAnswerSchema } as const;
const nothing = z.strictObject({ ...changeFields });
const planSchema = z
  .string()
  .max(100)
  .optional()
  .describe('Id of the plan that is meant; whichever waits where absent.');
const placing = [
  'ISOBAR_COORDINATOR_DEGRADED',
  'ISOBAR_COORDINATOR_PAUSED',
  'ISOBAR_COORDINATOR_SAME_MAPPING',
  'ISOBAR_COORDINATOR_SWAP_OPEN',
  'ISOBAR_EPLB_NO_SPARE_BUFFERS',
] as const;

export const steeringCommands = {
  mode: {
    ...change,
    description: 'Sets what the coordinator does on its own: observe, approve or automatic.',
    question: z.strictObject({ mode: modeSchema, ...changeFields }),
    example: { mode: 'approve' },
    refusals: [],
  },
  approve: {
    ...change,
    description: 'Applies the plan that waits.',
    question: z.strictObject({ plan: planSchema, ...changeFields }),
    example: { plan: '5f0c2a91' },
    refusals: [
      'ISOBAR_COORDINATOR_NO_PLAN',
      'ISOBAR_COORDINATOR_PAUSED',
      'ISOBAR_COORDINATOR_PLAN_OUTDATED',
      'ISOBAR_COORDINATOR_SWAP_OPEN',
    ],
  },
  refuse: {
    ...change,
    description:
      'Drops the plan that waits; none is proposed again until loads have changed, or backOffMs are over.',
    question: z.strictObject({ plan: planSchema, ...changeFields }),
    example: { plan: '5f0c2a91' },
    refusals: ['ISOBAR_COORDINATOR_NO_PLAN', 'ISOBAR_COORDINATOR_PLAN_OUTDATED'],
  },
  rebalance: {
    ...change,
    description:
      'Plans and applies now, in any mode, whether it pays or not; the answer’s plan says whether it does.',
    question: z.strictObject({
      layers: z
        .array(
          z
            .number()
            .int()
            .min(0)
            .max(limits.layers - 1),
        )
        .min(1)
        .max(limits.layers)
        .optional()
        .describe('MoE layers, the first is 0; all where absent.'),
      ...changeFields,
    }),
    example: { layers: [0, 2], dryRun: true },
    refusals: [
      'ISOBAR_COORDINATOR_PAUSED',
      'ISOBAR_COORDINATOR_REQUEST_INVALID',
      'ISOBAR_COORDINATOR_SAME_MAPPING',
      'ISOBAR_COORDINATOR_SWAP_OPEN',
      'ISOBAR_EPLB_NO_LOADS',
    ],
  },
  pause: {
    ...change,
    description: 'Begins no further wave until resumed, but for what has happened to ranks.',
    question: nothing,
    example: {},
    refusals: [],
  },
  resume: {
    ...change,
    description: 'Ends a pause, and what a rollback or an import holds.',
    question: nothing,
    example: {},
    refusals: [],
  },
  cancel: {
    ...change,
    description: 'Voids the open swap where it is not decided yet, and drops the waves that wait.',
    question: z.strictObject({
      reason: reasonSchema.default('cancelled by an operator').describe('Kept with the version.'),
      ...changeFields,
    }),
    example: { reason: 'not during the launch' },
    refusals: ['ISOBAR_COORDINATOR_DECIDED', 'ISOBAR_COORDINATOR_NO_SWAP'],
  },
  rollback: {
    ...change,
    description:
      'Goes back to the mapping of a version, as far as the ranks of today can have it, and holds balancing.',
    question: z.strictObject({ version: versionSchema, ...changeFields }),
    example: { version: 3 },
    refusals: ['ISOBAR_COORDINATOR_NO_VERSION', ...placing],
  },
  import: {
    ...change,
    description:
      'Goes to a mapping as `export` gives it, as far as the ranks of today can have it, and holds balancing.',
    question: z.strictObject({ mapping: importedMappingSchema, ...changeFields }),
    example: {
      mapping: {
        numLogicalExperts: 4,
        slotOffsets: [0, 3, 6],
        physicalToLogical: [[0, 1, 2, 2, 3, 0]],
      },
    },
    refusals: [
      'ISOBAR_COORDINATOR_IMPORT_INVALID',
      'ISOBAR_EPLB_MAPPING_INVALID',
      'ISOBAR_EPLB_MAPPING_SHAPE',
      ...placing,
    ],
    questionBytesMax: 8_388_608,
  },
} as const satisfies Readonly<Record<string, CommandDefinition>>;
