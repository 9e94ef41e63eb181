import { z } from 'zod';
import { parameterChangesSchema, parameterValueSchema } from '../parameters.js';
import type { CommandDefinition } from './command-definition.js';
import { changeAnswerSchema, changeFields } from './envelope.js';

const effectiveSchema = z.object({
  name: z.string().describe('As docs/CONFIGURATION.md has it.'),
  value: z
    .union([parameterValueSchema, z.array(z.string()), z.null()])
    .describe('In force; a topology is its path, or null where it is written in the file itself.'),
  unit: z.string().nullable(),
  origin: z
    .enum(['default', 'file', 'environment', 'command'])
    .describe('Where it comes from: a command goes before the environment, that before the file.'),
  from: z.string().describe('The same in words: with the file’s line, or the variable.'),
  atRunTime: z
    .enum(['command', 'file', 'restart'])
    .describe(
      'How it changes: by `set-parameters` and by the file and SIGHUP; by the file and SIGHUP alone; by a restart alone.',
    ),
});

export const parametersAnswerSchema = z.object({
  file: z.string().describe('The leader’s configuration file.'),
  parameters: z.array(effectiveSchema),
  unusable: z
    .array(z.object({ name: z.string(), what: z.string() }))
    .describe('Set by commands and not applied: unknown by now, or at odds with the file.'),
});
export type ParametersAnswer = z.infer<typeof parametersAnswerSchema>;

export const parameterCommands = {
  parameters: {
    access: 'read',
    description:
      'Every option of the leader: its value, where that comes from, and how it changes.',
    question: z.strictObject({}),
    answer: parametersAnswerSchema,
    example: {},
    refusals: [],
  },
  'set-parameters': {
    access: 'change',
    description:
      'Sets policy and parameters of balancing, all or none: checked as a whole, durable, in force at once, and with every leader to come.',
    question: z.strictObject({
      parameters: parameterChangesSchema.describe(
        'Values by name (docs/CONFIGURATION.md, those that change by command): numbers in the unit of the name, or texts such as "2s". Null: the environment, the file or the default says again.',
      ),
      ...changeFields,
    }),
    answer: changeAnswerSchema,
    example: {
      parameters: { 'coordinator.policy': 'default', 'coordinator.planIntervalMs': 20_000 },
    },
    refusals: ['ISOBAR_CONFIGURATION_PARAMETER', 'ISOBAR_COORDINATOR_PARAMETERS_CHANGED'],
  },
} as const satisfies Readonly<Record<string, CommandDefinition>>;
