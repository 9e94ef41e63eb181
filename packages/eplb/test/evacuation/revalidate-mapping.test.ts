import { ExpertMapping, revalidateMapping } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

function mappingOf(numLogicalExperts: number, slots: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts,
    slotOffsets: Int32Array.from({ length: slots.length / 2 + 1 }, (_, rank) => rank * 2),
    physicalToLogical: Int32Array.from(slots),
  });
}

describe('an earlier mapping, had again', () => {
  const earlier = mappingOf(3, [0, 1, 2, 0, 1, 2]);

  it('is itself where its members are still there', () => {
    const current = mappingOf(3, [1, 0, 2, 0, 1, 2]);
    const again = revalidateMapping(earlier, { memberRanks: [0, 1, 2] }, current);
    expect(again).toMatchObject({ kind: 'mapping' });
    if (again.kind === 'mapping') expect(again.mapping.equals(earlier)).toBe(true);
  });

  it('empties ranks that are out, and places what would be missing where it is now', () => {
    const only = mappingOf(3, [0, 1, 2, 0, 1, 0]);
    const current = mappingOf(3, [0, 1, -1, -1, 1, 2]);
    const again = revalidateMapping(only, { memberRanks: [0, 2] }, current);
    if (again.kind !== 'mapping') throw new Error('degraded');
    expect([...again.mapping.row(0)].slice(2, 4)).toEqual([-1, -1]);
    expect(again.mapping.holds(0, 2, 2)).toBe(true);
  });

  it('can not be had with fewer slots than experts', () => {
    const current = mappingOf(3, [0, 1, 2, -1, -1, -1]);
    expect(revalidateMapping(earlier, { memberRanks: [0] }, current)).toMatchObject({
      kind: 'degraded',
      lacks: 'slots',
    });
  });

  it('can not be had in another shape', () => {
    const other = mappingOf(2, [0, 1, 0, 1, 0, 1]);
    expect(() => revalidateMapping(earlier, { memberRanks: [0, 1, 2] }, other)).toThrowError(
      expect.objectContaining({ code: 'ISOBAR_EPLB_MAPPING_SHAPE' }),
    );
  });
});
