import { IsobarError } from '@isobar/protocol';

/** One thing that is wrong with a configuration, and where. */
export interface Problem {
  /** Null of what stands in no file. */
  readonly file: string | null;
  /** The first is 1; null of what stands in no file, or is missing from it. */
  readonly line: number | null;
  readonly column: number | null;
  /** The option's name, or the unknown one; empty of the whole. */
  readonly field: string;
  /** The environment's variable, where it is one that is wrong. */
  readonly variable: string | null;
  /** What was expected, or what else is wrong. */
  readonly what: string;
}

/** Problems that are told of one configuration. */
export const problemsMax = 50;

/** `FILE:3:5: coordinator.leaseMs: must be …`, or `ISOBAR_COORDINATOR_LEASE_MS: must be …`. */
export function formatProblem({ file, line, column, field, variable, what }: Problem): string {
  if (variable !== null) return `${variable}: ${what}`;
  const place = [file, line, column].filter((part) => part !== null).join(':');
  return [place, field, what].filter((part) => part !== '').join(': ');
}

/** ISOBAR_CONFIGURATION_INVALID with every problem, as far as there is room. */
export function invalidConfiguration(file: string, problems: readonly Problem[]): IsobarError {
  const told = problems.slice(0, problemsMax);
  const more = problems.length > told.length ? [`and ${problems.length - told.length} more`] : [];
  const text = [...told.map(formatProblem), ...more].join('\n');
  return new IsobarError('ISOBAR_CONFIGURATION_INVALID', text, { file, problems: told });
}
