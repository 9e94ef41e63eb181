import { IsobarError } from './isobar-error.js';

/**
 * How far ahead of the records' largest term or version a coordinator follows what a rank tells. A store
 * that has lost everything is behind its ranks by all that ever was: at a leadership or a version each
 * second this is half a year.
 */
export const runawayAheadMax = 2 ** 24;

/**
 * How far ahead of its own a rank follows a leader. A rank that has followed none since its agent began
 * may have been away for long, while others were driven far.
 */
export const leaderAheadMax = 2 ** 40;
export const firstLeaderAheadMax = 2 ** 48;

/**
 * How far a coordinator follows a rank that goes on telling its term, since it may really have been brought
 * there: as far as one message can bring a rank. Seldom, so that a rank which lies gets nowhere with it.
 */
export const persistentAheadMax = leaderAheadMax + runawayAheadMax;

/** @returns the refusal of a number too far ahead of the largest one known, null where it is not */
export function runaway(
  field: 'term' | 'version',
  told: number,
  known: number,
  aheadMax: number,
): IsobarError | null {
  if (told - known <= aheadMax) return null;
  return new IsobarError(
    'ISOBAR_PROTOCOL_RUNAWAY',
    `${field} ${told} is further ahead of ${known} than any leader can have come`,
    { field, told, known },
  );
}
