import type { LeaveAnswer, LeaveQuestion } from '../messages.js';
import type { RankSwapEffect, RankSwapResult, RankSwapState } from './rank-state.js';
import { unchanged } from './rank-steps.js';

/*
 * How a rank leaves by itself: its agent, told to stop in an orderly way, or its engine wants to. The
 * leader is asked again and again until no version lists the engine's incarnation; until then it
 * serves on.
 */

/** An attempt to leave, of one incarnation. */
export interface RankLeaving {
  /** The agent is to stop once its engine has left. */
  readonly isAsked: boolean;
  readonly incarnation: string | null;
  readonly attempt: number;
  /** A question is under way. */
  readonly isAsking: boolean;
  /** Ticks to wait before the next attempt. */
  readonly waitTicks: number;
  readonly hasLeft: boolean;
  /** Why not, as it was last told. */
  readonly told: string;
}

export const notLeaving: RankLeaving = {
  isAsked: false,
  incarnation: null,
  attempt: 0,
  isAsking: false,
  waitTicks: 0,
  hasLeft: false,
  told: '',
};

const waitTicksMax = 32;

export function wantsToLeave({ leaving, engine }: RankSwapState): boolean {
  return leaving.isAsked || engine?.state.leaving === true;
}

/** Asks the leader where that is due, once at a time. */
export function goOnLeaving(state: RankSwapState): RankSwapResult {
  const { engine, rank } = state;
  if (!wantsToLeave(state)) return unchanged(state);
  if (engine === null) {
    return { state, effects: [{ kind: 'left', reason: 'no engine is connected' }] };
  }
  const { incarnation } = engine.description;
  const { isAsked } = state.leaving;
  const isSame = state.leaving.incarnation === incarnation;
  const leaving = isSame ? state.leaving : { ...notLeaving, isAsked, incarnation };
  if (leaving.hasLeft && isAsked) {
    return { state, effects: [{ kind: 'left', reason: 'no version lists its engine' }] };
  }
  if (leaving.isAsking || leaving.hasLeft) return unchanged({ ...state, leaving });
  if (leaving.waitTicks > 0) {
    return unchanged({ ...state, leaving: { ...leaving, waitTicks: leaving.waitTicks - 1 } });
  }
  const requestId = `leave-${incarnation}-${leaving.attempt}`;
  const question: LeaveQuestion = { schema: 1, rank, incarnation, requestId };
  return {
    state: { ...state, leaving: { ...leaving, isAsking: true } },
    effects: [{ kind: 'ask-leave', question }],
  };
}

/** @param answer null where there was none */
export function onLeaveTold(
  state: RankSwapState,
  question: LeaveQuestion,
  answer: LeaveAnswer | null,
): RankSwapResult {
  const { leaving } = state;
  if (leaving.incarnation !== question.incarnation) return unchanged(state);
  const asked = { ...leaving, isAsking: false };
  if (answer === null) return unchanged({ ...state, leaving: asked });
  const { reason, code } = answer;
  if (answer.state === 'left') {
    const effects: RankSwapEffect[] = leaving.hasLeft ? [] : [{ kind: 'left', reason }];
    return { state: { ...state, leaving: { ...asked, hasLeft: true } }, effects };
  }
  if (answer.state === 'leaving') return unchanged({ ...state, leaving: asked });
  const attempt = asked.attempt + 1;
  const next =
    answer.state === 'failed'
      ? { ...asked, attempt, waitTicks: Math.min(waitTicksMax, 2 ** attempt) }
      : asked;
  const told = `${code ?? ''}: ${reason}`;
  const fields = { code, reason, attempt: asked.attempt };
  return {
    state: { ...state, leaving: { ...next, told } },
    effects: told === leaving.told ? [] : [{ kind: 'refused', what: 'leave', fields }],
  };
}
