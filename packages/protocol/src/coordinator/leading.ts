import { IsobarError } from '../isobar-error.js';
import { type LeaderEffect, type LeaderEvent, stepLeader } from '../leader/leader.js';
import { isPending, overdueMs } from '../lease/lease-types.js';
import { type CoordinatorStep, type EventOf, giveWay, toLease } from './coordinator-step.js';
import { finishOperation, notLeading } from './operations.js';

/** While it leads: everything goes to the leader, and what the leader wants to the shell. */
export function toLeader(step: CoordinatorStep, event: LeaderEvent): void {
  const { role } = step.state;
  if (role.kind !== 'leading') return;
  const { state: leader, effects } = stepLeader(role.leader, event, step.nowMs);
  step.state = { ...step.state, role: { ...role, leader } };
  for (const effect of effects) {
    // What follows the end of this leadership was meant for it.
    if (step.state.role.kind !== 'leading') return;
    onLeaderEffect(step, effect);
  }
}

function onLeaderEffect(step: CoordinatorStep, effect: LeaderEffect): void {
  const { role } = step.state;
  if (role.kind !== 'leading') return;
  switch (effect.kind) {
    case 'ask':
    case 'outcomes-answer':
      step.effects.push({ ...effect, fence: role.fence });
      return;
    case 'create-record':
      createRecord(step, effect.version, effect.bytes);
      return;
    case 'deposed':
      toLease(step, { kind: 'outranked', by: effect.by });
      return;
    case 'failed':
      giveWay(step, effect.error);
      return;
    case 'request-accepted':
      onRequested(step, effect.token, null);
      return;
    case 'request-refused':
      onRequested(step, effect.token, effect.error);
      return;
    default:
      step.effects.push(effect);
  }
}

/** Creations are asked for again and again; one of a version is under way at a time. */
export function createRecord(step: CoordinatorStep, version: number, bytes: Uint8Array): void {
  const { creating: before, nextToken: token, options } = step.state;
  const limitMs = overdueMs(options.timings.lease);
  if (isPending(before.get(version), limitMs, step.nowMs)) return;
  const creating = new Map(before).set(version, { token, startedAtMs: step.nowMs });
  step.state = { ...step.state, creating, nextToken: token + 1 };
  step.effects.push({ kind: 'create-record', token, version, bytes });
}

/** The first operation's change, if any, is durable: the leader is asked, if that is wanted. */
export function makeRequest(step: CoordinatorStep): void {
  const { role, operations } = step.state;
  const [first, ...others] = operations;
  if (role.kind !== 'leading' || first === undefined) return;
  if (first.request === null || first.token === null) {
    finishOperation(step, role.control.record, null);
    return;
  }
  step.state = { ...step.state, operations: [{ ...first, requested: true }, ...others] };
  toLeader(step, { kind: 'request', token: first.token, ...first.request });
}

function onRequested(step: CoordinatorStep, token: number, refusal: IsobarError | null): void {
  const { role, operations } = step.state;
  if (role.kind !== 'leading' || operations[0]?.token !== token) return;
  finishOperation(step, role.control.record, refusal);
}

export function onCancel(step: CoordinatorStep, { token, reason }: EventOf<'cancel'>): void {
  const { role } = step.state;
  const refusal = refuseCancel(step);
  if (refusal !== null || role.kind !== 'leading') {
    const error = refusal ?? notLeading(step.state);
    step.effects.push({ kind: 'operation-refused', token, error });
    return;
  }
  toLeader(step, { kind: 'cancel', reason });
  step.effects.push({ kind: 'operation-done', token, control: role.control.record });
}

function refuseCancel({ state }: CoordinatorStep): IsobarError | null {
  if (state.role.kind !== 'leading') return notLeading(state);
  const { open, waiting } = state.role.leader.swap;
  if (open === null) return new IsobarError('ISOBAR_COORDINATOR_NO_SWAP', 'no swap is open');
  if (open.phase === 'preparing' || waiting.length > 0) return null;
  const { version } = open.proposal;
  const text = `version ${version} is decided already, and ${open.phase}`;
  return new IsobarError('ISOBAR_COORDINATOR_DECIDED', text, { version, phase: open.phase });
}
