import { seconds } from '../table.js';

/**
 * Clocks further apart make the times of events and logs misleading: events are a second apart and more
 * where it matters who came first. Nothing else depends on them.
 */
export const skewMsMax = 1_000;

export const setClocks =
  'set both by NTP; swaps do not depend on it, but times in events and logs do';

export function signed(millis: number): string {
  return `${millis < 0 ? '−' : '+'}${seconds(Math.abs(millis))}`;
}
