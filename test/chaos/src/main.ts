import { parseArgs } from 'node:util';
import { appendReport, type CaseReport, readReports } from './case-report.js';
import { chaosCases } from './chaos-cases.js';
import type { LeaseName } from './chaos-cluster.js';
import { runCases } from './run-cases.js';

const usage = `npm run chaos -- [--case NAME]... [--lease short|default] [--repeat N] [--resume FILE]
npm run chaos -- --list
  NAME may end with *; one JSON line is printed for each case, and kept in FILE`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true, default: ['*'] },
      list: { type: 'boolean', default: false },
      lease: { type: 'string', default: 'short' },
      repeat: { type: 'string', default: '1' },
      resume: { type: 'string' },
    },
  });
  const { lease } = values;
  if (lease !== 'short' && lease !== 'default') throw new Error('--lease is short or default');
  const repeat = Number(values.repeat);
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 1_000) {
    throw new Error('--repeat is a number from 1 to 1000');
  }
  const cases = chaosCases.filter(({ name }) =>
    values.case.some((wanted) =>
      wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted,
    ),
  );
  if (cases.length === 0) throw new Error(`no case is named ${values.case.join(' or ')}`);
  return { ...values, lease: lease satisfies LeaseName, repeat, cases } as const;
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
  const { cases, lease, repeat, resume, list } = options;
  if (list) {
    for (const { name } of cases) process.stdout.write(`${name}\n`);
    return;
  }
  const earlier = resume === undefined ? [] : await readReports(resume);
  const onReport = async (report: CaseReport) => {
    process.stdout.write(`${JSON.stringify(report)}\n`);
    if (resume !== undefined) await appendReport(resume, report);
    if (!report.ok && report.skipped === undefined) process.exitCode = 1;
  };
  for (let round = 1; round <= repeat; round += 1) {
    const left = cases.filter(({ name }) => !isDone(earlier, name, lease, round));
    await runCases(left, { lease, round, onReport });
  }
}

await main();
