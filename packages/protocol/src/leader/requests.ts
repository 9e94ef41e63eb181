import type { Change } from '../change.js';
import { type AskedBy, byAsker, lastAsker } from '../commands/command-request.js';
import { IsobarError } from '../isobar-error.js';
import { joinersOf } from '../membership/membership.js';
import { ranksToClear } from '../membership/offered-slots.js';
import { deadMembers, livingMembers } from '../membership/situation.js';
import type { Wave } from '../swap/open-swap.js';
import { sameVersion } from '../version-in-force.js';
import { fillsClosed, refuseTooLarge, situationOf } from './leader-step.js';
import type { LeaderRequest, LeaderState } from './leader-types.js';

const wavesMax = 4_096;

/** What goes first, the least number first. */
const order: Readonly<Record<Change, number>> = {
  evacuation: 0,
  start: 0,
  membership: 1,
  rollback: 2,
  drain: 3,
  rebalance: 4,
};

/** Nothing is open and no wave waits. */
export function isIdle({ swap }: LeaderState): boolean {
  return swap.open === null && swap.waiting.length === 0;
}

export function orderOf(change: Change | LeaderRequest['change']): number {
  if (change === 'leave') return order.membership;
  return order[change === 'limit-slots' ? 'drain' : change];
}

/**
 * Why a request is not taken, null where it is.
 * Codes: ISOBAR_COORDINATOR_PAUSED, ISOBAR_COORDINATOR_PLAN_OUTDATED, ISOBAR_COORDINATOR_HELD,
 * ISOBAR_COORDINATOR_BACKING_OFF, ISOBAR_COORDINATOR_REQUEST_INVALID, ISOBAR_COORDINATOR_TOO_LARGE,
 * ISOBAR_COORDINATOR_SWAP_OPEN
 */
export function refuseRequest(
  state: LeaderState,
  request: LeaderRequest,
  nowMs: number,
): IsobarError | null {
  const { control, swap, backOff } = state;
  if (control.paused) {
    return new IsobarError('ISOBAR_COORDINATOR_PAUSED', 'paused: nothing is begun until resumed');
  }
  // What the leader plans by itself, it plans on whatever is in force.
  const isPlanned = request.waves !== undefined;
  if (isPlanned && !isOnNewest(state, request)) return outdated(request, swap.newest.version);
  if (request.automatic === true && control.held !== null) {
    const text = `automatic balancing is held: ${control.held}`;
    return new IsobarError('ISOBAR_COORDINATOR_HELD', text, { reason: control.held });
  }
  if (request.automatic === true && backOff !== null && nowMs < backOff.untilMs) {
    const { version, reason } = backOff;
    const forMs = Math.ceil(backOff.untilMs - nowMs);
    const text = `version ${version} came to nothing, next attempt in ${forMs} ms: ${reason}`;
    return new IsobarError('ISOBAR_COORDINATOR_BACKING_OFF', text, { version, reason, forMs });
  }
  return refuseContent(state, request) ?? refuseOrder(state, request);
}

export function isOnNewest({ swap }: LeaderState, { base }: LeaderRequest): boolean {
  return sameVersion(base, swap.newest);
}

function outdated(request: LeaderRequest, version: number): IsobarError {
  return new IsobarError(
    'ISOBAR_COORDINATOR_PLAN_OUTDATED',
    `the ${request.change} was made for version ${request.base.version}; ${version} is in force`,
    { base: request.base.version, version },
  );
}

