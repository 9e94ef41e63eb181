import { IsobarError } from './isobar-error.js';

/**
 * How far ahead of the records' largest term or version a coordinator follows what a rank tells. A store
 * that has lost everything is behind its ranks by all that ever was: at a leadership or a version each
 * second this is half a year.
 */
export const runawayAheadMax = 2 ** 24;

/**
 * How far ahead of its own a rank follows a leader. So much more than a leader can be driven by ranks, that
 * a rank which was away meanwhile still follows; and no single message takes it to where no next term is.
 */
export const leaderAheadMax = 2 ** 40;

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
