import type { CommandRequest } from '../commands/command-request.js';
import { type ControlRecord, encodeControlRecord } from '../control-record.js';
import { sameBytes } from '../decided-version.js';
import { IsobarError } from '../isobar-error.js';
import { unionOfMembers } from '../member.js';
import { changeControl, forgetDeaths, undoOf } from './control-change.js';
import type { CoordinatorStep } from './coordinator-step.js';
import type {
  CoordinatorEffect,
  CoordinatorState,
  Operation,
  QueuedOperation,
} from './coordinator-types.js';
import { noteOf, refusalOf } from './operation-checks.js';

/*
 * What operators and balancing want done, one after the other: the change of `control` first,
 * durable, then the request to the leader; each is answered once both are settled. What is done for a
 * command is written beside the change, before anything is begun: whoever leads by the time it is
 * sent again knows it.
 */

const operationsMax = 64;

export function enqueue(step: CoordinatorStep, operation: Operation): void {
  const { token, change, request, cancel, command } = operation;
  const { operations } = step.state;
  const queued = {
    ...internal(change === null ? [] : [change]),
    token,
    request,
    ...(cancel === undefined ? {} : { cancel }),
    ...(command === undefined ? {} : { command }),
  };
  const refusal = operations.length < operationsMax ? refusalOf(step.state, queued) : busy(step);
  if (refusal === null) step.state.operations = [...operations, queued];
  else step.effects.push({ kind: 'operation-refused', token, error: refusal });
}

function busy({ state }: CoordinatorStep): IsobarError {
  const waiting = state.operations.length;
  const text = `${waiting} operations wait already`;
  return new IsobarError('ISOBAR_COORDINATOR_BUSY', text, { waiting });
}

/** A change that nobody waits for. */
export function internal(changes: QueuedOperation['changes']): QueuedOperation {
  return { token: null, changes, request: null, undo: [], requested: false };
}

/** The record to be written for an operation, null where there is nothing to write. */
export function recordFor(
  state: CoordinatorState,
  operation: QueuedOperation,
  control: ControlRecord,
): ControlRecord | null {
  if (operation.requested) return null;
  const changed = withoutOldDeaths(
    state,
    allChanges(state, operation).reduce(changeControl, control),
  );
  const isSame = sameBytes(encodeControlRecord(changed), encodeControlRecord(control));
  return isSame ? null : changed;
}

/** Before it leads, nobody knows whose deaths still matter. */
function withoutOldDeaths({ role }: CoordinatorState, control: ControlRecord): ControlRecord {
  if (role.kind !== 'leading') return control;
  const { swap, leavers } = role.leader;
  const leaving = unionOfMembers(leavers, swap.open?.voters ?? []);
  return forgetDeaths(control, unionOfMembers(swap.members, leaving));
}

function allChanges(
  state: CoordinatorState,
  operation: QueuedOperation,
): QueuedOperation['changes'] {
  const request = noteOf(state, operation);
  if (request === null) return operation.changes;
  return [...operation.changes, { kind: 'note-request', request }];
}

/** The first operation's changes are durable; `before` is the record as it was. */
export function withUndo(
  state: CoordinatorState,
  operation: QueuedOperation,
  before: ControlRecord,
): QueuedOperation {
  const undo = allChanges(state, operation).flatMap((change) => undoOf(change, before));
  return { ...operation, undo };
}

/** The first operation is done with. */
export function finishOperation(
  step: CoordinatorStep,
  control: ControlRecord,
  refusal: IsobarError | null,
  isRepeated = false,
): void {
  const [first, ...others] = step.state.operations;
  if (first === undefined) return;
  const undoing = refusal === null || first.undo.length === 0 ? [] : [internal(first.undo)];
  step.state.operations = [...undoing, ...others];
  const { token, command } = first;
  if (token === null) return;
  if (refusal !== null) {
    step.effects.push({ kind: 'operation-refused', token, error: refusal });
    return;
  }
  const request = requestOf(control, command?.id);
  step.effects.push({ kind: 'operation-done', token, control, request, isRepeated });
}

export function requestOf(control: ControlRecord, id: string | undefined): CommandRequest | null {
  return control.requests.find((request) => request.id === id) ?? null;
}

/** Nothing that waits will be done by this leadership; the first may have been done already. */
export function refuseAll(
  { operations, writer }: CoordinatorState,
  why: string,
): CoordinatorEffect[] {
  return operations.flatMap(({ token, requested }, index) => {
    if (token === null) return [];
    const inDoubt = index === 0 && (requested || writer !== null);
    const text = `the leadership ended (${why}): ${inDoubt ? 'whether it took place is for the next leader to tell' : 'it did not take place'}`;
    const error = new IsobarError('ISOBAR_COORDINATOR_DEPOSED', text, { inDoubt });
    return [{ kind: 'operation-refused', token, error } as const];
  });
}
