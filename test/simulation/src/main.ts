import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import * as machines from '@isobar/protocol';
import { catchFault } from './deliberate/catch-fault.js';
import { deliberateFaults } from './deliberate/deliberate-faults.js';
import { enoughRuns, expectedSituations } from './expected-situations.js';
import { describeFailedRun } from './report.js';
import { type Failure, type ManyRuns, runMany } from './run-many.js';
import { type RunResult, runSeed } from './run-seed.js';

const usage = `npm run sim -- --seed N [--ranks R] [--verbose]
npm run sim -- --seeds COUNT [--from N] [--workers W] [--ranks R]
npm run sim -- --fault NAME

  --seed N       plays one run again, and tells its last events where it fails
  --verbose      tells all of them
  --seeds COUNT  plays so many, from --from (1) on, on every core or on --workers
  --fault NAME   deliberate faults with NAME in theirs: which seed shows it, and how
  --ranks R      ranks of each run; drawn where absent, mostly 8
`;

/** Failures that are told with their transcripts. */
const toldMax = 3;

interface Options {
  readonly seed: number | null;
  readonly seeds: number | null;
  readonly from: number;
  readonly workers: number;
  readonly numRanks: number | null;
  readonly verbose: boolean;
  /** Deliberate faults whose name has this in it, '' for all. */
  readonly fault: string | null;
}

function readOptions(args: readonly string[]): Options | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: 'string' },
        seeds: { type: 'string' },
        from: { type: 'string', default: '1' },
        workers: { type: 'string', default: String(availableParallelism()) },
        ranks: { type: 'string' },
        fault: { type: 'string' },
        verbose: { type: 'boolean', default: false },
      },
    });
    const options = {
      seed: readCount('seed', values.seed, 0),
      seeds: readCount('seeds', values.seeds, 1),
      from: readCount('from', values.from, 0) ?? 1,
      workers: readCount('workers', values.workers, 1) ?? 1,
      numRanks: readCount('ranks', values.ranks, 2),
      verbose: values.verbose,
      fault: values.fault ?? null,
    };
    const asked = [options.seed, options.seeds, options.fault].filter((one) => one !== null);
    if (asked.length !== 1) {
      throw new TypeError('name one of --seed, --seeds and --fault');
    }
    return options;
  } catch (error) {
    process.stderr.write(`sim: ${error instanceof Error ? error.message : error}\n${usage}`);
    return null;
  }
}

function readCount(name: string, value: string | undefined, least: number): number | null {
  if (value === undefined) return null;
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < least) {
    throw new TypeError(`--${name} must be a whole number of at least ${least}, not ${value}`);
  }
  return count;
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).trim();
    const changed = git('status', '--porcelain', '--untracked-files=no') !== '';
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return 'unknown, this is no git checkout';
  }
}

function replay(seed: number, numRanks: number | null): RunResult {
  const ranks = numRanks === null ? {} : { numRanks };
  return runSeed({ machines, seed, transcript: true, ...ranks });
}

function tellFailure(result: RunResult, verbose: boolean): void {
  process.stdout.write(`\n${describeFailedRun(result, commit(), verbose)}`);
}

function runOne(seed: number, options: Options): number {
  const result = replay(seed, options.numRanks);
  if (result.violation !== null) {
    tellFailure(result, options.verbose);
    return 1;
  }
  if (options.verbose) process.stdout.write(`${result.transcript.join('\n')}\n`);
  const minutes = (result.virtualMs / 60_000).toFixed(1);
  const { faults, swapsAsked, events } = result;
  process.stdout.write(
    `seed ${seed}: no rule broken in ${minutes} virtual minutes, ${events} events, ${faults} faults, ${swapsAsked} swaps asked\n`,
  );
  return 0;
}

function tellSituations(situations: ReadonlyMap<string, number>): string[] {
  const names = [...new Set([...expectedSituations, ...situations.keys()])];
  process.stdout.write('\n| situation | times |\n| --- | ---: |\n');
  for (const name of names) {
    process.stdout.write(`| ${name} | ${situations.get(name) ?? 0} |\n`);
  }
  return expectedSituations.filter((name) => !situations.has(name));
}

function tellSpeed({ runs, elapsedMs, virtualMs }: ManyRuns, workers: number): void {
  const seconds = elapsedMs / 1_000;
  const hours = (virtualMs / 3_600_000).toFixed(0);
  process.stdout.write(
    `${runs} runs, ${hours} virtual hours, in ${seconds.toFixed(1)} s on ${workers} worker(s): ${(runs / seconds).toFixed(1)} runs/s\n`,
  );
}

async function runAll(count: number, options: Options): Promise<number> {
  const { from, workers, numRanks } = options;
  let toldMs = performance.now();
  const onProgress = (runs: number, failures: number) => {
    if (performance.now() - toldMs < 10_000) return;
    toldMs = performance.now();
    process.stderr.write(`${runs} of ${count} runs, ${failures} failed\n`);
  };
  const onFailure = ({ seed, text }: Failure) => {
    process.stderr.write(`FAILED seed ${seed}: ${text.split('\n')[0]}\n`);
  };
  const many = await runMany({ from, count, workers, numRanks, onProgress, onFailure });
  tellSpeed(many, workers);
  const missing = tellSituations(many.situations);
  for (const { seed } of many.failures.slice(0, toldMax))
    tellFailure(replay(seed, numRanks), false);
  for (const { seed, text } of many.failures) {
    process.stdout.write(`FAILED seed ${seed}: ${text.split('\n')[0]}\n`);
  }
  if (missing.length > 0) process.stdout.write(`\nnever came up: ${missing.join('; ')}\n`);
  return many.failures.length > 0 || (missing.length > 0 && many.runs >= enoughRuns) ? 1 : 0;
}

/** Which of the deliberate faults are caught, and by what. */
async function runFaults(name: string): Promise<number> {
  let missed = 0;
  for (const fault of deliberateFaults.filter((one) => one.name.includes(name))) {
    const startedMs = performance.now();
    const { seed, text } = await catchFault(fault);
    if (seed === null) missed += 1;
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
    const where = seed === null ? 'MISSED' : `seed ${seed}`;
    process.stdout.write(`${fault.name}: ${where}, ${seconds} s: ${text.split('\n')[0]}\n`);
  }
  return missed > 0 ? 1 : 0;
}

const options = readOptions(process.argv.slice(2));
if (options === null) process.exitCode = 2;
else if (options.seed !== null) process.exitCode = runOne(options.seed, options);
else if (options.fault !== null) process.exitCode = await runFaults(options.fault);
else process.exitCode = await runAll(options.seeds ?? 0, options);
