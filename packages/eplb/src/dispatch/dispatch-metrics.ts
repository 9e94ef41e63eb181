import type { TrafficUnit } from '../abstract-eplb-policy.js';
import type { ExpertMapping } from '../expert-mapping.js';
import type { RouteSample } from '../locality/route-sample.js';
import { assertDispatchFits, type DispatchTable } from './dispatch-table.js';

/**
 * Load of each rank when sources dispatch by the table.
 * @param sourceLoads [layers × ranks × experts]
 * @returns [layers × ranks]
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
 */
export function dispatchRankLoads(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  sourceLoads: Float64Array,
): Float64Array {
  const { numLayers, numRanks } = mapping;
  const rankLoads = new Float64Array(numLayers * numRanks);
  forEachFlow(mapping, dispatch, sourceLoads, (layer, _source, rank, load) => {
    rankLoads[layer * numRanks + rank] += load;
  });
  return rankLoads;
}

/** Visits the load that each slot takes from each source. @throws EplbError as above */
function forEachFlow(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  sourceLoads: Float64Array,
  visit: (layer: number, source: number, rank: number, load: number) => void,
): void {
  assertDispatchFits(dispatch, mapping);
  const { numLayers, numRanks, numPhysicalExperts, numLogicalExperts } = mapping;
  for (let layer = 0; layer < numLayers; layer += 1) {
    const row = mapping.row(layer);
    for (let source = 0; source < numRanks; source += 1) {
      const first = (layer * numRanks + source) * numPhysicalExperts;
      const firstLoad = (layer * numRanks + source) * numLogicalExperts;
      for (let slot = 0; slot < numPhysicalExperts; slot += 1) {
        const expert = row[slot];
        if (expert < 0) continue;
        const load = sourceLoads[firstLoad + expert] * dispatch.shares[first + slot];
        visit(layer, source, mapping.rankOfSlot(slot), load);
      }
    }
  }
}

/**
 * Part of all sends of a token to an expert that leave the source's fast domain, 0 to 1; 0 when
 * idle.
 * @param sourceLoads [layers × ranks × experts]
 * @param fastDomains [ranks]
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
 */
export function crossNodeFraction(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  sourceLoads: Float64Array,
  fastDomains: Int32Array,
): number {
  let sends = 0;
  let crossing = 0;
  forEachFlow(mapping, dispatch, sourceLoads, (_layer, source, rank, load) => {
    sends += load;
    if (fastDomains[rank] !== fastDomains[source]) crossing += load;
  });
  return sends === 0 ? 0 : crossing / sends;
}

/**
 * What a token sends out of its fast domain on average over routes and layers, if each of its
 * experts goes to a replica drawn by the shares, each on its own: distinct fast domains, distinct
 * ranks, or experts. Routes of unknown source count for no source and are left out.
 * @param fastDomains [ranks]
 * @throws EplbError ISOBAR_EPLB_MAPPING_SHAPE
 */
export function crossNodeTraffic(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  routes: RouteSample,
  fastDomains: Int32Array,
  unit: TrafficUnit = 'domain',
): number {
  assertDispatchFits(dispatch, mapping);
  const { numLayers, numRanks } = mapping;
  const places =
    unit === 'domain' ? fastDomains : Int32Array.from({ length: numRanks }, (_, rank) => rank);
  const numPlaces = places.reduce((most, place) => Math.max(most, place), 0) + 1;
  const missed = new Float64Array(numPlaces);
  let total = 0;
  let counted = 0;
  for (let route = 0; route < routes.numRoutes; route += 1) {
    const source = routes.sourceRanks[route] ?? -1;
    if (source < 0) continue;
    counted += 1;
    for (let layer = 0; layer < numLayers; layer += 1) {
      total += visitsOf(mapping, dispatch, routes, route, layer, fastDomains, places, missed, unit);
    }
  }
  return counted === 0 ? 0 : total / (counted * numLayers);
}

/** @param missed scratch, [places]: the chance that no expert of the token goes to a place */
function visitsOf(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  routes: RouteSample,
  route: number,
  layer: number,
  fastDomains: Int32Array,
  places: Int32Array,
  missed: Float64Array,
  unit: TrafficUnit,
): number {
  const source = routes.sourceRanks[route] ?? 0;
  const { numLayers, numRanks, numPhysicalExperts } = mapping;
  const first = (layer * numRanks + source) * numPhysicalExperts;
  const firstExpert = (route * numLayers + layer) * routes.topK;
  let visits = 0;
  missed.fill(1);
  for (let index = firstExpert; index < firstExpert + routes.topK; index += 1) {
    const expert = routes.experts[index] ?? -1;
    if (expert < 0) continue;
    const slots = mapping.getPhysicalExperts(layer, expert);
    for (let at = 0; at < slots.length; at += 1) {
      const slot = slots[at] ?? 0;
      const rank = mapping.rankOfSlot(slot);
      if (fastDomains[rank] === fastDomains[source]) continue;
      const share = dispatch.shares[first + slot] ?? 0;
      const place = places[rank] ?? 0;
      if (unit === 'expert') visits += share;
      else if (isLastOfPlace(mapping, slots, at, places)) {
        missed[place] =
          (missed[place] ?? 0) * (1 - shareOfPlace(mapping, dispatch, slots, at, places, first));
      }
    }
  }
  if (unit === 'expert') return visits;
  for (const chance of missed) visits += 1 - chance;
  return visits;
}

function isLastOfPlace(
  mapping: ExpertMapping,
  slots: Int32Array,
  at: number,
  places: Int32Array,
): boolean {
  const place = places[mapping.rankOfSlot(slots[at] ?? 0)];
  for (let later = at + 1; later < slots.length; later += 1) {
    if (places[mapping.rankOfSlot(slots[later] ?? 0)] === place) return false;
  }
  return true;
}

/** An expert goes to one replica: its shares in one place add up. */
function shareOfPlace(
  mapping: ExpertMapping,
  dispatch: DispatchTable,
  slots: Int32Array,
  at: number,
  places: Int32Array,
  first: number,
): number {
  const place = places[mapping.rankOfSlot(slots[at] ?? 0)];
  let share = 0;
  for (let earlier = 0; earlier <= at; earlier += 1) {
    const slot = slots[earlier] ?? 0;
    if (places[mapping.rankOfSlot(slot)] === place) share += dispatch.shares[first + slot] ?? 0;
  }
  return Math.min(1, share);
}
