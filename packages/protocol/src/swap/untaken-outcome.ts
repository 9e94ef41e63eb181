import type { KnownOutcome } from '../known-outcome.js';
import type { MapRecord } from '../map-record.js';
import type { Member } from '../member.js';
import type { RankReport } from '../messages.js';

/** An outcome whose record is created, while no rank has been seen to have taken it. */
export interface UntakenOutcome {
  readonly outcome: KnownOutcome;
  readonly record: MapRecord;
  readonly voters: readonly Member[];
}

/**
 * Whether a voter's report, under the leader's own fence, shows that the outcome is final. Of a
 * commit that the voter has taken a later leader hears from it; and a number that the voter has no
 * vote for any more, and will never vote for, can't be committed.
 */
export function isTakenBy(
  { outcome, voters }: UntakenOutcome,
  engine: NonNullable<RankReport['engine']>,
): boolean {
  const { version } = outcome;
  if (!voters.some(({ incarnation }) => incarnation === engine.incarnation)) return false;
  if (outcome.outcome === 'committed') return engine.committedVersion >= version;
  return engine.votedUpTo >= version && engine.openVote !== version;
}
