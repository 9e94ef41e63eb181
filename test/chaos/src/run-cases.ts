import { fileURLToPath } from 'node:url';
import { bundledScripts, bundleServices } from '@isobar/testing';
import type { CaseReport } from './case-report.js';
import type { ChaosCase } from './chaos-case.js';
import type { LeaseName } from './chaos-cluster.js';
import { removeLeftovers } from './environment.js';
import { planSessions } from './session-plan.js';
import type { OnReport, SessionJob } from './session-run.js';

/** Cases of one round. */
export interface Round {
  /** Counted from 1. */
  readonly round: number;
  readonly cases: readonly ChaosCase[];
}

export interface RunOptions {
  readonly lease: LeaseName;
  /** SessionJob.withoutLeaderMaxMs */
  readonly withoutLeaderMaxMs: number | null;
  /** Clusters at a time. */
  readonly workers: number;
  /** Runs a job; gives the cases that are left for a cluster of their own. */
  readonly runSession: (job: SessionJob, onReport: OnReport) => Promise<ChaosCase[]>;
  /** Called for one report at a time. */
  readonly onReport: (report: CaseReport) => Promise<void>;
}

const bundler = fileURLToPath(new URL('../../../scripts/bundle.js', import.meta.url));

/** Runs the rounds in groups of cases that can share a cluster, several clusters at a time. */
export async function runCases(rounds: readonly Round[], options: RunOptions): Promise<void> {
  const { lease, withoutLeaderMaxMs, workers, runSession } = options;
  await removeLeftovers();
  const services = await bundleServices(bundler);
  const scripts = bundledScripts(services.directory);
  const jobs: SessionJob[] = rounds.flatMap(({ round, cases }) =>
    planSessions(cases).map((group) => ({
      cases: group,
      lease,
      withoutLeaderMaxMs,
      round,
      scripts,
    })),
  );
  let reporting = Promise.resolve();
  const onReport = (report: CaseReport) => {
    reporting = reporting.then(() => options.onReport(report));
    return reporting;
  };
  const work = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const left = await runSession(job, onReport);
      if (left.length > 0) jobs.unshift({ ...job, cases: left });
    }
  };
  await Promise.all(Array.from({ length: workers }, work)).finally(services.remove);
}
