import { InvalidArgumentError } from 'commander';

/** Reads an option's value as a whole number within limits. */
export const count = (least: number, most: number) => (text: string) => {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}`);
};
