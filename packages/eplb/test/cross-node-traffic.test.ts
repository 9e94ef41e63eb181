import { crossNodeFraction, ExpertMapping } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

/** Two experts on 4 ranks of 1 slot: expert 0 on ranks 0 and 3, expert 1 on ranks 1 and 2. */
const mapping = ExpertMapping.create({
  numLayers: 1,
  numLogicalExperts: 2,
  slotOffsets: Int32Array.of(0, 1, 2, 3, 4),
  physicalToLogical: Int32Array.of(0, 1, 1, 0),
});

describe('crossNodeFraction', () => {
  it('counts, for each source and replica alike, the pairs in different domains', () => {
    const domains = Int32Array.of(0, 0, 0, 1);
    // Expert 0: to rank 0 from 1 of 4 ranks, to rank 3 from 3 of 4; expert 1: from 1 of 4.
    expect(crossNodeFraction(mapping, Float64Array.of(30, 10), domains)).toBeCloseTo(
      (15 * 0.25 + 15 * 0.75 + 10 * 0.25) / 40,
      12,
    );
  });

  it('is 1 − 1 ÷ nodes on even nodes, whatever the mapping', () => {
    expect(crossNodeFraction(mapping, Float64Array.of(7, 1), Int32Array.of(5, 5, 9, 9))).toBe(0.5);
  });

  it('is 0 in one domain, and when idle', () => {
    expect(crossNodeFraction(mapping, Float64Array.of(1, 1), new Int32Array(4))).toBe(0);
    expect(crossNodeFraction(mapping, new Float64Array(2), Int32Array.of(0, 0, 1, 1))).toBe(0);
  });
});
