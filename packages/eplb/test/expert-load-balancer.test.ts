import {
  DefaultEplbPolicy,
  ExpertLoadBalancer,
  ExpertMapping,
  LocalityAwarePolicy,
} from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

function mapping(...row: number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 3, 6),
    physicalToLogical: Int32Array.from(row),
  });
}

const start = mapping(0, 1, 2, 3, 0, -1);

function balancer(windowPassesMax?: number): ExpertLoadBalancer {
  const policy = new LocalityAwarePolicy();
  return new ExpertLoadBalancer(
    windowPassesMax === undefined
      ? { policy, mapping: start }
      : { policy, mapping: start, windowPassesMax },
  );
}

describe('ExpertLoadBalancer', () => {
  it('plans nothing before the first pass', () => {
    const fresh = balancer();
    fresh.recordLogicalLoad(Float64Array.of(1, 1, 1, 1));
    expect(fresh.averageLoad()).toBeNull();
    expect(fresh.stats()).toEqual({ passes: 0, balancedness: 0, imbalance: 1 });
    expect(() => fresh.rebalance()).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_NO_LOADS' }),
    );
  });

  it('adds what an expert served in all its slots, and nothing of an empty one', () => {
    expect([...balancer().logicalLoads(Float64Array.of(1, 2, 3, 4, 10, 99))]).toEqual([
      11, 2, 3, 4,
    ]);
  });

  it('reads loads of slots by the mapping that they were served under', () => {
    const served = balancer();
    served.recordLoad(Float64Array.of(8, 0, 0, 0, 4, 0));
    served.applyMapping(mapping(1, 0, 2, 3, 1, -1));
    served.recordLoad(Float64Array.of(0, 2, 0, 0, 0, 0));
    served.advanceWindow();
    expect([...(served.averageLoad() ?? [])]).toEqual([14, 0, 0, 0]);
    expect(served.mapping.getLogicalExpert(0, 0)).toBe(1);
  });

  it('keeps as much of its window as it is told, and plans by the policy of the moment', () => {
    const served = balancer(3);
    for (const load of [1, 2, 3]) {
      served.recordLogicalLoad(Float64Array.of(load, 0, 0, 0));
      served.advanceWindow();
    }
    served.useWindow(2);
    expect(served.stats().passes).toBe(2);
    served.useWindow(4);
    for (const _ of [1, 2, 3]) served.advanceWindow();
    expect(served.stats().passes).toBe(4);
    expect(() => served.useWindow(0)).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_OPTIONS_INVALID' }),
    );
    served.usePolicy(new DefaultEplbPolicy());
    expect(served.policy.name).toBe('default');
  });

  it('refuses loads of another shape', () => {
    for (const slots of [5, 7]) {
      expect(() => balancer().recordLoad(new Float64Array(slots))).toThrow(
        expect.objectContaining({ code: 'ISOBAR_EPLB_LOADS_SHAPE' }),
      );
    }
    expect(() => balancer().recordLogicalLoad(new Float64Array(6))).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_LOADS_SHAPE' }),
    );
  });

  it('tells of the passes in its window', () => {
    const watched = balancer(2);
    for (const loads of [
      [100, 0, 0, 0],
      [4, 3, 0, 3],
      [4, 3, 0, 3],
    ]) {
      watched.recordLogicalLoad(Float64Array.from(loads));
      watched.advanceWindow();
    }
    // Rank loads of two passes: 4 + 6 and 6 + 4.
    expect(watched.stats()).toEqual({ passes: 2, balancedness: 1, imbalance: 1 });
    watched.recordLogicalLoad(Float64Array.of(4, 23, 0, 3));
    watched.advanceWindow();
    // 4 + 26 and 4 + 6.
    expect(watched.stats()).toEqual({ passes: 2, balancedness: 20 / 30, imbalance: 1.5 });
  });

  it('asks its policy for its mapping and forecast, and with what the caller adds', () => {
    const planner = balancer();
    planner.recordLogicalLoad(Float64Array.of(90, 1, 1, 30));
    planner.advanceWindow();
    const request = planner.request({ maxMoves: 1, numNodes: 2 });
    expect(request).toMatchObject({
      numLayers: 1,
      numLogicalExperts: 4,
      slotOffsets: start.slotOffsets,
      loads: planner.averageLoad(),
      maxMoves: 1,
      numNodes: 2,
    });
    expect(request.currentMapping).toBe(start);
    const { mapping: planned, report } = planner.rebalance({ maxMoves: 1 });
    expect(report.moves).toBeLessThanOrEqual(1);
    expect(
      planned.equals(planner.policy.rebalanceExperts({ ...request, numNodes: 1 }).mapping),
    ).toBe(true);
  });

  it('keeps its mapping until it is told to apply another', () => {
    const planner = new ExpertLoadBalancer({ policy: new DefaultEplbPolicy(), mapping: start });
    planner.recordLogicalLoad(Float64Array.of(90, 1, 1, 30));
    planner.advanceWindow();
    const { mapping: planned } = planner.rebalance();
    expect(planned.equals(start)).toBe(false);
    expect(planner.mapping).toBe(start);
    planner.applyMapping(planned);
    expect(planner.mapping).toBe(planned);
  });
});
