import { z } from 'zod';

/** Parameters that one record or command may hold. */
export const parametersMax = 128;

const nameSchema = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9.]{0,99}$/)
  .describe('Name of an option, such as `coordinator.passMs`.');
export const parameterValueSchema = z.union([z.number(), z.string().max(256), z.boolean()]);
export type ParameterValue = z.infer<typeof parameterValueSchema>;

/** Options that operators' commands have set, by their names; what they mean is the shell's to know. */
export const parametersSchema = z
  .record(nameSchema, parameterValueSchema)
  .refine((parameters) => Object.keys(parameters).length <= parametersMax);
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** What a command changes of them: null where one is no longer set. */
export const parameterChangesSchema = z
  .record(nameSchema, parameterValueSchema.nullable())
  .refine((changes) => Object.keys(changes).length > 0, 'names no parameter')
  .refine((changes) => Object.keys(changes).length <= parametersMax, 'names too many parameters');
export type ParameterChanges = Readonly<Record<string, ParameterValue | null>>;

/** Parameters after a change, in the order of their names. */
export function changedParameters(before: Parameters, changes: ParameterChanges): Parameters {
  const entries = Object.entries({ ...before, ...changes }).filter(
    (entry): entry is [string, ParameterValue] => entry[1] !== null,
  );
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
