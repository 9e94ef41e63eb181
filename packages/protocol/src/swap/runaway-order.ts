import { type Fence, sameFence } from '../fence.js';
import { firstLeaderAheadMax, leaderAheadMax, runaway } from '../runaway.js';
import type { RankSwapEvent, RankSwapResult, RankSwapState } from './rank-state.js';
import { answerTo } from './rank-steps.js';

interface Order {
  readonly what: string;
  readonly fence: Fence;
  readonly versions: readonly number[];
}

/**
 * What a rank has once accepted it holds to for ever: an order that names a term or version which no
 * leader can have come to would shut out every leader there is.
 * @returns null where the event is no such order
 */
export function refuseRunawayOrder(
  state: RankSwapState,
  event: RankSwapEvent,
): RankSwapResult | null {
  const order = orderOf(event);
  if (order === null) return null;
  const { fence, votedUpTo } = state.durable;
  const version = Math.max(0, ...order.versions);
  const aheadMax = state.hasFollowed ? leaderAheadMax : firstLeaderAheadMax;
  const refusal =
    runaway('term', order.fence.term, fence?.term ?? 0, aheadMax) ??
    runaway('version', version, votedUpTo, aheadMax);
  if (refusal === null) return null;
  const { code, message: reason, fields } = refusal;
  const told = {
    kind: 'refused',
    what: order.what,
    fields: { code, reason, ...fields },
  } as const;
  // Whoever asked is told what the rank knows.
  const answers = event.kind === 'query' ? [answerTo(state, event.question)] : [];
  const asking = event.kind === 'outcomes-told' ? false : state.asking;
  return { state: { ...state, asking }, effects: [told, ...answers] };
}

/** From the first order on that it follows, a rank is not far behind its leaders. */
export function noteFollowed(result: RankSwapResult, event: RankSwapEvent): RankSwapResult {
  const { state, effects } = result;
  const order = state.hasFollowed ? null : orderOf(event);
  if (order === null || !sameFence(order.fence, state.durable.fence)) return result;
  return { state: { ...state, hasFollowed: true }, effects };
}

function orderOf(event: RankSwapEvent): Order | null {
  switch (event.kind) {
    case 'prepare': {
      const { version, base } = event.proposal;
      const versions = [version, base.version];
      return { what: 'prepare', fence: event.message.fence, versions };
    }
    case 'outcome':
      return { what: 'outcome', fence: event.message.fence, versions: [event.record.version] };
    case 'retire':
      return { what: 'retire', fence: event.message.fence, versions: [event.message.version] };
    case 'cut':
      return { what: 'cut', fence: event.message.fence, versions: [] };
    case 'swap-state': {
      const { fence, newest, decidedUpTo } = event.message;
      return { what: 'swap state', fence, versions: [newest.version, decidedUpTo] };
    }
    case 'query':
      return { what: 'query', fence: event.query.fence, versions: [] };
    case 'outcomes-told': {
      const versions = event.outcomes.map((known) => known.version);
      return { what: 'outcomes', fence: event.fence, versions };
    }
    default:
      return null;
  }
}
