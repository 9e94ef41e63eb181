import type { CaseReport } from './case-report.js';

interface Row {
  readonly cases: Set<string>;
  /** Of each case: how often in a row it has been green, up to its newest report. */
  readonly greenInARow: Map<string, number>;
  failures: number;
  strikes: number;
  withoutLeaderMs: number;
  tokens: number;
}

const heading = [
  '| victim / fault | cases | green in a row, each | failures | strikes | longest without a leader | tokens compared |',
  '| --- | --- | --- | --- | --- | --- | --- |',
];

/** What reports say, as Markdown: a table for each lease, a row for each victim and fault. */
export function summarize(reports: readonly CaseReport[]): string {
  const leases = [...new Set(reports.map(({ lease }) => lease))];
  return leases
    .map((lease) =>
      summarizeLease(
        lease,
        reports.filter((report) => report.lease === lease),
      ),
    )
    .join('\n');
}

function summarizeLease(lease: string, reports: readonly CaseReport[]): string {
  const rows = new Map<string, Row>();
  const all = emptyRow();
  let skipped = 0;
  for (const report of reports) {
    if (report.skipped !== undefined) {
      skipped += 1;
      continue;
    }
    const key = report.case.split('/').slice(0, 2).join(' / ');
    const row = rows.get(key) ?? emptyRow();
    rows.set(key, row);
    add(row, report);
    add(all, report);
  }
  const rounds = Math.min(...all.greenInARow.values());
  return [
    `Lease \`${lease}\`: every one of ${all.cases.size} cases green ${rounds} times in a row or more${skipped === 0 ? '' : `, ${skipped} skipped`}.`,
    '',
    ...heading,
    ...[...rows].map(([key, row]) => lineOf(key, row)),
    lineOf('all', all),
    '',
  ].join('\n');
}

function emptyRow(): Row {
  return {
    cases: new Set(),
    greenInARow: new Map(),
    failures: 0,
    strikes: 0,
    withoutLeaderMs: 0,
    tokens: 0,
  };
}

function add(row: Row, report: CaseReport): void {
  row.cases.add(report.case);
  row.greenInARow.set(report.case, report.ok ? (row.greenInARow.get(report.case) ?? 0) + 1 : 0);
  row.failures += report.ok ? 0 : 1;
  row.strikes += report.strikes;
  row.withoutLeaderMs = Math.max(row.withoutLeaderMs, report.withoutLeaderMs);
  row.tokens += report.tokens;
}

function lineOf(key: string, row: Row): string {
  const least = Math.min(...row.greenInARow.values());
  const cells = [
    key,
    row.cases.size,
    least,
    row.failures,
    row.strikes,
    `${row.withoutLeaderMs} ms`,
    row.tokens.toLocaleString('en'),
  ];
  return `| ${cells.join(' | ')} |`;
}
