import {
  closedSlots,
  DefaultEplbPolicy,
  ExpertMapping,
  keepSlots,
  LocalityAwarePolicy,
  planEvacuation,
  planWaves,
  type RebalanceRequest,
  revalidateMapping,
  uniformSlotOffsets,
} from '@isobar/eplb';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const slotOffsets = uniformSlotOffsets(12, 3);

function mappingOf(row: readonly number[], numLogicalExperts = 6): ExpertMapping {
  const physicalToLogical = Int32Array.from(row);
  return ExpertMapping.create({ numLayers: 1, numLogicalExperts, slotOffsets, physicalToLogical });
}

const full = mappingOf([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);

/** Rank 1 offers 2 of its 4 slots: 6 and 7 are closed. */
const limits = { slotOffsets, usableSlots: Int32Array.of(4, 2, 4) };

describe('slots that a rank does not offer', () => {
  it('are the last of the rank', () => {
    expect([...closedSlots(limits)]).toEqual([6, 7]);
    expect([...closedSlots({ slotOffsets })]).toEqual([]);
    expect([...closedSlots({ slotOffsets, usableSlots: Int32Array.of(9, 4, 0) })]).toEqual([
      8, 9, 10, 11,
    ]);
  });

  describe.each([new DefaultEplbPolicy(), new LocalityAwarePolicy()])(
    'in the plan of $name',
    (policy) => {
      const request: RebalanceRequest = {
        numLayers: 1,
        numLogicalExperts: 6,
        ...limits,
        loads: Float64Array.of(90, 10, 30, 30, 20, 60),
      };

      it.each([
        ['from nothing', {}],
        ['from a mapping that uses them', { currentMapping: full }],
        ['with no move to spare', { currentMapping: full, maxMoves: 0 }],
        ['by a dispatch', { currentMapping: full, replicaChoice: 'weighted' as const }],
        ['where they are pinned', { currentMapping: full, pinnedSlots: [7] }],
      ])('end empty: %s', (_, more) => {
        if (policy.name === 'default' && 'pinnedSlots' in more) return;
        const { mapping, report } = policy.rebalanceExperts({ ...request, ...more });
        expect([...mapping.row(0).subarray(6, 8)]).toEqual([-1, -1]);
        for (const [layer, bound] of report.lowerBound.entries()) {
          expect(report.largestRankLoads[layer]).toBeGreaterThanOrEqual(bound - 1e-6);
        }
      });

      it('leave a rank out that offers none', () => {
        const usableSlots = Int32Array.of(4, 0, 4);
        const { mapping } = policy.rebalanceExperts({ ...request, usableSlots });
        expect([...mapping.row(0).subarray(4, 8)]).toEqual([-1, -1, -1, -1]);
      });
    },
  );

  it('are as many of every rank as of the one that offers least, for the default policy', () => {
    const request = { numLayers: 1, numLogicalExperts: 5, slotOffsets, loads: new Float64Array(5) };
    const policy = new DefaultEplbPolicy();
    const { mapping } = policy.rebalanceExperts({ ...request, ...limits });
    expect([...mapping.row(0)].filter((expert) => expert >= 0)).toHaveLength(6);
    expect(() =>
      policy.rebalanceExperts({ ...request, usableSlots: Int32Array.of(4, 1, 4) }),
    ).toThrowError(
      expect.objectContaining({ code: 'ISOBAR_EPLB_SIZES', fields: { field: 'usableSlots' } }),
    );
  });
});

describe('an evacuation of slots', () => {
  const leavingSlots = closedSlots(limits);
  const request = {
    outRanks: [],
    leavingRanks: [],
    closedSlots: leavingSlots,
    leavingSlots,
    maxIncomingPerRank: new Int32Array(3).fill(2),
  };

  it('only empties what has a replica elsewhere', () => {
    const plan = planEvacuation({ ...request, current: full });
    expect(plan).toMatchObject({ kind: 'waves', waves: [{ transfers: [] }] });
    if (plan.kind !== 'waves') return;
    expect([...(plan.waves[0]?.mapping.row(0) ?? [])]).toEqual([
      0, 1, 2, 3, 4, 5, -1, -1, 2, 3, 4, 5,
    ]);
  });

  it('keeps an expert on its rank, in place of a replica, where nothing need travel', () => {
    const current = mappingOf([0, 1, 2, 3, 4, 0, 5, 1, 2, 3, 4, 0]);
    const plan = planEvacuation({ ...request, current });
    if (plan.kind !== 'waves') throw new Error('degraded');
    const [wave] = plan.waves;
    expect(wave?.transfers).toEqual([]);
    expect(wave?.mapping.holds(0, 1, 5)).toBe(true);
    expect([...(wave?.mapping.row(0).subarray(6, 8) ?? [])]).toEqual([-1, -1]);
  });

  it('takes as many waves as spare buffers ask for, and keeps every expert in each', () => {
    const current = mappingOf([0, 1, 0, 1, 2, 3, 4, 5, 0, 1, 0, 1]);
    const maxIncomingPerRank = Int32Array.of(1, 0, 0);
    const plan = planEvacuation({ ...request, current, maxIncomingPerRank });
    if (plan.kind !== 'waves') throw new Error('degraded');
    expect(plan.waves).toHaveLength(2);
    expect([...(plan.waves[1]?.mapping.row(0).subarray(6, 8) ?? [])]).toEqual([-1, -1]);
  });

  it('is degraded with fewer usable slots than experts', () => {
    const tight = { slotOffsets, usableSlots: Int32Array.of(2, 2, 1) };
    const closed = closedSlots(tight);
    expect(
      planEvacuation({ ...request, current: full, closedSlots: closed, leavingSlots: closed }),
    ).toMatchObject({ kind: 'degraded', lacks: 'slots', liveSlots: 5 });
  });

  it('of a rank fills no closed slot, and leaves what is in one', () => {
    const current = mappingOf([0, 1, 2, 3, 4, 5, 4, -1, 0, 1, 0, 1]);
    const plan = planEvacuation({
      ...request,
      current,
      leavingRanks: [0],
      leavingSlots: new Int32Array(0),
    });
    if (plan.kind !== 'waves') throw new Error('degraded');
    const last = plan.waves.at(-1)?.mapping.row(0);
    expect([...(last?.subarray(6, 8) ?? [])]).toEqual([4, -1]);
  });
});

describe('an earlier mapping, had again', () => {
  it('has nothing in closed slots', () => {
    const current = mappingOf([0, 1, 2, 3, 4, 5, -1, -1, 2, 3, 4, 5]);
    const room = { memberRanks: [0, 1, 2], closedSlots: closedSlots(limits) };
    const earlier = mappingOf([0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 4, 5]);
    const again = revalidateMapping(earlier, room, current);
    if (again.kind !== 'mapping') throw new Error('degraded');
    expect([...again.mapping.row(0).subarray(6, 8)]).toEqual([-1, -1]);
  });
});

describe('slots that are empty before and after a rebalance', () => {
  it('stay so, whatever moves within the rank', () => {
    const from = mappingOf([-1, 1, -1, 3, 4, 5, 0, 2, 2, 3, 4, 5]);
    const to = mappingOf([1, 3, -1, 2, 4, 5, 0, 2, 2, 3, 4, 5]);
    expect(keepSlots(from, to).getLogicalExpert(0, 2)).toBe(-1);
  });

  it('are filled by no wave where they are closed', () => {
    const row = fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 12, maxLength: 12 });
    const sizes = { closed: fc.integer({ min: 1, max: 2 }), limit: fc.integer({ min: 1, max: 2 }) };
    fc.assert(
      fc.property(fc.record({ ...sizes, before: row, after: row }), (drawn) => {
        const { closed, limit } = drawn;
        const from = mappingOf(withClosed(drawn.before, closed), 4);
        const to = mappingOf(withClosed(drawn.after, closed), 4);
        const maxIncomingPerRank = new Int32Array(3).fill(limit);
        for (const wave of planWaves(from, to, { maxIncomingPerRank })) {
          wave.row(0).forEach((expert, slot) => {
            if (slot % 4 >= 4 - closed) expect(expert).toBe(-1);
          });
        }
      }),
    );
  });
});

/** With all of four experts in it, and the last slots of each rank empty. */
function withClosed(row: readonly number[], closed: number): number[] {
  return row.map((expert, slot) => {
    if (slot % 4 >= 4 - closed) return -1;
    return slot % 4 < 2 && slot < 8 ? Math.floor(slot / 4) * 2 + (slot % 4) : expert;
  });
}
