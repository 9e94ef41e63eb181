import { type RouteSample, RouteWindow, sourceLoadsOfRoutes } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

/** Routes of 2 layers and 2 experts a token, told apart by number: entry i of route n is 10 n + i. */
function routes(...numbers: number[]): RouteSample {
  return {
    numRoutes: numbers.length,
    topK: 2,
    experts: Int16Array.from(numbers.flatMap((n) => [10 * n, 10 * n + 1, 10 * n + 2, 10 * n + 3])),
    sourceRanks: Int32Array.from(numbers),
  };
}

function windowOf(routesMax: number, ...added: readonly RouteSample[]): RouteWindow {
  const window = new RouteWindow(2, routesMax);
  for (const sample of added) window.add(sample);
  return window;
}

describe('RouteWindow', () => {
  it('has nothing before the first route', () => {
    expect(new RouteWindow(2).routes).toBeNull();
    expect(windowOf(4, routes()).routes).toBeNull();
  });

  it('keeps routes in order of arrival, and where each window began', () => {
    expect(windowOf(9, routes(1, 2), routes(3), routes(4, 5)).routes).toEqual({
      ...routes(1, 2, 3, 4, 5),
      windowOffsets: Int32Array.of(0, 2, 3, 5),
    });
  });

  it('lets the oldest fall out, one by one, and windows of which nothing is left', () => {
    const added = [routes(1, 2), routes(3, 4), routes(5, 6)];
    expect(windowOf(5, ...added).routes).toEqual({
      ...routes(2, 3, 4, 5, 6),
      windowOffsets: Int32Array.of(0, 1, 3, 5),
    });
    expect(windowOf(4, ...added).routes).toEqual({
      ...routes(3, 4, 5, 6),
      windowOffsets: Int32Array.of(0, 2, 4),
    });
    expect(windowOf(3, ...added, routes(7)).routes).toEqual({
      ...routes(5, 6, 7),
      windowOffsets: Int32Array.of(0, 2, 3),
    });
  });

  it('keeps the newest of a window that has more than fit, and nothing older', () => {
    for (const before of [[], [routes(1, 2)]]) {
      expect(windowOf(2, ...before, routes(3, 4, 5)).routes).toEqual({
        ...routes(4, 5),
        windowOffsets: Int32Array.of(0, 2),
      });
    }
  });

  it('takes no notice of a window without routes', () => {
    const window = windowOf(9, routes(), routes(1, 2), routes(), routes(3), routes());
    expect(window.routes).toEqual({ ...routes(1, 2, 3), windowOffsets: Int32Array.of(0, 2, 3) });
  });

  it('keeps what it was told when the caller goes on using its arrays', () => {
    const told = routes(1, 2);
    const window = windowOf(9, told);
    told.experts.fill(-1);
    told.sourceRanks.fill(-1);
    expect(window.routes).toMatchObject(routes(1, 2));
  });
});

describe('sourceLoadsOfRoutes', () => {
  it('counts tokens by layer, source rank and expert', () => {
    const sample = {
      numRoutes: 3,
      topK: 2,
      // Two layers of each token.
      experts: Int16Array.of(0, 2, 1, 2, 0, 1, 2, 1, 2, -1, 0, 1),
      sourceRanks: Int32Array.of(1, 0, 1),
    };
    const shape = { numLayers: 2, numRanks: 2, numLogicalExperts: 3 };
    expect([...sourceLoadsOfRoutes(sample, shape)]).toEqual(
      [
        [1, 1, 0],
        [1, 0, 2],
        [0, 1, 1],
        [1, 2, 1],
      ].flat(),
    );
  });

  it('leaves out routes of unknown source', () => {
    const sample = { ...routes(0), experts: Int16Array.of(0, 1, 1, 2) };
    const shape = { numLayers: 2, numRanks: 1, numLogicalExperts: 3 };
    expect([...sourceLoadsOfRoutes(sample, shape)]).toEqual([1, 1, 0, 0, 1, 1]);
    const unknown = { ...sample, sourceRanks: Int32Array.of(-1) };
    expect([...sourceLoadsOfRoutes(unknown, shape)]).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
