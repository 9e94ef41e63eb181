export interface RecordOutcome {
  readonly version: number;
  readonly isCommitted: boolean;
}

/**
 * Which records are recent: those of the newest committed versions, and all that are newer than the
 * oldest of these.
 * @param newestFirst outcomes of what is stored, from the newest down; the rest may be left out
 * @param committedKept committed versions, 1 or more
 * @param retiredUpTo the newest version that all have retired: ranks keep no outcome older than it
 * @returns the oldest version whose record is kept, 0 where none is to go
 */
export function oldestKept(
  newestFirst: Iterable<RecordOutcome>,
  committedKept: number,
  retiredUpTo: number,
): number {
  let left = committedKept;
  for (const { version, isCommitted } of newestFirst) {
    if (isCommitted) left -= 1;
    if (left === 0) return Math.min(version, retiredUpTo);
  }
  return 0;
}
