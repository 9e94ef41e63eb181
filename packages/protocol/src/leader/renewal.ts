import { wholeWave } from '../membership/membership.js';
import type { Wave } from '../swap/open-swap.js';
import { roomForWaves, situationOf, voidRecordsBytes } from './leader-step.js';
import type { LeaderState } from './leader-types.js';

/*
 * Each number that came to nothing since the newest version is named by every later proposal, and its
 * record is in every answer to a new leader. With enough of them nothing could be told any more, and so
 * nothing committed. Before that the newest version is committed again, as it is: no weight moves.
 */

/** Numbers that came to nothing, from which on it is. */
const voidsMax = 256;
/** Fewer bytes of their records are no matter, however little room is left. */
const voidBytesMin = 8_192;

export function isRenewalDue(state: LeaderState): boolean {
  const { newest, voided } = state.swap;
  // What engines hold at their start is still to be committed for the first time.
  if (newest.version === 0 || voided.length === 0) return false;
  if (voided.length >= voidsMax) return true;
  const bytes = voidRecordsBytes(state);
  return bytes > voidBytesMin && bytes > roomForWaves(state).bytesMax;
}

/** Whether it goes before all else; every second number is left to what else is due. */
export function renewsFirst({ swap }: LeaderState): boolean {
  return swap.voided.length % 2 === 0;
}

export function renewalWave(state: LeaderState): Wave {
  const { newest, voided } = state.swap;
  const reason = `version ${newest.version} as it is: ${voided.length} numbers since have come to nothing`;
  return wholeWave(situationOf(state), 'membership', reason);
}
