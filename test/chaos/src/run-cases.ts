import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CaseReport, emptyReport } from './case-report.js';
import type { ChaosCase } from './chaos-case.js';
import type { LeaseName } from './chaos-cluster.js';
import { ChaosSession } from './chaos-session.js';
import { environmentMissing, environmentOf } from './environment.js';

export interface RunOptions {
  readonly lease: LeaseName;
  readonly round: number;
  readonly onReport: (report: CaseReport) => Promise<void>;
}

/** A cluster is replaced after so many cases: what was run is then written down. */
const sessionCasesMax = 6;
/** Where a case needs versions that are void: what is staged for every third is damaged. */
const voidVersions = { corruptStagingEvery: 3 };
const failuresFolder = 'chaos-failures';

/** Runs the cases in groups that can share a cluster. */
export async function runCases(cases: readonly ChaosCase[], options: RunOptions): Promise<void> {
  const groups = new Map<string, ChaosCase[]>();
  for (const chaosCase of cases) {
    const { activation, phase, fault } = chaosCase;
    // What is killed for good is missing ever after.
    const own = fault === 'kill-for-good' ? chaosCase.name : '';
    const key = [activation, environmentOf(chaosCase), phase === 'discarding', own].join();
    groups.set(key, [...(groups.get(key) ?? []), chaosCase]);
  }
  for (const group of groups.values()) {
    for (const waiting = [...group]; waiting.length > 0; ) await runSession(waiting, options);
  }
}

/** Takes off `waiting` what it has run: all, up to the first that fails. */
async function runSession(waiting: ChaosCase[], options: RunOptions): Promise<void> {
  const [first] = waiting;
  if (first === undefined) return;
  const { lease, round, onReport } = options;
  const { activation, phase } = first;
  const environment = environmentOf(first);
  const skipped = await environmentMissing(environment);
  if (skipped !== null) {
    for (const { name } of waiting.splice(0)) {
      await onReport({ ...emptyReport(name, lease, round), skipped });
    }
    return;
  }
  const session = await ChaosSession.start({
    activation,
    lease,
    environment,
    engineFaults: phase === 'discarding' ? voidVersions : {},
  });
  try {
    for (let run = 0; run < sessionCasesMax; run += 1) {
      const chaosCase = waiting.shift();
      if (chaosCase === undefined) break;
      process.stderr.write(`${chaosCase.name}, round ${round}\n`);
      if (!(await session.run(chaosCase, round))) break;
    }
    const reports = await session.conclude();
    for (const report of reports) await onReport(report);
    if (reports.some(({ ok }) => !ok)) await keepLogs(session, `${first.name}-${round}`);
  } finally {
    await session.close();
  }
}

async function keepLogs(session: ChaosSession, name: string): Promise<void> {
  const kept = join(failuresFolder, name.replaceAll('/', '-'));
  await mkdir(kept, { recursive: true });
  await cp(session.logDirectory, kept, { recursive: true });
  process.stderr.write(`logs are kept in ${kept}\n`);
}
