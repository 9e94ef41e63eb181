import { expect, it } from 'vitest';
import { RankClocks } from '../src/rank-clocks.js';

it('takes the least delayed of the newest reports for how far a clock is off', () => {
  const clocks = new RankClocks();
  expect(clocks.skewMs(3)).toBeNull();
  clocks.hear(3, undefined, 1_000);
  expect(clocks.skewMs(3)).toBeNull();
  for (const delayMs of [900, 4, 70]) clocks.hear(3, 5_000, 3_000 + delayMs);
  expect(clocks.skewMs(3)).toBe(1_996);
  // Set right meanwhile: what was heard before is forgotten.
  for (let report = 0; report < 16; report += 1) clocks.hear(3, 5_000, 5_010 + report);
  expect(clocks.skewMs(3)).toBe(-10);
  clocks.hear(0, 9_000, 9_000);
  expect([clocks.skewMs(0), clocks.skewMs(3)]).toEqual([0, -10]);
});
