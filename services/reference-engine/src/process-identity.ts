import { readFileSync } from 'node:fs';
import type { EngineDescription } from '@isobar/protocol';

/** Field of /proc/PID/stat that tells when the process started; the second may hold blanks. */
const startTicksField = 22;

/** This process as its machine sees it, null where that can't be told (no /proc). */
export function processIdentity(): EngineDescription['process'] {
  const startTicks = readStartTicks();
  return startTicks === null ? null : { processId: process.pid, startTicks };
}

function readStartTicks(): string | null {
  let stat: string;
  try {
    stat = readFileSync('/proc/self/stat', 'latin1');
  } catch {
    // No Linux: agents can't witness this process's end.
    return null;
  }
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = afterName[startTicksField - 3] ?? '';
  return /^\d{1,20}$/.test(ticks) ? ticks : null;
}
