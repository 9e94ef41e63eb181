import type { ClusterShape, RouteSample } from '@isobar/eplb';

/** Ranks in fast domains of equal size; a domain is as far from every other. */
export function clusterOf(numRanks: number, numDomains: number): ClusterShape {
  const fastDomains = Int32Array.from({ length: numRanks }, (_, rank) =>
    Math.floor((rank * numDomains) / numRanks),
  );
  const cost = Float64Array.from({ length: numRanks * numRanks }, (_, at) => {
    const from = Math.floor(at / numRanks);
    const to = at % numRanks;
    if (from === to) return 0;
    return fastDomains[from] === fastDomains[to] ? 1 : 10;
  });
  return { numRanks, fastDomains, failureDomains: fastDomains, cost };
}

/** Tokens of a trace with the rank that each came from, as a placement request has them. */
export interface SourcedTokens {
  /** [layers × experts] */
  readonly loads: Float64Array;
  /** [layers × ranks × experts] */
  readonly sourceLoads: Float64Array;
  readonly routes: RouteSample;
}

export interface TokensToSource {
  readonly numLayers: number;
  readonly numExperts: number;
  readonly topK: number;
  readonly numRanks: number;
  /** [tokens × layers × topK] */
  readonly experts: Int16Array;
  /** [tokens] */
  readonly sourceRanks: Int32Array;
}

export function sourcedTokens(tokens: TokensToSource): SourcedTokens {
  const { numLayers, numExperts, topK, numRanks, experts, sourceRanks } = tokens;
  const loads = new Float64Array(numLayers * numExperts);
  const sourceLoads = new Float64Array(numLayers * numRanks * numExperts);
  experts.forEach((expert, index) => {
    if (expert < 0) return;
    const entry = Math.floor(index / topK);
    const layer = entry % numLayers;
    const rank = sourceRanks[Math.floor(entry / numLayers)] ?? -1;
    const at = layer * numExperts + expert;
    loads[at] = (loads[at] ?? 0) + 1;
    if (rank < 0) return;
    const sourceAt = (layer * numRanks + rank) * numExperts + expert;
    sourceLoads[sourceAt] = (sourceLoads[sourceAt] ?? 0) + 1;
  });
  const routes = { numRoutes: sourceRanks.length, topK, experts, sourceRanks };
  return { loads, sourceLoads, routes };
}
