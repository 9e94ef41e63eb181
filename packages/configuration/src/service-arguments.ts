import { parseArgs } from 'node:util';
import { IsobarError, rankSchema } from '@isobar/protocol';
import type { Environment } from './environment-values.js';

/** Path after `--config`. @throws IsobarError ISOBAR_CONFIGURATION_USAGE */
export function coordinatorArguments(args: readonly string[]): { readonly file: string } {
  const { config } = parse('coordinator --config FILE', args, {});
  return { file: config };
}

/**
 * Path after `--config`, and the rank after `--rank` or in ISOBAR_RANK.
 * @throws IsobarError ISOBAR_CONFIGURATION_USAGE
 */
export function agentArguments(
  args: readonly string[],
  { ISOBAR_RANK: fromEnvironment }: Environment,
): { readonly file: string; readonly rank: number } {
  const usage = 'rank-agent --config FILE --rank N';
  const { config, rank: text = fromEnvironment } = parse(usage, args, { rank: { type: 'string' } });
  const rank = rankSchema.safeParse(/^\d{1,5}$/.test(text ?? '') ? Number(text) : text);
  if (rank.success) return { file: config, rank: rank.data };
  throw refuse(usage, `the rank is ${text ?? 'missing'} (--rank or ISOBAR_RANK)`);
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
