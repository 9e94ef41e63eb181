import { suggestion } from './nearest-name.js';
import { options } from './options.js';
import type { Problem } from './problem.js';

/** Variables of a process, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of the project that are no options; names that go on after them with a `_` are none either. */
export const otherVariables: readonly string[] = [
  'ISOBAR_RANK',
  'ISOBAR_LOCAL_RANK',
  'ISOBAR_NODE_NAME',
  'ISOBAR_PLACE',
  'ISOBAR_POD_INDEX',
  'ISOBAR_CI',
  'ISOBAR_DATA',
  'ISOBAR_IMAGE',
  'ISOBAR_MODEL',
  'ISOBAR_NATS_CURRENT',
  'ISOBAR_NATS_PORT',
  'ISOBAR_SIM',
  'ISOBAR_TEST',
];

export interface Overridden {
  readonly value: unknown;
  readonly variable: string;
}

/** What the environment says, and what is wrong with it. */
export interface EnvironmentValues {
  readonly given: ReadonlyMap<string, Overridden>;
  readonly problems: readonly Problem[];
}

const byVariable = new Map(options.map((option) => [option.variable, option]));

/** Reads every `ISOBAR_…` variable; one that is no option's is a problem. */
export function readEnvironmentValues(environment: Environment): EnvironmentValues {
  const given = new Map<string, Overridden>();
  const problems: Problem[] = [];
  for (const [variable, text] of Object.entries(environment)) {
    if (text === undefined || !variable.startsWith('ISOBAR_') || isOther(variable)) continue;
    const option = byVariable.get(variable);
    if (option === undefined) {
      const near = suggestion(variable, byVariable.keys());
      problems.push(problem(variable, '', `is no option's variable${near}`));
      continue;
    }
    const parsed = option.schema.safeParse(option.written(text));
    if (parsed.success) given.set(option.name, { value: parsed.data, variable });
    else problems.push(problem(variable, option.name, `must be ${option.expected}`));
  }
  return { given, problems };
}

function isOther(variable: string): boolean {
  return otherVariables.some((other) => variable === other || variable.startsWith(`${other}_`));
}

function problem(variable: string, field: string, what: string): Problem {
  return { file: null, line: null, column: null, field, variable, what };
}
