import { askedByOf, type CommandOutcome, endedRequest } from '../commands/command-request.js';
import type { IsobarError } from '../isobar-error.js';
import { type LeaderEffect, type LeaderEvent, stepLeader } from '../leader/leader.js';
import { isPending, overdueMs } from '../lease/lease-types.js';
import { type CoordinatorStep, giveWay, toLease } from './coordinator-step.js';
import type { QueuedOperation } from './coordinator-types.js';
import { refuseCancel } from './operation-checks.js';
import { finishOperation, internal, requestOf } from './operations.js';

/** While it leads: everything goes to the leader, and what the leader wants to the shell. */
export function toLeader(step: CoordinatorStep, event: LeaderEvent): void {
  const { role } = step.state;
  if (role.kind !== 'leading') return;
  const { kind, fence, control } = role;
  const { state: leader, effects } = stepLeader(role.leader, event, step.nowMs);
  step.state.role = { kind, fence, leader, control };
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
    case 'request-ended':
      onRequestEnded(step, effect);
      step.effects.push(effect);
      return;
    case 'swap-finished':
      onSwapFinished(step, effect);
      step.effects.push(effect);
      pruneRecords(step);
      return;
    default:
      step.effects.push(effect);
  }
}

/** Only who has taken over knows what has been retired. */
export function pruneRecords({ state, effects }: CoordinatorStep): void {
  if (state.role.kind !== 'leading') return;
  const { retiredUpTo } = state.role.leader.swap;
  if (retiredUpTo > 0) effects.push({ kind: 'prune-records', retiredUpTo });
}

/** Creations are asked for again and again; one of a version is under way at a time. */
export function createRecord(step: CoordinatorStep, version: number, bytes: Uint8Array): void {
  const { creating: before, nextToken: token, options } = step.state;
  const limitMs = overdueMs(options.timings.lease);
  if (isPending(before.get(version), limitMs, step.nowMs)) return;
  const creating = new Map(before).set(version, { token, startedAtMs: step.nowMs });
  step.state.creating = creating;
  step.state.nextToken = token + 1;
  step.effects.push({ kind: 'create-record', token, version, bytes });
}

/** The first operation's changes, if any, are durable: the leader is asked, if that is wanted. */
export function makeRequest(step: CoordinatorStep): void {
  const { role, operations } = step.state;
  const [first, ...others] = operations;
  if (role.kind !== 'leading' || first === undefined) return;
  const { request, cancel, token } = first;
  if (cancel !== undefined) {
    finishOperation(step, role.control.record, cancelOpen(step, first, cancel.reason));
    return;
  }
  if (request === null || token === null) {
    finishOperation(step, role.control.record, null);
    return;
  }
  step.state.operations = [{ ...first, requested: true }, ...others];
  step.state.taken = takenWith(step, first, token);
  const { command } = first;
  const askedBy = command === undefined ? {} : { askedBy: askedByOf(command) };
  toLeader(step, { kind: 'request', token, ...request, ...askedBy });
}

function takenWith(
  { state }: CoordinatorStep,
  { command, request }: QueuedOperation,
  token: number,
): CoordinatorStep['state']['taken'] {
  if (command === undefined) return state.taken;
  const isPlannedAnew = request?.change === 'rollback';
  return new Map(state.taken).set(token, { id: command.id, isPlannedAnew });
}

function cancelOpen(
  step: CoordinatorStep,
  { command }: QueuedOperation,
  reason: string,
): IsobarError | null {
  const { role } = step.state;
  if (role.kind !== 'leading') return null;
  // It may have been decided while the command was being written.
  const refusal = refuseCancel(role.leader);
  if (refusal !== null) return refusal;
  const askedBy = command === undefined ? {} : { askedBy: askedByOf(command) };
  toLeader(step, { kind: 'cancel', reason, ...askedBy });
  return null;
}

function onRequested(step: CoordinatorStep, token: number, refusal: IsobarError | null): void {
  const { role, operations } = step.state;
  if (role.kind !== 'leading' || operations[0]?.token !== token) return;
  if (refusal !== null) untake(step, token);
  finishOperation(step, role.control.record, refusal);
}

function onRequestEnded(
  step: CoordinatorStep,
  { token, outcome, reason }: Extract<LeaderEffect, { readonly kind: 'request-ended' }>,
): void {
  const taken = step.state.taken.get(token);
  if (taken === undefined) return;
  untake(step, token);
  if (taken.isPlannedAnew && outcome === 'outdated') return;
  endRequest(step, taken.id, outcome, reason);
}

function untake(step: CoordinatorStep, token: number): void {
  const taken = new Map(step.state.taken);
  taken.delete(token);
  step.state.taken = taken;
}

/** A cancel has come to its end with the swap that was open. */
function onSwapFinished(
  step: CoordinatorStep,
  { version, outcome }: Extract<LeaderEffect, { readonly kind: 'swap-finished' }>,
): void {
  const { role } = step.state;
  if (role.kind !== 'leading') return;
  const awaiting = role.control.record.requests.filter(
    (request) => request.outcome === null && request.awaitedVersion === version,
  );
  for (const { id } of awaiting) {
    const wasVoided = outcome === 'void';
    const reason = wasVoided ? `version ${version} is void` : `version ${version} had been decided`;
    endRequest(step, id, wasVoided ? 'cancelled' : 'committed', reason);
  }
}

/** What became of a command is kept, as soon as the store takes it. */
function endRequest(
  step: CoordinatorStep,
  id: string,
  outcome: CommandOutcome,
  reason: string,
): void {
  const { role, operations } = step.state;
  if (role.kind !== 'leading') return;
  const request = requestOf(role.control.record, id);
  if (request === null) return;
  const { version } = role.leader.swap.newest;
  const ended = endedRequest(request, outcome, reason, version);
  const ending = internal([{ kind: 'note-request', request: ended }]);
  step.state.operations = [...operations, ending];
}
