import { balancedness } from '../balancedness.js';
import { dispatchRankLoads } from '../dispatch/dispatch-metrics.js';
import { uniformDispatch } from '../dispatch/dispatch-table.js';
import { BALANCE_LOSS_MAX, planDispatch } from '../dispatch/plan-dispatch.js';
import type { LocalityRequest } from './improve-locality.js';
import type { RouteSample } from './route-sample.js';
import { sourceLoadsOfRoutes } from './route-window.js';

/**
 * Whether shares that favour a source's own domain would have kept their balance in the windows
 * that are known. Where most of a window's tokens come from few domains, and from others in the
 * next, such shares overload the domains whose turn it is. A sample of one window tells nothing
 * against them.
 */
export function areSourcesSteady(request: LocalityRequest): boolean {
  const { mapping, routes } = request;
  if (routes?.windowOffsets === undefined || routes.windowOffsets.length < 3) return true;
  const own = planDispatch(request);
  const alike = uniformDispatch(mapping);
  let loss = 0;
  const windows = routes.windowOffsets.length - 1;
  for (let window = 0; window < windows; window += 1) {
    const sourceLoads = sourceLoadsOfRoutes(windowOf(routes, window), mapping);
    const under = (dispatch: typeof own) =>
      balancedness(
        dispatchRankLoads(mapping, dispatch, sourceLoads),
        mapping.numLayers,
        mapping.numRanks,
      );
    loss += (under(alike) - under(own)) / windows;
  }
  return loss <= 2 * (request.balanceLossMax ?? BALANCE_LOSS_MAX);
}

function windowOf(routes: RouteSample, window: number): RouteSample {
  const { numRoutes, topK, experts, sourceRanks, windowOffsets = Int32Array.of(0) } = routes;
  const first = windowOffsets[window];
  const last = windowOffsets[window + 1];
  const perRoute = numRoutes === 0 ? 0 : experts.length / numRoutes;
  return {
    numRoutes: last - first,
    topK,
    experts: experts.subarray(first * perRoute, last * perRoute),
    sourceRanks: sourceRanks.subarray(first, last),
  };
}
