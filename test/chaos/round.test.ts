import { describe, expect, it } from 'vitest';
import type { CaseReport } from './src/case-report.js';
import { chaosCases } from './src/chaos-cases.js';
import { runCases } from './src/run-cases.js';
import { runSession } from './src/session-run.js';

/** What CI runs of the list; `npm run chaos` runs all of it. */
const round = [
  'leader/kill/deciding/two-table',
  'engine/kill/preparing/two-table',
  'stream-leader/pause/retiring/two-table',
  'leader/pause/preparing/in-place',
  'leader/partition/activating/two-table',
  'stream-leader/disk-full/deciding/in-place',
];

describe('a round of chaos', () => {
  it('leaves one version everywhere and every token right', async () => {
    const cases = chaosCases.filter(({ name }) => round.includes(name));
    expect(cases.map(({ name }) => name).sort()).toEqual([...round].sort());
    const reports: CaseReport[] = [];
    await runCases([{ round: 1, cases }], {
      lease: 'short',
      // How long it takes says more of this machine: `npm run chaos` limits it.
      withoutLeaderMaxMs: null,
      workers: 1,
      runSession,
      onReport: async (report) => void reports.push(report),
    });
    for (const report of reports) {
      expect(report).toMatchObject({ ok: report.skipped === undefined, violations: [] });
    }
    expect(reports).toHaveLength(round.length);
  });
});
