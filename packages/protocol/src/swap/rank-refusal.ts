import type { RefusedOrder } from '../messages.js';
import type { RankSwapEffect, RankSwapResult, RankSwapState } from './rank-state.js';

/* Orders that a rank does not follow: its report carries the newest of them, so that people see why. */

const orderCharactersMax = 40;
const codeCharactersMax = 100;
const reasonCharactersMax = 500;

/** Refuses an order: told to the log at once, and in every report until one of its kind is followed. */
export function refuseOrder(
  state: RankSwapState,
  { order, version, code, reason }: RefusedOrder,
  fields: Readonly<Record<string, unknown>> = {},
): RankSwapResult {
  const told: RankSwapEffect = {
    kind: 'refused',
    what: order,
    fields: { version, code, reason, ...fields },
  };
  return { state: withRefused(state, { order, version, code, reason }), effects: [told] };
}

export function withRefused(state: RankSwapState, refused: RefusedOrder): RankSwapState {
  return {
    ...state,
    refused: {
      order: refused.order.slice(0, orderCharactersMax),
      version: refused.version,
      code: refused.code.slice(0, codeCharactersMax),
      reason: refused.reason.slice(0, reasonCharactersMax),
    },
  };
}

/** An order of that kind is followed: what was refused of it is past. */
export function followedOrder(state: RankSwapState, order: string): RankSwapState {
  return state.refused?.order === order ? { ...state, refused: null } : state;
}
