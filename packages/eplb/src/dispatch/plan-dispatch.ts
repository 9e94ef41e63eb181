import type { ClusterShape } from '../abstract-eplb-policy.js';
import { EplbError } from '../eplb-error.js';
import type { ExpertMapping } from '../expert-mapping.js';
import { type RankFacts, servingCapacities } from '../serving-capacities.js';
import type { DispatchTable } from './dispatch-table.js';
import { domainCosts, type FastDomains, fastDomains } from './fast-domains.js';
import { ownRankFirst } from './own-rank-first.js';
import { ReplicaFlow } from './replica-flow.js';
import { loadsBySourceDomain, scaleSourceLoads } from './source-loads.js';

export interface DispatchRequest {
  readonly mapping: ExpertMapping;
  /** Tokens expected by expert, [layers × experts]. */
  readonly loads: Float64Array;
  /**
   * Where they come from, [layers × ranks × experts], in any scale.
   * @default unknown: every rank sends alike
   */
  readonly sourceLoads?: Float64Array | undefined;
  /** @default one fast domain */
  readonly topology?: ClusterShape | undefined;
  /** [ranks] @default 1 */
  readonly rankCapacities?: Float64Array | undefined;
  /** @default none */
  readonly unavailableRanks?: readonly number[] | undefined;
  /** Balancedness that may be given up, below the best that shares can reach. @default 0.02 */
  readonly balanceLossMax?: number | undefined;
}

/**
 * Two percent of the experts' time: less than a greedy placement loses, and than one window's loads
 * differ from the next's, for a third of the traffic.
 */
export const BALANCE_LOSS_MAX = 0.02;

/**
 * Shares for a mapping: first the largest relative rank load as small as shares can make it, but
 * for the loss allowed; then tokens as near as that lets them: in the source's own domain, then by
 * cost of the topology. The ranks of a domain have shares in common, also those that have sent
 * nothing, but that ranks which send about alike keep their own tokens where the replica beside them
 * has room. No weight moves, so it may be
 * planned anew whenever loads change. An expert that only ranks which are out hold has no shares.
 * @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field
 */
export function planDispatch(request: DispatchRequest): DispatchTable {
  const facts = dispatchFacts(request);
  const costs = costsByDomain(facts, domainCosts(request.topology, facts.domains));
  const loss = request.balanceLossMax ?? BALANCE_LOSS_MAX;
  return fillTable(request, facts, (layer, row, sourceLoads) => {
    const least = leastLargestLoad(facts, layer, row);
    const cap = capAfterLoss(least, meanLoad(facts, layer), loss);
    return layerFlows(facts, row, sourceLoads, costs, cap).parts;
  });
}

/** What planning shares asks of a request, by layer. */
export interface DispatchFacts {
  readonly mapping: ExpertMapping;
  readonly domains: FastDomains;
  readonly numLayers: number;
  readonly numExperts: number;
  readonly domainOfRank: Int32Array;
  readonly numDomains: number;
  readonly loads: Float64Array;
  readonly sourceLoads: Float64Array | undefined;
  readonly rankOfSlot: Int32Array;
  /** [ranks]; 0 where a rank is out. */
  readonly capacities: Float64Array;
}

/** @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field */
export function dispatchFacts(request: DispatchRequest): DispatchFacts {
  const { mapping, loads, sourceLoads, topology } = request;
  const { numLayers, numLogicalExperts: numExperts, numRanks, numPhysicalExperts } = mapping;
  assertLoads('loads', loads, numLayers * numExperts);
  if (sourceLoads !== undefined) {
    assertLoads('sourceLoads', sourceLoads, numLayers * numRanks * numExperts);
  }
  if (topology !== undefined && topology.fastDomains.length !== numRanks) {
    refuse('topology', `has ${topology.fastDomains.length} ranks, not ${numRanks}`);
  }
  assertRanks(request, numRanks);
  const domains = fastDomains(topology, numRanks);
  return {
    mapping,
    domains,
    numLayers,
    numExperts,
    domainOfRank: domains.ofRank,
    numDomains: domains.count,
    loads,
    sourceLoads,
    rankOfSlot: Int32Array.from({ length: numPhysicalExperts }, (_, slot) =>
      mapping.rankOfSlot(slot),
    ),
    capacities: servingCapacities(request, numRanks),
  };
}

function assertRanks({ rankCapacities, unavailableRanks = [] }: RankFacts, numRanks: number): void {
  for (const rank of unavailableRanks) {
    if (!Number.isInteger(rank) || rank < 0 || rank >= numRanks) {
      refuse('unavailableRanks', `names rank ${rank} of ${numRanks}`);
    }
  }
  if (rankCapacities === undefined) return;
  if (rankCapacities.length !== numRanks) {
    refuse('rankCapacities', `has ${rankCapacities.length} entries, not ${numRanks}`);
  }
  const wrong = rankCapacities.find(
    (value, rank) =>
      !unavailableRanks.includes(rank) && !(value > 0 && value < Number.POSITIVE_INFINITY),
  );
  if (wrong !== undefined) refuse('rankCapacities', `has ${wrong}: it must be positive`);
}

