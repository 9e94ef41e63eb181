import { InvalidArgumentError } from 'commander';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const millisMax = 24 * 3_600_000;

/** Reads `30s`, `500ms`, `2m` or `1h` as milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const millis = Number(match?.[1]) * (units[match?.[2] ?? ''] ?? Number.NaN);
  if (millis > 0 && millis <= millisMax) return millis;
  throw new InvalidArgumentError('must be a duration such as 30s, 500ms or 2m, at most 24h');
}

/** Reads a duration within limits, milliseconds. */
export const durationBetween = (leastMs: number, mostMs: number) => (text: string) => {
  const millis = parseDuration(text);
  if (millis >= leastMs && millis <= mostMs) return millis;
  throw new InvalidArgumentError(`must be from ${leastMs} ms to ${mostMs} ms`);
};
