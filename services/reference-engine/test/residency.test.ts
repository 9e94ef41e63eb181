import { ExpertMapping } from '@isobar/eplb';
import { beforeEach, describe, expect, it } from 'vitest';
import { Residency } from '../src/residency.js';

/** Of ranks 0 and 1; a third rank, which has all experts, makes any of it valid. */
function mapping(physicalToLogical: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 2, 4, 8),
    physicalToLogical: Int32Array.from([...physicalToLogical, 0, 1, 2, 3]),
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

  it('gives memory back that it does not offer, once no version names its slot', () => {
    residency.offer(1);
    expect(residency.heldBuffers).toBe(4);
    expect([served(0, 0, 0), served(0, 1, 1)]).toEqual([1, 2]);
    residency.stage(1, mapping([1, -1, 2, 3]), 'drain');
    residency.serve(1);
    residency.switchTo(1);
    // In place nothing of the version before is left.
    expect(residency.heldBuffers).toBe(activation === 'in-place' ? 3 : 4);
    residency.retire(1);
    expect([residency.heldBuffers, residency.freeBuffers]).toEqual([3, 2]);
    expect([served(1, 0, 1), served(1, 1, 1), served(0, 1, 1)]).toEqual([2, null, null]);
    residency.offer(2);
    expect(residency.heldBuffers).toBe(4);
    fill(residency.stage(2, mapping([1, 0, 2, 3]), 'rebalance'));
    residency.serve(2);
    residency.switchTo(2);
    expect([served(2, 0, 1), served(2, 1, 0)]).toEqual([2, 1]);
  });

  it('gives memory back of an engine that joins and offers less', () => {
    residency.offer(1);
    residency.join();
    expect([residency.heldBuffers, residency.freeBuffers]).toEqual([3, 3]);
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

  it('lets an evacuation have the reserve', () => {
    const incoming = residency.stage(1, mapping([2, 3, 0, 1]), 'evacuation');
    expect(incoming.map(({ slot, expert }) => [slot, expert])).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect(residency.freeBuffers).toBe(0);
  });

  it('gives a peer what any version names, once it is verified', () => {
    const given = (expert: number) => residency.weightsOfExpert(0, expert)?.[0] ?? null;
    fill(residency.stage(1, target, 'rebalance'));
    expect([given(0), given(1), given(2), given(3)]).toEqual([1, 2, null, null]);
    residency.serve(1);
    expect(given(2)).toBe(3);
  });

  it('has its whole memory for the version that lists it, where it joins', () => {
    residency.join();
    expect(served(0, 0, 0)).toBeNull();
    expect(residency.freeBuffers).toBe(4);
    const whole = mapping([1, 2, 0, 3]);
    const incoming = residency.stage(5, whole, 'membership');
    // Expert 1 was read at the start and counts for nothing, but need not be brought.
    expect(incoming.map(({ slot, expert }) => [slot, expert])).toEqual([[1, 2]]);
    fill(incoming);
    residency.serve(5);
    residency.switchTo(5);
    expect([served(5, 0, 1), served(5, 1, 2), served(0, 0, 0)]).toEqual([2, 3, null]);
    expect(residency.freeBuffers).toBe(2);
  });

  it('stages more than its spare buffers hold, where it joins with all its slots', () => {
    const spares = { spareBuffers: 1, reserveBuffers: 1 };
    const joining = new Residency({ rank: 0, activation, ...spares, startMapping: start });
    fill(joining.startExperts());
    joining.join();
    fill(joining.stage(5, mapping([2, 3, 0, 1]), 'membership'));
    joining.serve(5);
    joining.switchTo(5);
    expect([joining.weights(5, 0, 0, 2)?.[0], joining.weights(5, 0, 1, 3)?.[0]]).toEqual([3, 4]);
    expect(joining.freeBuffers).toBe(1);
  });

  it('joins with empty slots, which a later version fills', () => {
    residency.join();
    expect(residency.stage(5, mapping([-1, -1, 0, 1]), 'membership')).toEqual([]);
    residency.serve(5);
    residency.switchTo(5);
    fill(residency.stage(6, mapping([2, -1, 0, 1]), 'rebalance'));
    residency.serve(6);
    residency.switchTo(6);
    expect(served(6, 0, 2)).toBe(3);
  });

  it('refuses a token for an expert that the slot does not hold', () => {
    expect(served(0, 0, 1)).toBeNull();
    expect(served(0, 2, 2)).toBeNull();
    expect(served(5, 0, 0)).toBeNull();
  });
});

describe('residency, two-table, before the old buffers are retired', () => {
  it('stages what one of them still holds without bringing it again', () => {
    const spares = { spareBuffers: 3, reserveBuffers: 1 };
    const options = { rank: 0, activation: 'two-table', ...spares, startMapping: start } as const;
    const residency = new Residency(options);
    for (const { expert, weights } of residency.startExperts()) weights.fill(expert + 1);
    for (const { weights } of residency.stage(1, target, 'rebalance')) weights.fill(3);
    residency.serve(1);
    residency.switchTo(1);
    expect(residency.weightsOfExpert(0, 0)?.[0]).toBe(1);
    const back = residency.stage(2, mapping([0, 2, 1, 3]), 'evacuation');
    expect(back).toEqual([]);
    residency.serve(2);
    residency.switchTo(2);
    residency.retire(2);
    expect(residency.weights(2, 0, 0, 0)?.[0]).toBe(1);
    expect(residency.freeBuffers).toBe(3);
  });
});