function refuseContent(state: LeaderState, request: LeaderRequest): IsobarError | null {
  const { change, waves, ranks = [] } = request;
  if (change === 'drain' || change === 'leave' || change === 'limit-slots') {
    if (waves !== undefined) return invalid(request, 'waves', 'its waves are not the asker’s');
    const living = livingMembers(situationOf(state)).map((member) => member.rank);
    if (ranks.length === 0) return invalid(request, 'ranks', 'it names no rank');
    const gone = ranks.filter((rank) => !living.includes(rank));
    if (gone.length > 0) {
      return invalid(request, 'ranks', `rank ${gone.join(', ')} is no living member`);
    }
    const undrained = ranks.filter((rank) => !state.control.drained.includes(rank));
    if (change !== 'drain' || undrained.length === 0) return null;
    const text = `rank ${undrained.join(', ')} is not drained in the control record`;
    return invalid(request, 'ranks', text);
  }
  if (waves === undefined || waves.length === 0 || waves.length > wavesMax) {
    return invalid(request, 'waves', `it has ${waves?.length ?? 0} waves, not 1 to ${wavesMax}`);
  }
  for (const wave of waves) {
    const field = faultOfWave(state, request, wave);
    if (field !== null) return invalid(request, `waves.${field}`, `a wave's ${field} does not fit`);
  }
  return refuseTooLarge(state, waves);
}

function invalid(request: LeaderRequest, field: string, why: string): IsobarError {
  const text = `the ${request.change} is refused: ${why}`;
  return new IsobarError('ISOBAR_COORDINATOR_REQUEST_INVALID', text, { field });
}

/** The field of a wave that does not fit; experts are for members that are not drained, and open slots. */
function faultOfWave(state: LeaderState, request: LeaderRequest, wave: Wave): string | null {
  const { mapping, swap, control } = state;
  if (wave.change !== request.change) return 'change';
  if (wave.members !== undefined) return 'members';
  const { slotOffsets, physicalToLogical, numLayers } = wave.mapping;
  const slots = mapping.numPhysicalExperts;
  const isOfShape =
    numLayers === mapping.numLayers &&
    slotOffsets.join() === mapping.slotOffsets.join() &&
    physicalToLogical.length === numLayers * slots;
  if (!isOfShape) return 'mapping';
  const drained = new Set(control.drained);
  const holding = new Set(
    swap.members.map(({ rank }) => rank).filter((rank) => !drained.has(rank)),
  );
  const isMisplaced = physicalToLogical.some((expert, index) => {
    if (expert < 0 || holding.has(mapping.rankOfSlot(index % slots))) return false;
    // What a drained rank still holds stays until its drain takes it.
    return mapping.physicalToLogical[index] !== expert;
  });
  return isMisplaced || fillsClosed(state, [wave]) ? 'mapping' : null;
}

function refuseOrder(state: LeaderState, request: LeaderRequest): IsobarError | null {
  const first = busyWith(state, request);
  if (first === null) return null;
  const { what, by } = first;
  return new IsobarError(
    'ISOBAR_COORDINATOR_SWAP_OPEN',
    `a ${request.change} can't begin: ${what}${byAsker(by)} comes first`,
    { change: request.change, before: what, by, open: state.swap.open?.proposal.version ?? null },
  );
}

interface ComesFirst {
  readonly what: string;
  readonly by: AskedBy | null;
}

/** What is under way or waits and goes first; null where nothing does. */
function busyWith(state: LeaderState, request: LeaderRequest): ComesFirst | null {
  const { activity, requests, started } = state;
  const asked = orderOf(request.change);
  const nobodys = (what: string) => ({ what, by: null });
  if (!started) return nobodys('what was left open');
  const situation = situationOf(state);
  if (deadMembers(situation).length > 0) return nobodys('evacuation');
  if (asked >= order.membership && joinersOf(situation).length > 0) return nobodys('membership');
  // Waves that were made while closed slots hold something might put other experts there.
  const isPlaced = request.change === 'rebalance' || request.change === 'rollback';
  if (isPlaced && ranksToClear(situation).length > 0) return nobodys('drain');
  // Drains are one matter, and are taken up together.
  const goesFirst = (change: Change | LeaderRequest['change']) =>
    orderOf(change) < asked || (orderOf(change) === asked && asked !== order.drain);
  if (activity !== null && goesFirst(activity.change)) {
    const { change, request } = activity;
    const drainer = change === 'drain' ? lastAsker(state.control.requests, change) : null;
    return { what: change, by: request?.askedBy ?? drainer };
  }
  const before = requests.find(({ change }) => goesFirst(change));
  return before === undefined ? null : { what: before.change, by: before.askedBy ?? null };
}
