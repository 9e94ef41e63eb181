import type { LeaderTimings } from '../leader/leader.js';
import { initialLease } from '../lease/lease.js';
import { type CoordinatorStep, toLease } from './coordinator-step.js';
import type {
  CoordinatorEvent,
  CoordinatorOptions,
  CoordinatorResult,
  CoordinatorState,
} from './coordinator-types.js';
import { toLeader } from './leading.js';
import { enqueue } from './operations.js';
import { followPersistent, forgetRunaway, refuseRunaway } from './runaway-claims.js';
import { goOnWithControl, onControl } from './taking-control.js';
import {
  askRanks,
  goOnReading,
  onAnswer,
  onRecordSettled,
  onRecordsRead,
  onRecordsReadFailed,
  toTakeoverOrLeader,
} from './taking-over.js';

/*
 * One coordinator of a deployment, whole: a candidate for the lease; once it holds it, a reader of
 * the store and asker of the ranks; then, with `control` under its own fence, the leader. What
 * ends its lease ends its leadership in the same step, and the lease is looked at before every
 * event.
 *
 *   standby ──lease held──▶ reading ──▶ taking-over ──▶ taking-control ──▶ leading
 *      ▲                                                                     │
 *      └────────────── lease lost, outranked, failed, stopped ◀──────────────┘
 */

export function initialCoordinator(options: CoordinatorOptions): CoordinatorState {
  const { holder, nonce, timings } = options;
  return {
    options,
    lease: initialLease({ holder, nonce, timings: timings.lease }),
    role: { kind: 'standby' },
    writer: null,
    operations: [],
    taken: new Map(),
    creating: new Map(),
    cannotLeadTold: null,
    nextToken: 1,
    runaways: new Map(),
    runawayFollowedAtMs: Number.NEGATIVE_INFINITY,
  };
}

/** One step of the machine; `nowMs` is the process's own monotonic clock. */
export function stepCoordinator(
  state: CoordinatorState,
  event: CoordinatorEvent,
  nowMs: number,
): CoordinatorResult {
  if (state.role.kind === 'stopped') return { state, effects: [] };
  const step: CoordinatorStep = { state: { ...state }, effects: [], nowMs };
  // First of all: who wakes from a pause may not lead any more.
  toLease(step, { kind: 'tick' });
  handle(step, event);
  goOnReading(step);
  goOnWithControl(step);
  return { state: step.state, effects: step.effects };
}

function handle(step: CoordinatorStep, event: CoordinatorEvent): void {
  const refusal = refuseRunaway(step.state, event);
  if (refusal !== null) {
    const { code, message: reason, fields } = refusal;
    step.effects.push({ kind: 'refused', what: event.kind, fields: { code, reason, ...fields } });
    followPersistent(step, event);
    return;
  }
  forgetRunaway(step, event);
  switch (event.kind) {
    case 'tick':
      askRanks(step);
      toLeader(step, event);
      break;
    case 'stop':
      toLease(step, { kind: 'release' });
      break;
    case 'leader-read':
    case 'leader-read-failed':
    case 'leader-written':
      toLease(step, event);
      break;
    case 'control-written':
    case 'control-read':
    case 'control-read-failed':
      onControl(step, event);
      break;
    case 'records-read':
      onRecordsRead(step, event);
      break;
    case 'records-read-failed':
      onRecordsReadFailed(step, event);
      break;
    case 'record-settled':
      onRecordSettled(step, event);
      break;
    case 'answer':
      onAnswer(step, event.answer);
      break;
    case 'report':
      toTakeoverOrLeader(step, event);
      break;
    case 'vote':
    case 'loads':
    case 'outcomes-question':
      toLeader(step, event);
      break;
    case 'timings':
      setTimings(step, event.timings);
      break;
    case 'operate':
      enqueue(step, event);
      break;
  }
}

/** Phases that run already are held against the new deadlines from their own beginning. */
function setTimings(step: CoordinatorStep, timings: LeaderTimings): void {
  const { options, role } = step.state;
  const changed = { ...options, timings: { ...options.timings, leader: timings } };
  step.state.options = changed;
  if (role.kind !== 'leading') return;
  const leader = { ...role.leader, timings, swap: { ...role.leader.swap, timings } };
  step.state.role = { ...role, leader };
}
