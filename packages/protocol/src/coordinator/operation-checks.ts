import { encode } from '../codec.js';
import { type CommandRequest, endedRequest } from '../commands/command-request.js';
import { type ControlRecord, controlRecordSchema, encodeControlRecord } from '../control-record.js';
import { sameBytes } from '../decided-version.js';
import { IsobarError } from '../isobar-error.js';
import type { LeaderState } from '../leader/leader-types.js';
import { refuseRequest } from '../leader/requests.js';
import { includesMember, type Member, unionOfMembers } from '../member.js';
import type { Parameters } from '../parameters.js';
import { membersUnheard } from '../swap/takeover.js';
import { type ControlChange, changeControl, hasRoomForRequest } from './control-change.js';
import type { CoordinatorState, Operation, QueuedOperation } from './coordinator-types.js';
import { controlUnder } from './stored-records.js';

/** Why an operation can't be taken at all, null where it can. */
export function refusalOf(
  state: CoordinatorState,
  { changes }: Pick<QueuedOperation, 'changes'>,
): IsobarError | null {
  const { role } = state;
  // A new leader that waits for a dead rank can be told of the death, and of nothing else.
  const isDeath = changes.some(({ kind }) => kind === 'declare-dead');
  if (role.kind !== 'leading') {
    // While it takes over, answers may tell of members that no record names yet.
    return isDeath && role.kind === 'taking-over' ? null : notLeading(state);
  }
  for (const change of changes) {
    const refusal = unknownMember(role.leader, change);
    if (refusal !== null) return refusal;
  }
  return null;
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

function refuseLimit(
  { slotOffsets }: LeaderState['mapping'],
  { rank, slots }: Extract<ControlChange, { readonly kind: 'limit-slots' }>,
): IsobarError | null {
  const numRanks = slotOffsets.length - 1;
  if (rank >= numRanks) {
    const text = `there is no rank ${rank}, but ${numRanks} of them`;
    return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, { field: 'rank', rank });
  }
  const own = (slotOffsets[rank + 1] ?? 0) - (slotOffsets[rank] ?? 0);
  if (slots === null || slots <= own) return null;
  const text = `rank ${rank} has ${own} slots of a layer, not ${slots}`;
  const fields = { field: 'slots', rank, slots: own };
  return new IsobarError('ISOBAR_COORDINATOR_REQUEST_INVALID', text, fields);
}

function unknownMember(
  { swap, leavers, evidence, mapping }: LeaderState,
  change: ControlChange,
): IsobarError | null {
  if (change.kind === 'limit-slots') return refuseLimit(mapping, change);
  if (change.kind === 'drain') {
    if (swap.members.some(({ rank }) => change.ranks.includes(rank))) return null;
    const text = `no rank ${change.ranks.join(', ')} is a member of the newest version`;
    const fields = { field: 'rank', ranks: change.ranks };
    return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, fields);
  }
  if (change.kind !== 'declare-dead') return null;
  const { rank, incarnation } = change.member;
  // Who leaves is waited for as well, and so is who started with a group that no record lists yet.
  const leaving = unionOfMembers(leavers, swap.open?.voters ?? []);
  const lost = [...evidence.witnesses.values()].flatMap(({ engine }) => engine?.brokenPeers ?? []);
  const isKnown = (member: Member) =>
    includesMember(leaving, member) || includesMember(lost, member);
  if (isKnown(change.member)) return null;
  const listed = swap.members.find((member) => member.rank === rank);
  if (listed === undefined) {
    const text = `no rank ${rank} is a member of the newest version`;
    return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, { field: 'rank', rank });
  }
  if (listed.incarnation === incarnation) return null;
  const text = `rank ${rank} is listed under incarnation ${listed.incarnation}, not ${incarnation}`;
  const fields = { field: 'incarnation', rank, incarnation: listed.incarnation };
  return new IsobarError('ISOBAR_COORDINATOR_UNKNOWN_MEMBER', text, fields);
}

/**
 * Whether a command has been taken before, by this leadership or another.
 * @returns null where it has not been; the refusal where its id stands for another question
 */
export function knownRequest(
  { command }: Pick<QueuedOperation, 'command'>,
  control: ControlRecord,
): CommandRequest | IsobarError | null {
  if (command === undefined || command.goesOn === true) return null;
  const known = control.requests.find(({ id }) => id === command.id);
  if (known === undefined) {
    if (hasRoomForRequest(control)) return null;
    const text = `${control.requests.length} commands are running already`;
    const fields = { running: control.requests.length };
    return new IsobarError('ISOBAR_COORDINATOR_BUSY', text, fields);
  }
  if (known.digest === command.digest) return known;
  const text = `request ${command.id} was a ${known.command} with another question: draw another id`;
  const fields = { field: 'requestId', requestId: command.id, command: known.command };
  return new IsobarError('ISOBAR_COORDINATOR_REQUEST_ID_REUSED', text, fields);
}

