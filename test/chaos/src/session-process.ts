import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type CaseReport, emptyReport } from './case-report.js';
import type { ChaosCase } from './chaos-case.js';
import type { OnReport, SessionJob } from './session-run.js';

/** What a session's process tells; `left` is its last word. */
export type SessionMessage =
  | { readonly kind: 'report'; readonly report: CaseReport }
  | { readonly kind: 'left'; readonly cases: readonly ChaosCase[] };

const script = fileURLToPath(new URL('./session-process-main.js', import.meta.url));

/**
 * Runs a session in a process of its own: comparing tokens takes seconds, in which no other
 * session's messages may wait. Cases of a process that ends too early have failed.
 */
export async function runSessionProcess(job: SessionJob, onReport: OnReport): Promise<ChaosCase[]> {
  const child = fork(script, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const unreported = new Map(job.cases.map((chaosCase) => [chaosCase.name, chaosCase]));
  let left: ChaosCase[] = [];
  let telling = Promise.resolve();
  child.on('message', (message: SessionMessage) => {
    if (message.kind === 'report') {
      unreported.delete(message.report.case);
      telling = telling.then(() => onReport(message.report));
    } else {
      left = [...message.cases];
      for (const { name } of left) unreported.delete(name);
    }
  });
  const closed = once(child, 'close');
  child.send(job);
  const [status, signal] = await closed;
  await telling;
  for (const { name } of unreported.values()) {
    const violations = [`the session's process ended with ${signal ?? status}`];
    await onReport({ ...emptyReport(name, job.lease, job.round), violations });
  }
  return left;
}
