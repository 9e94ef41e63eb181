import {
  balancedness,
  crossNodeFraction,
  crossNodeTraffic,
  type DispatchTable,
  dispatchRankLoads,
  ExpertMapping,
  LocalityAwarePolicy,
  type RebalanceRequest,
  RouteWindow,
  sourceLoadsOfRoutes,
  uniformDispatch,
} from '@isobar/eplb';
import { describe, expect, it } from 'vitest';
import { clusterOf } from './routes.js';

const shape = { numLayers: 2, numLogicalExperts: 8, numRanks: 4 };
const { numLayers, numLogicalExperts, numRanks } = shape;
const topology = clusterOf(numRanks, 2);
const topK = 2;
/** Every expert twice: once in each domain. */
const currentMapping = ExpertMapping.contiguous({ ...shape, numPhysicalExperts: 16 });

/** 128 tokens that ask for all experts alike, from the given ranks in turn. */
function routesFrom(...ranks: readonly number[]) {
  const numRoutes = 128;
  return {
    numRoutes,
    topK,
    experts: Int16Array.from({ length: numRoutes * numLayers * topK }, (_, at) => {
      const pair = (at >> 2) % 4;
      return at % 2 === 0 ? pair : pair + 4;
    }),
    sourceRanks: Int32Array.from(
      { length: numRoutes },
      (_, token) => ranks[token % ranks.length] ?? -1,
    ),
  };
}

function requestOf(
  windows: readonly (readonly number[])[],
  changes: Partial<RebalanceRequest> = {},
): RebalanceRequest {
  const seen = new RouteWindow(numLayers);
  for (const ranks of windows) seen.add(routesFrom(...ranks));
  const { routes } = seen;
  if (routes === null) throw new Error('there are no windows');
  return {
    numLayers,
    numLogicalExperts,
    slotOffsets: currentMapping.slotOffsets,
    loads: new Float64Array(numLayers * numLogicalExperts).fill(100),
    currentMapping,
    topology,
    replicaChoice: 'weighted',
    routes,
    sourceLoads: sourceLoadsOfRoutes(routes, shape),
    ...changes,
  };
}

function planOf(request: RebalanceRequest) {
  const { mapping, dispatch } = new LocalityAwarePolicy().rebalanceExperts(request);
  if (dispatch === null) throw new Error('the plan has no dispatch');
  return { mapping, dispatch };
}

/** Shares of a layer's source rank, [slots]. */
function sharesOf({ shares, numPhysicalExperts }: DispatchTable, layer: number, rank: number) {
  const first = (layer * numRanks + rank) * numPhysicalExperts;
  return shares.subarray(first, first + numPhysicalExperts);
}

/** Loads of every expert that all come from one rank. */
function loadsFrom(rank: number): Float64Array {
  const loads = new Float64Array(numLayers * numRanks * numLogicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const first = (layer * numRanks + rank) * numLogicalExperts;
    loads.fill(100, first, first + numLogicalExperts);
  }
  return loads;
}

const inTurn = [
  [0, 1],
  [2, 3],
  [0, 1],
  [2, 3],
];
const alike = [
  [0, 1, 2, 3],
  [0, 1, 2, 3],
  [0, 1, 2, 3],
];

describe('sources that change from window to window', () => {
  it('all have the same shares, and where tokens come from does not show in rank loads', () => {
    const { mapping, dispatch } = planOf(requestOf(inTurn));
    for (let layer = 0; layer < numLayers; layer += 1) {
      for (let rank = 1; rank < numRanks; rank += 1) {
        expect(sharesOf(dispatch, layer, rank)).toEqual(sharesOf(dispatch, layer, 0));
      }
    }
    const from0 = dispatchRankLoads(mapping, dispatch, loadsFrom(0));
    for (let rank = 1; rank < numRanks; rank += 1) {
      expect(dispatchRankLoads(mapping, dispatch, loadsFrom(rank))).toEqual(from0);
    }
    expect(balancedness(from0, numLayers, numRanks)).toBeGreaterThan(0.97);
  });

  it('still have experts brought together that share tokens', () => {
    // Planned from nothing, so that moves cost nothing.
    const { currentMapping: _, ...request } = requestOf(inTurn, {
      slotOffsets: Int32Array.of(0, 2, 4, 6, 8),
    });
    const { mapping, dispatch } = planOf(request);
    // Experts n and n + 4 share every token: in one domain, it is visited by half the tokens only.
    for (let layer = 0; layer < numLayers; layer += 1) {
      for (let expert = 0; expert < 4; expert += 1) {
        const [domain, other] = [expert, expert + 4].map(
          (one) =>
            topology.fastDomains[
              mapping.rankOfSlot(mapping.getPhysicalExperts(layer, one)[0] ?? 0)
            ],
        );
        expect(domain).toBe(other);
      }
    }
    const { routes } = request;
    if (routes === undefined) throw new Error('there are no routes');
    expect(crossNodeTraffic(mapping, dispatch, routes, topology.fastDomains)).toBeCloseTo(0.5, 2);
  });

  it('keep ranks that are out without load', () => {
    const { mapping, dispatch } = planOf(requestOf(inTurn, { unavailableRanks: [2] }));
    for (let rank = 0; rank < numRanks; rank += 1) {
      const loads = dispatchRankLoads(mapping, dispatch, loadsFrom(rank));
      expect(loads[2]).toBe(0);
      expect(loads.subarray(0, numRanks).reduce((sum, load) => sum + load, 0)).toBeCloseTo(800, 3);
    }
  });
});

describe('sources that are steady', () => {
  it.each([
    ['alike in every window', alike],
    ['known of one window alone', [[0, 1, 2, 3]]],
  ])('%s are served in their own domain', (_, windows) => {
    const request = requestOf(windows);
    const { mapping, dispatch } = planOf(request);
    const { sourceLoads, routes } = request;
    if (sourceLoads === undefined || routes === undefined) throw new Error('sources are unknown');
    const crossing = (table: DispatchTable) =>
      crossNodeFraction(mapping, table, sourceLoads, topology.fastDomains);
    expect(crossing(uniformDispatch(mapping))).toBeCloseTo(0.5, 6);
    expect(crossing(dispatch)).toBeLessThan(0.05);
    expect(sharesOf(dispatch, 0, 0)).not.toEqual(sharesOf(dispatch, 0, 3));
    const rankLoads = dispatchRankLoads(mapping, dispatch, sourceLoads);
    expect(balancedness(rankLoads, numLayers, numRanks)).toBeGreaterThan(0.97);
  });

  it('are taken for that where one window alone is known, even if its tokens come from few', () => {
    const sourceLoads = new Float64Array(numLayers * numRanks * numLogicalExperts).fill(1);
    const { dispatch } = planOf(requestOf([[0, 1]], { sourceLoads }));
    expect(sharesOf(dispatch, 0, 0)).not.toEqual(sharesOf(dispatch, 0, 3));
    const again = planOf(
      requestOf(
        [
          [0, 1],
          [0, 1],
        ],
        { sourceLoads },
      ),
    );
    expect(sharesOf(again.dispatch, 0, 0)).toEqual(sharesOf(again.dispatch, 0, 3));
  });
});
