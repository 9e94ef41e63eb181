import type { RunResult } from './run-seed.js';

const lastEvents = 60;

/**
 * A failed run, for people: what broke, how to play it again, and what happened before.
 * @param commit of the sources that were run
 */
export function describeFailedRun(
  { seed, violation, transcript }: RunResult,
  commit: string,
  verbose: boolean,
): string {
  const told = verbose ? transcript : transcript.slice(-lastEvents);
  const left = transcript.length - told.length;
  const lines = [`seed ${seed}, commit ${commit}: ${violation?.text ?? 'no rule is broken'}`];
  if (left > 0)
    lines.push(`  … ${left} lines before these: npm run sim -- --seed ${seed} --verbose`);
  lines.push(...told.map((line) => `  ${line}`));
  return `${lines.join('\n')}\n`;
}
