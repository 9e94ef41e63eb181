import type { Command } from 'commander';
import { type GlobalOptions, print, withClient, wrongOptions } from '../commands/shared.js';
import { oneLine } from '../drawing/fit.js';
import { exitCodes } from '../exit-codes.js';
import { count } from '../option-values.js';
import { type Paint, paintFor, type Style } from '../terminal/paint.js';
import type { Check, Verdict } from './check.js';
import { type Facts, gatherFacts } from './facts.js';
import { leaderChecks } from './leader-checks.js';
import { gatherLocalFacts, localChecks } from './local-checks.js';
import { rankChecks } from './rank-checks.js';
import { rankPlaceChecks } from './rank-place-checks.js';
import { serverChecks } from './server-checks.js';

interface DoctorOptions {
  readonly local: boolean;
  readonly ranks: boolean;
  readonly config?: string;
  readonly rank?: number;
}

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Checks a deployment end to end, and says what to do about what is wrong.')
    .option('--ranks', 'of each rank also where it runs, and who says which it is', false)
    .option('--local', 'what an agent started here would find out; asks no server', false)
    .option('--config <file>', 'with --local: configuration of the deployment')
    .option('--rank <number>', 'with --local: as an agent would be given it', count(0, 65_535))
    .action((options: DoctorOptions, command: Command) => doctor(options, command));
}

async function doctor(options: DoctorOptions, command: Command): Promise<void> {
  const { local, ranks, config, rank } = options;
  if (!local) {
    if (config !== undefined) wrongOptions(command, "'--config <file>' needs '--local'");
    if (rank !== undefined) wrongOptions(command, "'--rank <number>' needs '--local'");
    return doctorOfDeployment(ranks, command);
  }
  if (ranks) wrongOptions(command, "'--ranks' and '--local' exclude each other");
  const { json, color } = command.optsWithGlobals<GlobalOptions>();
  const asked = { file: config ?? null, argument: rank ?? null, environment: process.env };
  tellChecks(localChecks(await gatherLocalFacts(asked)), { json, color });
}

function tellChecks(
  checks: readonly Check[],
  {
    json,
    color,
    ...more
  }: { readonly json: boolean; readonly color: boolean; readonly deployment?: string },
): void {
  if (json) print(JSON.stringify({ ...more, checks }));
  else print(renderChecks(checks, paintFor(process.stdout, color)));
  if (checks.some(({ verdict }) => verdict === 'fail')) process.exitCode = exitCodes.failed;
}

function doctorOfDeployment(isByRank: boolean, command: Command): Promise<void> {
  return withClient(
    command,
    async (client, { deployment, timeout: timeoutMs, json, color }) => {
      const facts = await gatherFacts(client, { deployment, timeoutMs });
      const { status, placesRefused } = facts;
      const isEachAsked = isByRank && status.kind === 'answer';
      const each = isEachAsked ? rankPlaceChecks(status.answer, placesRefused) : [];
      tellChecks([...examine(facts), ...each], { json, color, deployment });
    },
    // What the server does not permit is what is asked for: each question has its answer.
    () => undefined,
  );
}

export function examine(facts: Facts): Check[] {
  const { status, placesRefused } = facts;
  const ranks = status.kind === 'answer' ? rankChecks(status.answer, placesRefused) : [];
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
