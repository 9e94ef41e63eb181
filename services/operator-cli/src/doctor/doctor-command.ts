import type { Command } from 'commander';
import { print, withClient } from '../commands/shared.js';
import { oneLine } from '../drawing/fit.js';
import { exitCodes } from '../exit-codes.js';
import { type Paint, paintFor, type Style } from '../terminal/paint.js';
import type { Check, Verdict } from './check.js';
import { type Facts, gatherFacts } from './facts.js';
import { leaderChecks } from './leader-checks.js';
import { rankChecks } from './rank-checks.js';
import { serverChecks } from './server-checks.js';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Checks a deployment end to end, and says what to do about what is wrong.')
    .action((_, command: Command) => doctor(command));
}

function doctor(command: Command): Promise<void> {
  return withClient(
    command,
    async (client, { deployment, timeout: timeoutMs, json, color }) => {
      const facts = await gatherFacts(client, { deployment, timeoutMs });
      const checks = examine(facts);
      if (json) print(JSON.stringify({ deployment, checks }));
      else print(renderChecks(checks, paintFor(process.stdout, color)));
      if (checks.some(({ verdict }) => verdict === 'fail')) process.exitCode = exitCodes.failed;
    },
    // What the server does not permit is what is asked for: each question has its answer.
    () => undefined,
  );
}

export function examine(facts: Facts): Check[] {
  const { status } = facts;
  const ranks = status.kind === 'answer' ? rankChecks(status.answer) : [];
  return [...serverChecks(facts), ...leaderChecks(facts), ...ranks];
}

const styles: Readonly<Record<Verdict, Style>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
  skip: 'dim',
};

/** A line for each check, and below it what to do. */
export function renderChecks(checks: readonly Check[], paint: Paint): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, verdict, found, advice }) => {
    const told = `${paint(styles[verdict], verdict.padEnd(4))}  ${name.padEnd(width)}  ${oneLine(found)}`;
    return advice === null ? [told] : [told, `${' '.repeat(width + 8)}→ ${oneLine(advice)}`];
  });
  const count = (verdict: Verdict) => checks.filter((check) => check.verdict === verdict).length;
  const summary = `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed, ${count('skip')} not checked`;
  return [...lines, '', summary].join('\n');
}
