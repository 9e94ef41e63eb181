import type { ClusterShape, RebalanceRequest } from './abstract-eplb-policy.js';
import { EplbError } from './eplb-error.js';
import { closedSlots, usableSlotsOf } from './usable-slots.js';

/**
 * Beyond these a request is refused rather than let run a planner out of memory. They keep
 * [layers × slots] and [layers × experts] within 2^26 entries.
 */
const numLayersMax = 1_024;
const numRanksMax = 4_096;
const numLogicalExpertsMax = 65_536;
const numPhysicalExpertsMax = 65_536;
/** Tokens: integers up to here are exact, and sums of them finite, also as 32-bit floats. */
const loadMax = Number.MAX_SAFE_INTEGER;
/** Ranks may differ by this factor from capacity 1, up or down. */
const rankCapacityMax = 1e6;
const seedMax = 2 ** 32 - 1;
/** The search keeps the sums of so many factors by rank. */
const factorsMax = 2;
const routesMax = 2 ** 20;
/** The longest time that a timer can be set to. */
const deadlineMsMax = 2 ** 31 - 1;

/**
 * Checks every field of a request, so that a policy may take it at its word.
 * @throws EplbError ISOBAR_EPLB_REQUEST_INVALID for a malformed field, ISOBAR_EPLB_SIZES for sizes
 *   over the limits or experts that no placement can hold; both name the field in `fields.field`
 */
export function assertRequest(request: RebalanceRequest): void {
  assertScalars(request);
  assertSlotOffsets(request.slotOffsets);
  assertSizes(request);
  assertLoads(request);
  assertRanks(request);
  assertTraffic(request);
  if (request.topology !== undefined) {
    assertTopology(request.topology, request.slotOffsets.length - 1);
  }
  assertCurrentMapping(request);
  assertPinnedSlots(request);
  assertRoom(request);
}

function refuse(field: string, what: string): never {
  throw new EplbError('ISOBAR_EPLB_REQUEST_INVALID', `${field} ${what}`, { field });
}

function refuseSizes(field: string, what: string, facts: Record<string, unknown> = {}): never {
  throw new EplbError('ISOBAR_EPLB_SIZES', what, { field, ...facts });
}

function assertScalars(request: RebalanceRequest): void {
  for (const field of ['numLayers', 'numLogicalExperts'] as const) {
    if (!isPositiveInteger(request[field])) refuse(field, 'must be a positive integer');
  }
  for (const field of ['numNodes', 'numGroups', 'workBudget'] as const) {
    const value = request[field];
    if (value !== undefined && !isPositiveInteger(value)) {
      refuse(field, 'must be a positive integer');
    }
  }
  const { maxMoves, seed, deadlineMs } = request;
  if (
    maxMoves !== undefined &&
    maxMoves !== Number.POSITIVE_INFINITY &&
    !isIntegerWithin(maxMoves, 0, Number.MAX_SAFE_INTEGER)
  ) {
    refuse('maxMoves', 'must be a non-negative integer or Infinity');
  }
  if (seed !== undefined && !isIntegerWithin(seed, 0, seedMax)) {
    refuse('seed', `must be an integer of 0 to ${seedMax}`);
  }
  if (deadlineMs !== undefined && !(deadlineMs > 0 && deadlineMs <= deadlineMsMax)) {
    refuse('deadlineMs', `must be over 0, at most ${deadlineMsMax}`);
  }
}

function isPositiveInteger(value: number): boolean {
  return isIntegerWithin(value, 1, Number.MAX_SAFE_INTEGER);
}

function isIntegerWithin(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}

function assertSlotOffsets(slotOffsets: Int32Array): void {
  let sound = slotOffsets.length >= 2 && slotOffsets[0] === 0;
  for (let rank = 1; sound && rank < slotOffsets.length; rank += 1) {
    sound = (slotOffsets[rank] ?? 0) >= (slotOffsets[rank - 1] ?? 0);
  }
  if (!sound) refuse('slotOffsets', 'must start at 0, not fall, and name at least one rank');
}

function assertSizes(request: RebalanceRequest): void {
  const { numLogicalExperts, slotOffsets, numNodes = 1, numGroups = 1 } = request;
  const numRanks = slotOffsets.length - 1;
  const numPhysicalExperts = slotOffsets[numRanks] ?? 0;
  assertAtMost('numLayers', 'layers', request.numLayers, numLayersMax);
  assertAtMost('numLogicalExperts', 'experts', numLogicalExperts, numLogicalExpertsMax);
  assertAtMost('slotOffsets', 'ranks', numRanks, numRanksMax);
  assertAtMost('slotOffsets', 'slots', numPhysicalExperts, numPhysicalExpertsMax);
  if (numNodes > numRanks) refuse('numNodes', `is ${numNodes}, more than ${numRanks} ranks`);
  if (numGroups > numLogicalExperts) {
    refuse('numGroups', `is ${numGroups}, more than ${numLogicalExperts} experts`);
  }
  // Published balancers ignore groups that don't divide by nodes, and callers rely on it.
  if (numGroups % numNodes === 0 && numLogicalExperts % numGroups !== 0) {
    refuseSizes('numGroups', `${numLogicalExperts} experts don't divide by ${numGroups} groups`);
  }
}

