import type { SessionMessage } from './session-process.js';
import { runSession, type SessionJob } from './session-run.js';

function tell(message: SessionMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

process.once('message', async (job: SessionJob) => {
  const left = await runSession(job, (report) => tell({ kind: 'report', report }));
  await tell({ kind: 'left', cases: left });
  process.disconnect();
});
// Without who asked for it nobody hears its reports; what it started ends with it.
process.once('disconnect', () => process.exit());
