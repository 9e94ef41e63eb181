import { encode } from '../codec.js';
import { type ControlRecord, controlRecordSchema } from '../control-record.js';
import { sameBytes } from '../decided-version.js';
import { IsobarError } from '../isobar-error.js';
import type { LeaderState } from '../leader/leader-types.js';
import { includesMember, type Member, unionOfMembers } from '../member.js';
import { membersUnheard } from '../swap/takeover.js';
import { type ControlChange, changeControl, undoOf } from './control-change.js';
import type { CoordinatorStep } from './coordinator-step.js';
import type {
  CoordinatorEffect,
  CoordinatorState,
  Operation,
  QueuedOperation,
} from './coordinator-types.js';

/*
 * What operators and balancing want done, one after the other: the change of `control` first,
 * durable, then the request to the leader; each is answered once both are settled.
 */

const operationsMax = 64;

export function enqueue(step: CoordinatorStep, operation: Operation): void {
  const refusal = refusalOf(step.state, operation);
  if (refusal !== null) {
    const { token } = operation;
    step.effects.push({ kind: 'operation-refused', token, error: refusal });
    return;
  }
  const { token, change, request } = operation;
  const queued = { token, change, request, undo: null, requested: false };
  step.state = { ...step.state, operations: [...step.state.operations, queued] };
}

function refusalOf(state: CoordinatorState, { change }: Operation): IsobarError | null {
  const { role, operations } = state;
  // A new leader that waits for a dead rank can be told of the death, and of nothing else.
  const isDeath = change?.kind === 'declare-dead' && role.kind === 'taking-over';
  if (role.kind !== 'leading' && !isDeath) return notLeading(state);
  if (operations.length >= operationsMax) {
    const text = `${operations.length} operations wait already`;
    return new IsobarError('ISOBAR_COORDINATOR_BUSY', text, { waiting: operations.length });
  }
  // While it takes over, answers may tell of members that no record names yet.
  if (change === null || role.kind !== 'leading') return null;
  return unknownMember(role.leader, change);
}

/** The refusal of whoever does not lead: who does, or what it waits for, as far as it knows. */
export function notLeading(state: CoordinatorState): IsobarError {
  const { role, lease } = state;
  const fields: Record<string, unknown> = { holder: lease.lastHolder, role: role.kind };
  let waitsFor = `${lease.lastHolder ?? 'nobody'} held the lease when last seen`;
  if (role.kind === 'taking-over') {
    const members = membersUnheard(role.takeover);
    const told = members.map(({ rank, incarnation }) => `rank ${rank} (${incarnation ?? 'new'})`);
    waitsFor = `it waits for the answer of ${told.join(', ')}`;
    Object.assign(fields, { members });
  }
  const text = `this coordinator does not lead: ${waitsFor}`;
  return new IsobarError('ISOBAR_COORDINATOR_NOT_LEADING', text, fields);
}

function unknownMember(
  { swap, leavers, evidence }: LeaderState,
  change: ControlChange,
): IsobarError | null {
  if (change.kind !== 'drain' && change.kind !== 'declare-dead') return null;
  const rank = change.kind === 'drain' ? change.rank : change.member.rank;
  // Who leaves is waited for as well, and so is who started with a group that no record lists yet.
  const leaving = unionOfMembers(leavers, swap.open?.voters ?? []);
  const lost = [...evidence.witnesses.values()].flatMap(({ engine }) => engine?.brokenPeers ?? []);
  const isKnown = (member: Member) =>
    includesMember(leaving, member) || includesMember(lost, member);
  if (change.kind === 'declare-dead' && isKnown(change.member)) return null;
  const listed = swap.members.find((member) => member.rank === rank);
  if (listed === undefined) {
    const text = `no rank ${rank} is a member of the newest version`;
    return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, { field: 'rank', rank });
  }
  if (change.kind === 'drain' || listed.incarnation === change.member.incarnation) return null;
  const text = `rank ${rank} is listed under incarnation ${listed.incarnation}, not ${change.member.incarnation}`;
  const fields = { field: 'incarnation', rank, incarnation: listed.incarnation };
  return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, fields);
}

/** The record to be written for an operation, null where there is nothing to write. */
export function recordFor(
  operation: QueuedOperation,
  control: ControlRecord,
): ControlRecord | null {
  const { change, requested } = operation;
  if (change === null || requested) return null;
  const changed = changeControl(control, change);
  return sameBytes(encode(changed), encode(control)) ? null : changed;
}

/** Why a record must not be written: nobody could read it any more, and so nobody lead. */
export function refuseRecord(record: ControlRecord): IsobarError | null {
  const { error } = controlRecordSchema.safeParse(record);
  if (error === undefined) return null;
  const [issue] = error.issues;
  const field = issue?.path.map(String).join('.') ?? '';
  const text = `the control record can't have that as its ${field}: ${issue?.message ?? 'unknown'}`;
  return new IsobarError('ISOBAR_COORDINATOR_REQUEST_INVALID', text, { field });
}

/** The first operation's change is durable; `before` is the record as it was. */
export function withUndo(operation: QueuedOperation, before: ControlRecord): QueuedOperation {
  const { change } = operation;
  return { ...operation, undo: change === null ? null : undoOf(change, before) };
}

/** The first operation is done with. */
export function finishOperation(
  step: CoordinatorStep,
  control: ControlRecord,
  refusal: IsobarError | null,
): void {
  const [first, ...others] = step.state.operations;
  if (first === undefined) return;
  const undoing =
    refusal === null || first.undo === null
      ? []
      : [{ token: null, change: first.undo, request: null, undo: null, requested: false }];
  step.state = { ...step.state, operations: [...undoing, ...others] };
  const { token } = first;
  if (token === null) return;
  step.effects.push(
    refusal === null
      ? { kind: 'operation-done', token, control }
      : { kind: 'operation-refused', token, error: refusal },
  );
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
