import { describe, expect, it } from 'vitest';
import { DeclinedPlan } from '../src/declined-plan.js';

const loads = Float64Array.of(600, 200, 100, 100);
const untilMs = 1_000;

describe('a plan that was refused', () => {
  it('stands while loads are much as they were, however many tokens there are', () => {
    const declined = new DeclinedPlan(loads, 0, untilMs);
    expect(declined.holds(loads, 0)).toBe(true);
    expect(
      declined.holds(
        loads.map((load) => 3 * load),
        999,
      ),
    ).toBe(true);
    expect(declined.holds(Float64Array.of(550, 250, 100, 100), 0)).toBe(true);
  });

  it('stands no more once loads are others, or the time is over', () => {
    const declined = new DeclinedPlan(loads, 0, untilMs);
    expect(declined.holds(Float64Array.of(490, 200, 210, 100), 0)).toBe(false);
    expect(declined.holds(loads, untilMs)).toBe(false);
    expect(declined.holds(new Float64Array(4), 0)).toBe(false);
  });

  it('stands where loads differ by no more than forecasts do anyway', () => {
    const declined = new DeclinedPlan(loads, 0.3, untilMs);
    expect(declined.holds(Float64Array.of(400, 400, 100, 100), 0)).toBe(true);
    expect(declined.holds(Float64Array.of(200, 600, 100, 100), 0)).toBe(false);
  });
});