function assertLoads(field: string, loads: Float64Array, length: number): void {
  if (loads.length !== length) refuse(field, `has ${loads.length} entries, not ${length}`);
  const wrong = loads.findIndex((load) => !(load >= 0 && load < Number.POSITIVE_INFINITY));
  if (wrong >= 0) refuse(field, `has ${loads[wrong]} at entry ${wrong}`);
}

/** @throws EplbError ISOBAR_EPLB_REQUEST_INVALID */
export function refuse(field: string, what: string): never {
  throw new EplbError('ISOBAR_EPLB_REQUEST_INVALID', `${field} ${what}`, { field });
}

/** The mapping's row with −1 in the slots of ranks that are out, [slots]. */
export function servingRow(facts: DispatchFacts, row: Int32Array): Int32Array {
  return row.map((expert, slot) =>
    (facts.capacities[facts.rankOfSlot[slot] ?? 0] ?? 0) > 0 ? expert : -1,
  );
}

/** Load of a layer per capacity: what a perfect balance gives every rank, relatively. */
export function meanLoad(facts: DispatchFacts, layer: number): number {
  const row = facts.loads.subarray(layer * facts.numExperts, (layer + 1) * facts.numExperts);
  const capacity = facts.capacities.reduce((sum, value) => sum + value, 0);
  return capacity > 0 ? row.reduce((sum, load) => sum + load, 0) / capacity : 0;
}

/** The largest relative load at which balancedness has fallen by `loss` from that at `largest`. */
export function capAfterLoss(largest: number, mean: number, loss: number): number {
  if (!(largest > 0) || !(mean > 0)) return largest;
  const balancedness = mean / largest - loss;
  return balancedness > 0 ? mean / balancedness : Number.MAX_VALUE;
}

/** Smallest largest relative rank load that any shares reach, wherever tokens come from. */
function leastLargestLoad(facts: DispatchFacts, layer: number, row: Int32Array): number {
  const { capacities, rankOfSlot, numExperts, loads } = facts;
  const flow = new ReplicaFlow({
    row,
    rankOfSlot,
    capacities,
    domainOfRank: new Int32Array(capacities.length),
    numDomains: 1,
    numSources: 1,
    numExperts,
    loads: loads.subarray(layer * numExperts, (layer + 1) * numExperts),
    costs: new Float64Array(numExperts),
  });
  return flow.balance(meanLoad(facts, layer));
}

/** A domain's cost for every expert, [domains × experts × domains]. */
function costsByDomain(facts: DispatchFacts, domainCost: Float64Array): Float64Array {
  const { numDomains, numExperts } = facts;
  const costs = new Float64Array(numDomains * numExperts * numDomains);
  for (let source = 0; source < numDomains; source += 1) {
    const row = domainCost.subarray(source * numDomains, (source + 1) * numDomains);
    for (let expert = 0; expert < numExperts; expert += 1) {
      costs.set(row, (source * numExperts + expert) * numDomains);
    }
  }
  return costs;
}

export interface LayerFlows {
  /** Part of each expert's load from each source domain that each slot takes, [domains × slots]. */
  readonly parts: Float64Array;
  /** Largest relative rank load: at most `cap`, where shares can keep to it. */
  readonly largest: number;
}

/** Flows with no relative rank load above `cap` where shares can keep to it. */
export function layerFlows(
  facts: DispatchFacts,
  row: Int32Array,
  sourceLoads: Float64Array,
  costs: Float64Array,
  cap: number,
): LayerFlows {
  const { capacities, rankOfSlot, numExperts, numDomains, domainOfRank } = facts;
  const flow = new ReplicaFlow({
    row,
    rankOfSlot,
    capacities,
    domainOfRank,
    numDomains,
    numSources: numDomains,
    numExperts,
    loads: neverZero(sourceLoads),
    costs,
  });
  const largest = flow.balance(cap);
  const parts = flow.flows();
  for (let domain = 0; domain < numDomains; domain += 1) {
    toParts(parts.subarray(domain * row.length, (domain + 1) * row.length), row, numExperts);
  }
  return { parts, largest };
}

/** An expert that nobody asked for still needs shares: so small a load weighs nothing. */
function neverZero(loads: Float64Array): Float64Array {
  const largest = loads.reduce((most, load) => Math.max(most, load), 0);
  const least = largest > 0 ? largest * 1e-9 : 1;
  return loads.map((load) => Math.max(load, least));
}

function toParts(flows: Float64Array, row: Int32Array, numExperts: number): void {
  const sums = new Float64Array(numExperts);
  row.forEach((expert, slot) => {
    if (expert >= 0) sums[expert] = (sums[expert] ?? 0) + (flows[slot] ?? 0);
  });
  row.forEach((expert, slot) => {
    if (expert >= 0) flows[slot] = (flows[slot] ?? 0) / (sums[expert] ?? 1);
  });
}

