import { parseArgs } from 'node:util';
import { appendReport, type CaseReport, readReports } from './case-report.js';
import { chaosCases } from './chaos-cases.js';
import { type LeaseName, leadershipBackMs } from './chaos-cluster.js';
import { runCases } from './run-cases.js';
import { runSessionProcess } from './session-process.js';
import { summarize } from './summary.js';

const usage = `npm run chaos -- [--case NAME]... [--lease short|default] [--repeat N] [--resume FILE]
                     [--workers N]
npm run chaos -- --list
npm run chaos -- --summary FILE
  * in NAME stands for any text; one JSON line is printed for each case, and kept in FILE;
  N workers run a cluster each; the summary of FILE is Markdown`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true, default: ['*'] },
      list: { type: 'boolean', default: false },
      lease: { type: 'string', default: 'short' },
      repeat: { type: 'string', default: '1' },
      resume: { type: 'string' },
      workers: { type: 'string', default: '1' },
      summary: { type: 'string' },
    },
  });
  const { lease } = values;
  if (lease !== 'short' && lease !== 'default') throw new Error('--lease is short or default');
  const repeat = countOf('repeat', values.repeat, 1_000);
  const workers = countOf('workers', values.workers, 64);
  const cases = chaosCases.filter(({ name }) =>
    values.case.some((wanted) => matchesGlob(wanted, name)),
  );
  if (cases.length === 0) throw new Error(`no case is named ${values.case.join(' or ')}`);
  return { ...values, lease: lease satisfies LeaseName, repeat, workers, cases } as const;
}

function countOf(option: string, text: string, max: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= max) return count;
  throw new Error(`--${option} is a number from 1 to ${max}`);
}

/** `*` stands for any text. */
function matchesGlob(glob: string, name: string): boolean {
  const parts = glob.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

function isDone(reports: readonly CaseReport[], name: string, lease: string, round: number) {
  return reports.some(
    (report) =>
      report.ok && report.case === name && report.lease === lease && report.round === round,
  );
}

async function main(): Promise<void> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions();
  } catch (error) {
    process.stderr.write(`chaos: ${error instanceof Error ? error.message : error}\n${usage}\n`);
    process.exitCode = 2;
    return;
  }
  const { cases, lease, repeat, resume, workers, list, summary } = options;
  if (list) {
    for (const { name } of cases) process.stdout.write(`${name}\n`);
    return;
  }
  if (summary !== undefined) {
    process.stdout.write(summarize(await readReports(summary)));
    return;
  }
  const reports = resume === undefined ? [] : await readReports(resume);
  const rounds = Array.from({ length: repeat }, (_, index) => {
    const round = index + 1;
    return { round, cases: cases.filter(({ name }) => !isDone(reports, name, lease, round)) };
  });
  const onReport = async (report: CaseReport) => {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    reports.push(report);
    if (resume !== undefined) await appendReport(resume, report);
    if (!report.ok && report.skipped === undefined) process.exitCode = 1;
  };
  const withoutLeaderMaxMs = leadershipBackMs[lease];
  const runSession = runSessionProcess;
  await runCases(rounds, { lease, withoutLeaderMaxMs, workers, runSession, onReport });
  process.stderr.write(summarize(reports));
}

await main();
