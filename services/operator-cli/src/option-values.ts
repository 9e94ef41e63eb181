import { InvalidArgumentError, Option } from 'commander';
import { parseDuration } from './duration.js';

/** Reads an option's value as a whole number within limits. */
export const count = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
};

/**
 * An option that is a duration, milliseconds once it is read.
 * @param byDefault as a person writes it
 */
export function durationOption(
  flags: string,
  description: string,
  byDefault: string,
  parse: (text: string) => number = parseDuration,
): Option {
  return new Option(flags, description).argParser(parse).default(parse(byDefault), byDefault);
}