/** Why the leader would not do now what an operation asks of it, null where it would. */
export function refusalNow(
  state: CoordinatorState,
  { request, cancel, changes }: Pick<QueuedOperation, 'request' | 'cancel' | 'changes'>,
  control: ControlRecord,
  nowMs: number,
): IsobarError | null {
  const { role } = state;
  if (role.kind !== 'leading') return null;
  const outdated = refuseParameters(role.control.record, changes);
  if (outdated !== null) return outdated;
  if (cancel !== undefined) return refuseCancel(role.leader);
  if (request === null) return null;
  return refuseRequest(
    { ...role.leader, control },
    { kind: 'request', token: 0, ...request },
    nowMs,
  );
}

/** Parameters hold together only over those that they were checked over. */
function refuseParameters(
  { parameters }: ControlRecord,
  changes: QueuedOperation['changes'],
): IsobarError | null {
  const isSame = (other: Parameters) => sameBytes(encode(other), encode(parameters));
  const outdated = changes.some(
    (change) => change.kind === 'parameters' && !isSame(change.checkedOver),
  );
  if (!outdated) return null;
  const text = 'another command has set parameters meanwhile: look at them, and ask again';
  return new IsobarError('ISOBAR_COORDINATOR_PARAMETERS_CHANGED', text, { field: 'parameters' });
}

export function refuseCancel({ swap }: LeaderState): IsobarError | null {
  const { open, waiting } = swap;
  if (open === null) return new IsobarError('ISOBAR_COORDINATOR_NO_SWAP', 'no swap is open');
  if (open.phase === 'preparing' || waiting.length > 0) return null;
  const { version } = open.proposal;
  const text = `version ${version} is decided already, and ${open.phase}`;
  return new IsobarError('ISOBAR_COORDINATOR_DECIDED', text, { version, phase: open.phase });
}

/** A command as it is kept from before it is begun; null where an operation is done for none. */
export function noteOf(
  state: CoordinatorState,
  { command, request, cancel }: Pick<QueuedOperation, 'command' | 'request' | 'cancel'>,
): CommandRequest | null {
  if (command === undefined) return null;
  const { id, digest, requester, ended } = command;
  const leader = state.role.kind === 'leading' ? state.role.leader : null;
  const newest = leader?.swap.newest.version ?? null;
  const isRunning = request !== null || cancel !== undefined;
  const note: CommandRequest = {
    id,
    digest,
    command: command.command,
    requester,
    outcome: null,
    reason: '',
    baseVersion: isRunning ? newest : null,
    version: null,
    targetDigest: request?.waves?.at(-1)?.digest ?? null,
    awaitedVersion: cancel === undefined ? null : (leader?.swap.open?.proposal.version ?? null),
    emptiedRanks: request?.change === 'limit-slots' ? [] : [...(request?.ranks ?? [])],
  };
  if (ended !== undefined) return endedRequest(note, ended.outcome, ended.reason, newest);
  return isRunning ? note : endedRequest(note, 'done', '', newest);
}

/** Left for what becomes of the commands in it, and for the message around it. */
const controlReserveBytes = 64 * 2_048;

/**
 * Why a record must not be written: nobody could read it any more, and so nobody lead, or the server
 * would not take it, now or once what became of its commands is added.
 */
export function refuseRecord(
  record: ControlRecord,
  before: ControlRecord,
  payloadBytesMax: number,
): IsobarError | null {
  const { error } = controlRecordSchema.safeParse(record);
  if (error === undefined) return refuseRecordSize(record, before, payloadBytesMax);
  const [issue] = error.issues;
  const field = issue?.path.map(String).join('.') ?? '';
  const text = `the control record can't have that as its ${field}: ${issue?.message ?? 'unknown'}`;
  return new IsobarError('ISOBAR_COORDINATOR_REQUEST_INVALID', text, { field });
}

/** What makes it smaller is taken whatever its size. */
function refuseRecordSize(
  record: ControlRecord,
  before: ControlRecord,
  payloadBytesMax: number,
): IsobarError | null {
  const bytes = encodeControlRecord(record).byteLength;
  const bytesMax = payloadBytesMax - controlReserveBytes;
  if (bytes <= bytesMax || bytes <= encodeControlRecord(before).byteLength) return null;
  const text = `the control record would have ${bytes} bytes, more than ${bytesMax}: wait for commands that run, or name fewer ranks`;
  return new IsobarError('ISOBAR_COORDINATOR_TOO_LARGE', text, { bytes, bytesMax });
}

/** What an operation would meet now. Nothing is changed. */
export interface OperationPreview {
  readonly refusal: IsobarError | null;
  /** As it would be written. */
  readonly control: ControlRecord;
}

export function previewOperation(
  state: CoordinatorState,
  operation: Omit<Operation, 'token'>,
  nowMs: number,
): OperationPreview {
  const changes = operation.change === null ? [] : [operation.change];
  const before = controlBefore(state);
  const control = changes.reduce(changeControl, before);
  const refusal =
    refusalOf(state, { changes }) ??
    refuseRecord(control, before, state.options.payloadBytesMax) ??
    refusalNow(state, { ...operation, changes }, control, nowMs);
  return { refusal, control };
}

/** As it is, or as whoever takes over would write it. */
function controlBefore({ role, options }: CoordinatorState): ControlRecord {
  if (role.kind === 'leading') return role.control.record;
  if (role.kind === 'taking-over') {
    return controlUnder(role.fence, role.control?.record ?? null, options.mode);
  }
  return controlUnder({ term: 1, nonce: '0'.repeat(16) }, null, options.mode);
}
