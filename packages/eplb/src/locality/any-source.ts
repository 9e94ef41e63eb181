import type { ClusterShape } from '../abstract-eplb-policy.js';
import { BALANCE_LOSS_MAX } from '../dispatch/plan-dispatch.js';
import { ExpertMapping } from '../expert-mapping.js';
import {
  improveLocality,
  type LocalityRequest,
  type LocalityResult,
  MOVE_COST,
} from './improve-locality.js';

/**
 * Where sources change from window to window, so does what tokens ask for: less balance is given for
 * traffic, and a move must save more.
 */
const CAUTION = 0.25;

/**
 * As `improveLocality`, with the same shares for every source, so that rank loads do not depend on
 * where tokens come from: a token's experts are brought together in few domains, and none is
 * nearer than another. All tokens are taken to come from one further rank, which has no slots and
 * a domain to itself.
 */
export function improveForAnySource(request: LocalityRequest): LocalityResult {
  const { mapping, currentMapping, routes, topology } = request;
  const { balanceLossMax = BALANCE_LOSS_MAX, moveCost = MOVE_COST } = request;
  const result = improveLocality({
    ...request,
    balanceLossMax: balanceLossMax * CAUTION,
    moveCost: currentMapping === undefined ? request.moveCost : moveCost / CAUTION,
    mapping: withSource(mapping),
    currentMapping: currentMapping === undefined ? undefined : withSource(currentMapping),
    topology: topologyWithSource(topology),
    sourceLoads: loadsFromSource(request),
    rankCapacities: Float64Array.from({ length: mapping.numRanks + 1 }, (_, rank) =>
      rank < mapping.numRanks ? (request.rankCapacities?.[rank] ?? 1) : 1,
    ),
    unavailableRanks: [...(request.unavailableRanks ?? []), mapping.numRanks],
    routes:
      routes === undefined
        ? undefined
        : { ...routes, sourceRanks: new Int32Array(routes.numRoutes).fill(mapping.numRanks) },
  });
  return { ...result, dispatch: { ...result.dispatch, ...sharesForAll(mapping, result) } };
}

function withSource(mapping: ExpertMapping): ExpertMapping {
  const { numLayers, numLogicalExperts, physicalToLogical, numPhysicalExperts } = mapping;
  const slotOffsets = Int32Array.from([...mapping.slotOffsets, numPhysicalExperts]);
  return ExpertMapping.create({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

function topologyWithSource({ numRanks, fastDomains, failureDomains }: ClusterShape): ClusterShape {
  const domain = fastDomains.reduce((most, own) => Math.max(most, own), 0) + 1;
  return {
    numRanks: numRanks + 1,
    fastDomains: Int32Array.from([...fastDomains, domain]),
    failureDomains: Int32Array.from([...failureDomains, failureDomains[0]]),
    // To a source that may be anywhere all are equally far.
    cost: new Float64Array((numRanks + 1) ** 2),
  };
}

function loadsFromSource({ mapping, loads }: LocalityRequest): Float64Array {
  const { numLayers, numRanks, numLogicalExperts } = mapping;
  const sourceLoads = new Float64Array(numLayers * (numRanks + 1) * numLogicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const row = loads.subarray(layer * numLogicalExperts, (layer + 1) * numLogicalExperts);
    sourceLoads.set(row, (layer * (numRanks + 1) + numRanks) * numLogicalExperts);
  }
  return sourceLoads;
}

/** The further rank's shares as those of every rank. */
function sharesForAll({ numRanks }: ExpertMapping, { dispatch }: LocalityResult) {
  const { numLayers, numPhysicalExperts, shares } = dispatch;
  const all = new Float32Array(numLayers * numRanks * numPhysicalExperts);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const first = (layer * (numRanks + 1) + numRanks) * numPhysicalExperts;
    const row = shares.subarray(first, first + numPhysicalExperts);
    for (let rank = 0; rank < numRanks; rank += 1) {
      all.set(row, (layer * numRanks + rank) * numPhysicalExperts);
    }
  }
  return { numRanks, shares: all };
}
