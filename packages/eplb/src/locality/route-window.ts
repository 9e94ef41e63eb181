import type { RouteSample } from './route-sample.js';

/** The newest routes that were told of, up to a limit, and what they say of sources. */
export class RouteWindow {
  readonly #numLayers: number;
  readonly #routesMax: number;
  #routes: RouteSample | null = null;

  /** @param routesMax routes that are kept; the oldest fall out. @default 16,384 */
  constructor(numLayers: number, routesMax = 16_384) {
    this.#numLayers = numLayers;
    this.#routesMax = routesMax;
  }

  /** Takes in the routes of one window, all of one number of experts a token; none change nothing. */
  add(newest: RouteSample): void {
    if (newest.numRoutes === 0) return;
    const { topK } = newest;
    const added = this.#last(newest, this.#routesMax);
    const kept: RouteSample = this.#routes ?? this.#last(newest, 0);
    const older = this.#last(kept, this.#routesMax - added.numRoutes);
    const numRoutes = older.numRoutes + added.numRoutes;
    const experts = new Int16Array(older.experts.length + added.experts.length);
    experts.set(older.experts);
    experts.set(added.experts, older.experts.length);
    const sourceRanks = new Int32Array(numRoutes);
    sourceRanks.set(older.sourceRanks);
    sourceRanks.set(added.sourceRanks, older.numRoutes);
    const dropped = kept.numRoutes - older.numRoutes;
    const offsets = [...(kept.windowOffsets ?? [0])].map((offset) => Math.max(0, offset - dropped));
    const windowOffsets = Int32Array.from([...new Set(offsets), numRoutes]);
    this.#routes = { numRoutes, topK, experts, sourceRanks, windowOffsets };
  }

  #last({ numRoutes, topK, experts, sourceRanks }: RouteSample, most: number): RouteSample {
    const first = Math.max(0, numRoutes - most);
    return {
      numRoutes: numRoutes - first,
      topK,
      experts: experts.subarray(first * this.#numLayers * topK),
      sourceRanks: sourceRanks.subarray(first),
    };
  }

  /** In order of arrival; null before the first. */
  get routes(): RouteSample | null {
    return this.#routes;
  }
}

/**
 * Tokens by source rank and expert of a sample, [layers × ranks × experts]; routes of unknown source
 * count for none.
 */
export function sourceLoadsOfRoutes(
  routes: RouteSample,
  shape: {
    readonly numLayers: number;
    readonly numRanks: number;
    readonly numLogicalExperts: number;
  },
): Float64Array {
  const { numLayers, numRanks, numLogicalExperts } = shape;
  const { topK, experts, sourceRanks } = routes;
  const loads = new Float64Array(numLayers * numRanks * numLogicalExperts);
  for (let index = 0; index < experts.length; index += 1) {
    const rank = sourceRanks[Math.floor(index / (numLayers * topK))];
    const expert = experts[index];
    if (rank < 0 || expert < 0) continue;
    const layer = Math.floor(index / topK) % numLayers;
    loads[(layer * numRanks + rank) * numLogicalExperts + expert] += 1;
  }
  return loads;
}