/**
 * The table of all layers.
 * @param plan parts by source domain of one layer, [domains × slots]
 */
export function fillTable(
  request: DispatchRequest,
  facts: DispatchFacts,
  plan: (layer: number, row: Int32Array, sourceLoads: Float64Array) => Float64Array,
): DispatchTable {
  const { numLayers, numRanks, numPhysicalExperts: slots } = request.mapping;
  const shares = new Float32Array(numLayers * numRanks * slots);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const row = servingRow(facts, request.mapping.row(layer));
    const parts = plan(layer, row, loadsBySourceDomain(facts, layer));
    for (let domain = 0; domain < facts.numDomains; domain += 1) {
      const common = parts.subarray(domain * slots, (domain + 1) * slots);
      facts.domainOfRank.forEach((own, rank) => {
        if (own === domain) shares.set(common, (layer * numRanks + rank) * slots);
      });
    }
    keepOwnTokens(facts, layer, row, parts, shares);
  }
  return { numLayers, numRanks, numPhysicalExperts: slots, shares };
}

/** Share by which keeping tokens on their own rank may raise a layer's largest rank load. */
const ownRankLossMax = 0.002;

/**
 * Lets ranks keep their own tokens, unless that raises the largest load: what ranks of a domain ask
 * for may differ more than their domain's shares allow.
 */
function keepOwnTokens(
  facts: DispatchFacts,
  layer: number,
  row: Int32Array,
  parts: Float64Array,
  shares: Float32Array,
): void {
  const { rankOfSlot, numExperts, numDomains, domainOfRank } = facts;
  const numRanks = domainOfRank.length;
  const slots = row.length;
  const ofLayer = shares.subarray(layer * numRanks * slots, (layer + 1) * numRanks * slots);
  const before = ofLayer.slice();
  for (let domain = 0; domain < numDomains; domain += 1) {
    const common = parts.subarray(domain * slots, (domain + 1) * slots);
    const senders = sendersOf(facts, layer, domain);
    ownRankFirst({ row, rankOfSlot, numExperts, ...senders }, common, (index, slot, share) => {
      ofLayer[senders.ranks[index] * slots + slot] = share;
    });
  }
  if (facts.sourceLoads === undefined) return;
  const allowed = largestUnder(facts, layer, row, before) * (1 + ownRankLossMax);
  if (largestUnder(facts, layer, row, ofLayer) > allowed) ofLayer.set(before);
}

/** Largest relative rank load of a layer by what its ranks are known to send. */
function largestUnder(
  facts: DispatchFacts,
  layer: number,
  row: Int32Array,
  shares: Float32Array,
): number {
  const { sourceLoads, numExperts, rankOfSlot, capacities, loads } = facts;
  const numRanks = capacities.length;
  const size = numRanks * numExperts;
  const sent = scaleSourceLoads(
    loads.subarray(layer * numExperts, (layer + 1) * numExperts),
    { numLayers: 1, numRanks, numExperts },
    sourceLoads?.subarray(layer * size, (layer + 1) * size),
  );
  const rankLoads = new Float64Array(numRanks);
  for (let source = 0; source < numRanks; source += 1) {
    for (let slot = 0; slot < row.length; slot += 1) {
      if (row[slot] < 0) continue;
      const load = sent[source * numExperts + row[slot]];
      rankLoads[rankOfSlot[slot]] += load * shares[source * row.length + slot];
    }
  }
  return rankLoads.reduce(
    (most, load, rank) => (capacities[rank] > 0 ? Math.max(most, load / capacities[rank]) : most),
    0,
  );
}

/** How far a rank's tokens may be from its domain's mean, up or down, to be told by themselves. */
const senderFactorMax = 2;

/**
 * Ranks of a domain that send about as much as each other, and their parts of what these send. Of
 * the others too little is known, or too much is seen, to keep their tokens beside them.
 */
function sendersOf(
  { sourceLoads, domainOfRank, numExperts }: DispatchFacts,
  layer: number,
  domain: number,
): { readonly ranks: Int32Array; readonly parts: Float64Array } {
  const numRanks = domainOfRank.length;
  const tokens = Float64Array.from(domainOfRank, (own, rank) => {
    if (own !== domain) return 0;
    if (sourceLoads === undefined) return 1;
    const start = (layer * numRanks + rank) * numExperts;
    let sum = 0;
    for (let at = start; at < start + numExperts; at += 1) sum += sourceLoads[at];
    return sum;
  });
  const size = domainOfRank.reduce((count, own) => count + (own === domain ? 1 : 0), 0);
  const mean = tokens.reduce((sum, own) => sum + own, 0) / size;
  const isAlike = (own: number) =>
    own > 0 && own >= mean / senderFactorMax && own <= mean * senderFactorMax;
  const ranks = Int32Array.from([...tokens.keys()].filter((rank) => isAlike(tokens[rank])));
  const sent = ranks.reduce((sum, rank) => sum + tokens[rank], 0);
  return { ranks, parts: Float64Array.from(ranks, (rank) => tokens[rank] / sent) };
}