function assertAtMost(field: string, what: string, value: number, most: number): void {
  if (value > most) refuseSizes(field, `${value} ${what} are over the limit of ${most}`);
}

function assertLoads(request: RebalanceRequest): void {
  const { numLayers, numLogicalExperts, loads, loadDeviations, moveCosts } = request;
  assertLength('loads', loads, numLayers * numLogicalExperts);
  assertWithin('loads', loads, 0, loadMax);
  if (loadDeviations !== undefined) {
    assertLength('loadDeviations', loadDeviations, numLayers * numLogicalExperts);
    assertWithin('loadDeviations', loadDeviations, 0, loadMax);
  }
  assertFactors(request);
  if (moveCosts !== undefined) {
    assertLength('moveCosts', moveCosts, numLayers);
    assertWithin('moveCosts', moveCosts, 0, Number.POSITIVE_INFINITY);
  }
}

function assertFactors({ numLayers, numLogicalExperts, loadFactors = [] }: RebalanceRequest): void {
  if (loadFactors.length > factorsMax) {
    refuse('loadFactors', `are ${loadFactors.length}: at most ${factorsMax} are heeded`);
  }
  for (const factor of loadFactors) {
    assertLength('loadFactors', factor, numLayers * numLogicalExperts);
    assertWithin('loadFactors', factor, -loadMax, loadMax);
  }
}

function assertTraffic(request: RebalanceRequest): void {
  const { numLayers, numLogicalExperts, slotOffsets, sourceLoads, routes } = request;
  const { balanceLossMax = 0, trafficMoveCost = 0, replicaChoice, trafficUnit } = request;
  const numRanks = slotOffsets.length - 1;
  assertWithin('balanceLossMax', Float64Array.of(balanceLossMax), 0, 1);
  assertWithin('trafficMoveCost', Float64Array.of(trafficMoveCost), 0, Number.POSITIVE_INFINITY);
  assertOneOf('replicaChoice', replicaChoice, ['uniform', 'weighted']);
  assertOneOf('trafficUnit', trafficUnit, ['domain', 'rank', 'expert']);
  if (sourceLoads !== undefined) {
    assertLength('sourceLoads', sourceLoads, numLayers * numRanks * numLogicalExperts);
    assertWithin('sourceLoads', sourceLoads, 0, loadMax);
  }
  if (routes === undefined) return;
  const { numRoutes, topK, experts, sourceRanks, windowOffsets } = routes;
  if (!isIntegerWithin(numRoutes, 0, routesMax)) {
    refuse('routes.numRoutes', `is ${numRoutes}: it must be of 0 to ${routesMax}`);
  }
  if (!isIntegerWithin(topK, 1, numLogicalExperts)) {
    refuse('routes.topK', `is ${topK}: it must be of 1 to ${numLogicalExperts}`);
  }
  assertLength('routes.experts', experts, numRoutes * numLayers * topK);
  assertWithin('routes.experts', experts, -1, numLogicalExperts - 1);
  assertLength('routes.sourceRanks', sourceRanks, numRoutes);
  assertWithin('routes.sourceRanks', sourceRanks, -1, numRanks - 1);
  if (windowOffsets !== undefined) assertWindowOffsets(windowOffsets, numRoutes);
}

function assertWindowOffsets(offsets: Int32Array, numRoutes: number): void {
  const falls = offsets.some((offset, window) => window > 0 && offset < offsets[window - 1]);
  if (offsets.length < 2 || offsets[0] !== 0 || offsets.at(-1) !== numRoutes || falls) {
    refuse('routes.windowOffsets', `must rise from 0 to ${numRoutes}`);
  }
}

function assertOneOf(field: string, value: string | undefined, values: readonly string[]): void {
  if (value !== undefined && !values.includes(value)) {
    refuse(field, `is ${JSON.stringify(value)}: it must be one of ${values.join(', ')}`);
  }
}

function assertLength(field: string, values: ArrayLike<number>, length: number): void {
  if (values.length !== length) refuse(field, `has ${values.length} entries, not ${length}`);
}

function assertWithin(
  field: string,
  values: Int16Array | Int32Array | Float64Array,
  least: number,
  most: number,
): void {
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] ?? Number.NaN;
    if (!(value >= least && value <= most)) {
      refuse(field, `has ${value} at entry ${at}: it must be of ${least} to ${most}`);
    }
  }
}

