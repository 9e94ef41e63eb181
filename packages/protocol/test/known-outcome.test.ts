import { type KnownOutcome, newestOutcomes } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

function known(version: number, outcome: KnownOutcome['outcome']): KnownOutcome {
  return { version, outcome, record: Uint8Array.of(version % 256) };
}

function voids(from: number, count: number): KnownOutcome[] {
  return Array.from({ length: count }, (_, index) => known(from + index, 'void'));
}

describe('what is kept of outcomes', () => {
  it('is the newest committed one and every later one, each once, ascending', () => {
    const told = [known(7, 'void'), known(3, 'committed'), known(5, 'committed'), known(6, 'void')];
    const kept = newestOutcomes([...told, known(6, 'void')]);
    expect(kept.map(({ version }) => version)).toEqual([5, 6, 7]);
    expect(newestOutcomes(kept)).toBe(kept);
  });

  it('is within a limit the newest void ones, and always the committed one', () => {
    const kept = newestOutcomes([known(1, 'committed'), ...voids(2, 5_000)]);
    expect(kept).toHaveLength(4_096);
    expect(kept[0]?.version).toBe(1);
    expect(kept[1]?.version).toBe(5_001 - 4_094);
    expect(kept.at(-1)?.version).toBe(5_001);
    expect(newestOutcomes(voids(1, 5_000))).toEqual(voids(905, 4_096));
  });
});
