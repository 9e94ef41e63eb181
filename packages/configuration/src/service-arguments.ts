import { parseArgs } from 'node:util';
import { IsobarError } from '@isobar/protocol';
import { readRank } from './rank-source.js';

/** Path after `--config`. @throws IsobarError ISOBAR_CONFIGURATION_USAGE */
export function coordinatorArguments(args: readonly string[]): { readonly file: string } {
  const { config } = parse('coordinator --config FILE', args, {});
  return { file: config };
}

/**
 * Path after `--config`, and the rank after `--rank`, null where it is to be discovered.
 * @throws IsobarError ISOBAR_CONFIGURATION_USAGE
 */
export function agentArguments(args: readonly string[]): {
  readonly file: string;
  readonly rank: number | null;
} {
  const usage = 'rank-agent --config FILE [--rank N]';
  const { config, rank: text } = parse(usage, args, { rank: { type: 'string' } });
  if (text === undefined) return { file: config, rank: null };
  const rank = readRank(text);
  if (rank !== null) return { file: config, rank };
  throw refuse(usage, `the rank is ${text}`);
}

function parse(
  usage: string,
  args: readonly string[],
  more: Readonly<Record<string, { readonly type: 'string' }>>,
): { readonly config: string; readonly rank?: string } {
  let values: { readonly config?: unknown; readonly rank?: unknown };
  try {
    ({ values } = parseArgs({ args: [...args], options: { config: { type: 'string' }, ...more } }));
  } catch (cause) {
    throw refuse(usage, cause instanceof Error ? cause.message : String(cause), cause);
  }
  const { config, rank } = values;
  if (typeof config !== 'string' || config === '') throw refuse(usage, '--config is missing');
  return { config, ...(typeof rank === 'string' ? { rank } : {}) };
}

function refuse(usage: string, why: string, cause?: unknown): IsobarError {
  const text = `${why}; usage: ${usage}`;
  return new IsobarError('ISOBAR_CONFIGURATION_USAGE', text, { usage }, { cause });
}