function assertRanks(request: RebalanceRequest): void {
  const { slotOffsets, unavailableRanks, rankCapacities, usableSlots } = request;
  const numRanks = slotOffsets.length - 1;
  if (usableSlots !== undefined) {
    assertLength('usableSlots', usableSlots, numRanks);
    assertWithin('usableSlots', usableSlots, 0, numPhysicalExpertsMax);
  }
  const out = new Set(unavailableRanks);
  for (const rank of out) {
    if (!isIntegerWithin(rank, 0, numRanks - 1)) {
      refuse('unavailableRanks', `names rank ${rank} of ${numRanks}`);
    }
  }
  if (out.size === numRanks) refuse('unavailableRanks', `names all ${numRanks} ranks`);
  if (rankCapacities === undefined) return;
  assertLength('rankCapacities', rankCapacities, numRanks);
  assertWithin('rankCapacities', rankCapacities, 0, rankCapacityMax);
  const tooSmall = rankCapacities.findIndex(
    (capacity, rank) => capacity < 1 / rankCapacityMax && !out.has(rank),
  );
  if (tooSmall >= 0) {
    const least = 1 / rankCapacityMax;
    refuse(
      'rankCapacities',
      `has ${rankCapacities[tooSmall]} at entry ${tooSmall}: under ${least}`,
    );
  }
}

function assertTopology(topology: ClusterShape, numRanks: number): void {
  if (topology.numRanks !== numRanks) {
    refuse('topology', `has ${topology.numRanks} ranks, not ${numRanks}`);
  }
  for (const level of ['fastDomains', 'failureDomains'] as const) {
    assertLength(`topology.${level}`, topology[level], numRanks);
    assertWithin(`topology.${level}`, topology[level], 0, numRanks - 1);
  }
  assertLength('topology.cost', topology.cost, numRanks * numRanks);
  assertWithin('topology.cost', topology.cost, 0, Number.MAX_VALUE);
}

function assertCurrentMapping(request: RebalanceRequest): void {
  const { numLayers, numLogicalExperts, slotOffsets, currentMapping } = request;
  if (currentMapping === undefined) return;
  const same =
    currentMapping.numLayers === numLayers &&
    currentMapping.numLogicalExperts === numLogicalExperts &&
    currentMapping.slotOffsets.length === slotOffsets.length &&
    currentMapping.slotOffsets.every((offset, rank) => offset === slotOffsets[rank]);
  if (!same) refuse('currentMapping', 'has another shape than the request');
}

function assertPinnedSlots(request: RebalanceRequest): void {
  const { slotOffsets, pinnedSlots = [], currentMapping } = request;
  const numPhysicalExperts = slotOffsets[slotOffsets.length - 1] ?? 0;
  for (const slot of pinnedSlots) {
    if (!isIntegerWithin(slot, 0, numPhysicalExperts - 1)) {
      refuse('pinnedSlots', `names slot ${slot} of ${numPhysicalExperts}`);
    }
  }
  if (pinnedSlots.length > 0 && currentMapping === undefined) {
    refuse('pinnedSlots', 'keep what they hold, and there is no currentMapping to say what');
  }
}

/** Usable slots on serving ranks must hold every expert of every layer, beside what is pinned. */
function assertRoom(request: RebalanceRequest): void {
  const { numLayers, numLogicalExperts, slotOffsets, usableSlots } = request;
  const out = new Set(request.unavailableRanks);
  let availableSlots = 0;
  for (let rank = 0; rank + 1 < slotOffsets.length; rank += 1) {
    if (!out.has(rank)) availableSlots += usableSlotsOf(request, rank);
  }
  if (availableSlots < numLogicalExperts) {
    refuseSizes(
      usableSlots === undefined ? 'slotOffsets' : 'usableSlots',
      `${availableSlots} available slots can't hold ${numLogicalExperts} experts`,
      { availableSlots, numLogicalExperts },
    );
  }
  const { currentMapping } = request;
  if (currentMapping === undefined) return;
  const closed = new Set(closedSlots(request));
  const pinned = [...new Set(request.pinnedSlots)].filter(
    (slot) => !out.has(currentMapping.rankOfSlot(slot)) && !closed.has(slot),
  );
  for (let layer = 0; pinned.length > 0 && layer < numLayers; layer += 1) {
    const held = new Set(pinned.map((slot) => currentMapping.getLogicalExpert(layer, slot)));
    held.delete(-1);
    if (availableSlots - pinned.length < numLogicalExperts - held.size) {
      refuseSizes('pinnedSlots', `layer ${layer}: what is pinned leaves too few slots`, { layer });
    }
  }
}
