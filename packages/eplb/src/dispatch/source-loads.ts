/** Where a layer's load comes from, by source domain. */
export interface SourceLoadFacts {
  readonly numLayers: number;
  readonly numExperts: number;
  /** [ranks] */
  readonly domainOfRank: Int32Array;
  readonly numDomains: number;
  /** [layers × experts] */
  readonly loads: Float64Array;
  /** [layers × ranks × experts]; undefined where sources are not known. */
  readonly sourceLoads?: Float64Array | undefined;
}

/** Sends by expert and source domain that weigh as much as what all domains ask for. */
const POOLED_SENDS = 2;

/**
 * One layer's load of each source domain, [domains × experts], summing to `loads`: what was seen,
 * drawn towards the mix of all domains where a domain has few tokens; without sources each domain
 * has a part as large as its part of the ranks.
 */
export function loadsBySourceDomain(facts: SourceLoadFacts, layer: number): Float64Array {
  const { numExperts, numDomains, domainOfRank, loads, sourceLoads } = facts;
  const pooled = loads.subarray(layer * numExperts, (layer + 1) * numExperts);
  const byDomain = new Float64Array(numDomains * numExperts);
  const seen = new Float64Array(numDomains);
  const numRanks = domainOfRank.length;
  if (sourceLoads !== undefined) {
    domainOfRank.forEach((domain, rank) => {
      const start = (layer * numRanks + rank) * numExperts;
      for (let expert = 0; expert < numExperts; expert += 1) {
        const load = sourceLoads[start + expert] ?? 0;
        const at = domain * numExperts + expert;
        byDomain[at] = (byDomain[at] ?? 0) + load;
        seen[domain] = (seen[domain] ?? 0) + load;
      }
    });
  }
  const total = seen.reduce((sum, load) => sum + load, 0);
  if (total === 0) for (const domain of domainOfRank) seen[domain] = (seen[domain] ?? 0) + 1;
  const whole = total === 0 ? numRanks : total;
  for (let expert = 0; expert < numExperts; expert += 1) {
    scaleToPooled(byDomain, expert, numExperts, pooled[expert] ?? 0, seen, whole, total > 0);
  }
  return byDomain;
}

function scaleToPooled(
  byDomain: Float64Array,
  expert: number,
  numExperts: number,
  pooled: number,
  seen: Float64Array,
  whole: number,
  known: boolean,
): void {
  let sum = 0;
  for (let domain = 0; domain < seen.length; domain += 1) {
    sum += byDomain[domain * numExperts + expert] ?? 0;
  }
  for (let domain = 0; domain < seen.length; domain += 1) {
    const at = domain * numExperts + expert;
    const part = (seen[domain] ?? 0) / whole;
    const sends = (seen[domain] ?? 0) / numExperts;
    const weight = known ? sends / (sends + POOLED_SENDS) : 0;
    const own = sum > 0 ? ((byDomain[at] ?? 0) / sum) * pooled : 0;
    byDomain[at] = sum > 0 ? weight * own + (1 - weight) * part * pooled : part * pooled;
  }
  rescale(byDomain, expert, numExperts, pooled, seen.length);
}

function rescale(
  byDomain: Float64Array,
  expert: number,
  numExperts: number,
  pooled: number,
  numDomains: number,
): void {
  let sum = 0;
  for (let domain = 0; domain < numDomains; domain += 1) {
    sum += byDomain[domain * numExperts + expert] ?? 0;
  }
  if (sum === 0) return;
  for (let domain = 0; domain < numDomains; domain += 1) {
    const at = domain * numExperts + expert;
    byDomain[at] = ((byDomain[at] ?? 0) * pooled) / sum;
  }
}

/**
 * Tokens by source rank that sum to the loads: in the proportions of `sourceLoads` where an expert
 * has any, evenly over ranks elsewhere.
 * @param loads [layers × experts]
 * @param sourceLoads [layers × ranks × experts], in any scale
 * @returns [layers × ranks × experts]
 */
export function scaleSourceLoads(
  loads: Float64Array,
  shape: { readonly numLayers: number; readonly numRanks: number; readonly numExperts: number },
  sourceLoads?: Float64Array,
): Float64Array {
  const { numLayers, numRanks, numExperts } = shape;
  const scaled = sourceLoads?.slice() ?? new Float64Array(numLayers * numRanks * numExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    for (let expert = 0; expert < numExperts; expert += 1) {
      const first = layer * numRanks * numExperts + expert;
      let sum = 0;
      for (let rank = 0; rank < numRanks; rank += 1) sum += scaled[first + rank * numExperts];
      const load = loads[layer * numExperts + expert];
      for (let rank = 0; rank < numRanks; rank += 1) {
        const at = first + rank * numExperts;
        scaled[at] = sum > 0 ? (scaled[at] / sum) * load : load / numRanks;
      }
    }
  }
  return scaled;
}
