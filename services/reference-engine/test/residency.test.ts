import { ExpertMapping } from '@isobar/eplb';
import { beforeEach, describe, expect, it } from 'vitest';
import { Residency } from '../src/residency.js';

function mapping(physicalToLogical: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 2, 4),
    physicalToLogical: Int32Array.from(physicalToLogical),
  });
}
const start = mapping([0, 1, 2, 3]);
const target = mapping([1, 2, 0, 3]);

describe.each(['two-table', 'in-place'] as const)('residency, %s', (activation) => {
  let residency: Residency;

  const fill = (experts: ReturnType<Residency['stage']>) => {
    for (const { expert, weights } of experts) weights.fill(expert + 1);
  };
  const served = (version: number, slot: number, expert: number) =>
    residency.weights(version, 0, slot, expert)?.[0] ?? null;

  beforeEach(() => {
    const spares = { spareBuffers: 2, reserveBuffers: 1 };
    residency = new Residency({ rank: 0, activation, ...spares, startMapping: start });
    fill(residency.startExperts());
  });

  it('serves staged weights only once they are verified, and the old ones beside them', () => {
    const incoming = residency.stage(1, target, 'rebalance');
    expect(incoming.map(({ slot, expert }) => [slot, expert])).toEqual([[1, 2]]);
    fill(incoming);
    expect(served(1, 1, 2)).toBeNull();
    residency.serve(1);
    expect([served(1, 0, 1), served(1, 1, 2)]).toEqual([2, 3]);
    expect([served(0, 0, 0), served(0, 1, 1)]).toEqual([1, 2]);
  });

  it('serves the target after the switch, and frees every buffer that nothing names', () => {
    fill(residency.stage(1, target, 'rebalance'));
    residency.serve(1);
    residency.switchTo(1);
    expect([served(1, 0, 1), served(1, 1, 2)]).toEqual([2, 3]);
    residency.retire(1);
    expect(served(0, 0, 0)).toBeNull();
    expect(residency.freeBuffers).toBe(2);
  });

  it('takes a void version back whole', () => {
    fill(residency.stage(1, target, 'rebalance'));
    residency.discard(1);
    expect(residency.freeBuffers).toBe(2);
    expect([served(0, 0, 0), served(0, 1, 1)]).toEqual([1, 2]);
  });

  it('never stages into the reserve', () => {
    expect(() => residency.stage(1, mapping([2, 3, 0, 1]), 'rebalance')).toThrow(
      expect.objectContaining({ code: 'ISOBAR_ENGINE_NO_SPARE_BUFFERS' }),
    );
    expect(residency.freeBuffers).toBe(2);
  });

  it('refuses a token for an expert that the slot does not hold', () => {
    expect(served(0, 0, 1)).toBeNull();
    expect(served(0, 2, 2)).toBeNull();
    expect(served(5, 0, 0)).toBeNull();
  });
});
