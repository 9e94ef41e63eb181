import { dirname, resolve } from 'node:path';
import { IsobarError } from '@isobar/protocol';
import { readBoundedText } from '@isobar/topology';
import {
  type Environment,
  type EnvironmentValues,
  readEnvironmentValues,
} from './environment-values.js';
import { type FileValues, readFileValues, textLengthMax } from './file-values.js';
import { type Configuration, configurationOf, options, type Values } from './options.js';
import { invalidConfiguration, type Problem } from './problem.js';
import { brokenRules, type Rule } from './rules.js';

/** Where a value comes from; of several the last of these holds. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly line: number; readonly column: number }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'command' };

/** A configuration with what it was made of. */
export interface LoadedConfiguration {
  readonly file: string;
  readonly configuration: Configuration;
  readonly values: Values;
  readonly origins: ReadonlyMap<string, Origin>;
}

/** What could be read of a configuration, and all that is wrong with it. */
export interface CheckedConfiguration {
  readonly values: Values;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly problems: readonly Problem[];
}

/** Options that are paths, taken from the configuration file's folder where they are relative. */
const paths = ['topology', 'nats.context', 'agent.stateDirectory'];

/**
 * Checks a file's text and the environment's overrides.
 * @param file path of the file; null: there is none
 */
export function checkConfiguration(
  file: string | null,
  text: string,
  environment: Environment,
): CheckedConfiguration {
  const fromFile: FileValues =
    file === null ? { given: new Map(), problems: [] } : readFileValues(text, file);
  const fromEnvironment = readEnvironmentValues(environment);
  const { values, origins } = merge(fromFile, fromEnvironment);
  const problems = [...fromFile.problems, ...fromEnvironment.problems];
  const isReadable = fromFile.given.size > 0 || fromFile.problems.length === 0;
  if (isReadable) problems.push(...missing(values, file, problems));
  problems.push(...brokenRules(values).map((rule) => ruleProblem(rule, file, origins)));
  if (file !== null) resolvePaths(values, dirname(file));
  return { values, origins, problems };
}

function merge(
  file: FileValues,
  environment: EnvironmentValues,
): { values: Map<string, unknown>; origins: Map<string, Origin> } {
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const { name, default: byDefault } of options) {
    const written = file.given.get(name);
    const overridden = environment.given.get(name);
    if (overridden !== undefined) {
      values.set(name, overridden.value);
      origins.set(name, { kind: 'environment', variable: overridden.variable });
    } else if (written !== undefined) {
      values.set(name, written.value);
      origins.set(name, { kind: 'file', line: written.line, column: written.column });
    } else if (byDefault !== undefined) {
      values.set(name, byDefault);
      origins.set(name, { kind: 'default' });
    }
  }
  return { values, origins };
}

function missing(values: Values, file: string | null, known: readonly Problem[]): Problem[] {
  return options.flatMap(({ name, expected, variable }) => {
    const isTold = known.some(({ field }) => field === name || field.startsWith(`${name}.`));
    if (values.has(name) || isTold) return [];
    const what = `is missing: ${expected} (or set ${variable})`;
    return [{ file, line: null, column: null, field: name, variable: null, what }];
  });
}

/** A broken rule stands where the first of its options is written. */
function ruleProblem(
  { names, what }: Rule,
  file: string | null,
  origins: ReadonlyMap<string, Origin>,
): Problem {
  const [field = ''] = names;
  const given = names.map((name) => origins.get(name)).find((origin) => origin?.kind !== 'default');
  const isFile = given?.kind === 'file';
  return {
    file,
    line: isFile ? given.line : null,
    column: isFile ? given.column : null,
    field,
    variable: given?.kind === 'environment' ? given.variable : null,
    what: given?.kind === 'environment' ? `${field} ${what}` : what,
  };
}

function resolvePaths(values: Map<string, unknown>, folder: string): void {
  for (const name of paths) {
    const value = values.get(name);
    if (typeof value === 'string') values.set(name, resolve(folder, value));
  }
}

/**
 * Reads a deployment's configuration.
 * @throws IsobarError ISOBAR_CONFIGURATION_UNREADABLE naming the file; ISOBAR_CONFIGURATION_INVALID
 *   with every problem in its message and its field `problems`
 */
export async function loadConfiguration(
  file: string,
  environment: Environment,
): Promise<LoadedConfiguration> {
  const text = await readText(file);
  const { values, origins, problems } = checkConfiguration(file, text, environment);
  if (problems.length > 0) throw invalidConfiguration(file, problems);
  return { file, configuration: configurationOf(values), values, origins };
}

/** @throws IsobarError ISOBAR_CONFIGURATION_UNREADABLE */
export async function readText(file: string): Promise<string> {
  try {
    return await readBoundedText(file, textLengthMax);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `${file}: can't be read: ${why}`;
    throw new IsobarError('ISOBAR_CONFIGURATION_UNREADABLE', text, { file }, { cause });
  }
}
