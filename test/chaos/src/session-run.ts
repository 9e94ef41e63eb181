import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceScripts } from '@isobar/testing';
import { type CaseReport, emptyReport } from './case-report.js';
import { describeFailure } from './case-run.js';
import type { ChaosCase } from './chaos-case.js';
import type { LeaseName } from './chaos-cluster.js';
import { ChaosSession } from './chaos-session.js';
import { type EnvironmentName, environmentMissing, environmentOf } from './environment.js';

/** Cases that can share a cluster. */
export interface SessionJob {
  readonly cases: readonly ChaosCase[];
  readonly lease: LeaseName;
  /** Longer without a leader is a violation, stalls of the store not counted; null: it is only told. */
  readonly withoutLeaderMaxMs: number | null;
  /** Counted from 1. */
  readonly round: number;
  readonly scripts: ServiceScripts;
}

export type OnReport = (report: CaseReport) => Promise<void>;

/** Where a case needs versions that are void: what is staged for every third is damaged. */
const voidVersions = { corruptStagingEvery: 3 };
const failuresFolder = 'chaos-failures';

/** @returns the cases that were not run: those after one that failed, for a cluster of their own */
export async function runSession(job: SessionJob, onReport: OnReport): Promise<ChaosCase[]> {
  const { lease, round, cases } = job;
  const [first] = cases;
  if (first === undefined) return [];
  const environment = environmentOf(first);
  const skipped = await environmentMissing(environment);
  if (skipped !== null) {
    for (const { name } of cases) await onReport({ ...emptyReport(name, lease, round), skipped });
    return [];
  }
  const session = await start(job, first, environment).catch(describeFailure);
  if (typeof session === 'string') {
    const violations = [`the cluster was not there: ${session}`];
    for (const { name } of cases)
      await onReport({ ...emptyReport(name, lease, round), violations });
    return [];
  }
  try {
    const waiting = [...cases];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      process.stderr.write(`${next.name}, round ${round}\n`);
      if (!(await session.run(next, round))) break;
    }
    const reports = await session.conclude();
    for (const report of reports) await onReport(report);
    const failed = reports.find(({ ok }) => !ok);
    if (failed !== undefined) await keepLogs(session, failed);
    return waiting;
  } finally {
    await session.close();
  }
}

function start(
  { lease, withoutLeaderMaxMs, scripts }: SessionJob,
  { activation, phase }: ChaosCase,
  environment: EnvironmentName,
): Promise<ChaosSession> {
  const engineFaults = phase === 'discarding' ? voidVersions : {};
  return ChaosSession.start({
    scripts,
    activation,
    lease,
    withoutLeaderMaxMs,
    environment,
    engineFaults,
  });
}

async function keepLogs(session: ChaosSession, { case: name, round }: CaseReport): Promise<void> {
  const kept = join(failuresFolder, `${name.replaceAll('/', '-')}-${round}`);
  await mkdir(kept, { recursive: true });
  await cp(session.logDirectory, kept, { recursive: true });
  process.stderr.write(`logs are kept in ${kept}\n`);
}
