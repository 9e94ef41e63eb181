import { appendFile, readFile, truncate } from 'node:fs/promises';
import { z } from 'zod';

/** One case that was run, a JSON line. */
export const caseReportSchema = z.object({
  case: z.string(),
  lease: z.string(),
  /** Counted from 1. */
  round: z.number(),
  ok: z.boolean(),
  /** What must not be, in words; empty where all is well. */
  violations: z.array(z.string()),
  /** Set where the machine can't run the case: why. */
  skipped: z.string().optional(),
  /** Strikes until one met the phase: a phase may be over before the signal is there. */
  strikes: z.number(),
  /** Longest time without a leader, stalls of the store not counted. */
  withoutLeaderMs: z.number(),
  /** Time of the case in which no write to the records' stream was acknowledged. */
  storeStalledMs: z.number(),
  /** From the end of the fault until a swap begun after it was complete. */
  recoveredMs: z.number(),
  tokens: z.number(),
  tokensLost: z.number(),
  /** Of these, while every member was connected. */
  tokensLostUnmasked: z.number(),
  tokensMisrouted: z.number(),
  tokensChanged: z.number(),
  mappingVersion: z.number(),
  durationMs: z.number(),
});
export type CaseReport = z.infer<typeof caseReportSchema>;

/** A report in which nothing has happened yet. */
export function emptyReport(name: string, lease: string, round: number): CaseReport {
  return {
    case: name,
    lease,
    round,
    ok: false,
    violations: [],
    strikes: 0,
    withoutLeaderMs: 0,
    storeStalledMs: 0,
    recoveredMs: 0,
    tokens: 0,
    tokensLost: 0,
    tokensLostUnmasked: 0,
    tokensMisrouted: 0,
    tokensChanged: 0,
    mappingVersion: 0,
    durationMs: 0,
  };
}

/**
 * Reports of an earlier run; none where there is no such file. A last line that was cut off by the
 * end of that run is taken off the file, so that more can be appended.
 * @throws Error on a line that is none
 */
export async function readReports(path: string): Promise<CaseReport[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole));
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => caseReportSchema.parse(JSON.parse(line)));
}

export async function appendReport(path: string, report: CaseReport): Promise<void> {
  await appendFile(path, `${JSON.stringify(report)}\n`);
}
