import type { ControlRecord } from '../control-record.js';
import { type Fence, isFenced } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import { initialLeader } from '../leader/leader.js';
import { overdueMs, type StoredBytes } from '../lease/lease-types.js';
import { membersWithout } from '../member.js';
import type { Ground } from '../swap/ground.js';
import {
  askControl,
  type ControlWriterEvent,
  rebase,
  stepControlWriter,
  writeControl,
} from './control-writer.js';
import { type CoordinatorStep, enterReading, giveWay, toLease } from './coordinator-step.js';
import type { CoordinatorRole } from './coordinator-types.js';
import { makeRequest, pruneRecords, toLeader } from './leading.js';
import { knownRequest, refusalNow, refuseRecord } from './operation-checks.js';
import { finishOperation, recordFor, withUndo } from './operations.js';
import { recoverRequests } from './recover-requests.js';
import { controlUnder, readable, readControl, type StoredControl } from './stored-records.js';

/*
 * The record `control`: taken under the new fence as the last thing before a coordinator leads,
 * and rewritten for each change that an operator asks for.
 */

export function takeControl(
  step: CoordinatorStep,
  fence: Fence,
  ground: Ground,
  control: StoredControl | null,
): void {
  const record = firstControl(step, fence, ground, control?.record ?? null);
  const writer = writeControl(record, control?.revision ?? 0);
  step.state.role = { kind: 'taking-control', fence, ground };
  step.state.writer = writer;
}

function firstControl(
  step: CoordinatorStep,
  fence: Fence,
  ground: Ground,
  stored: ControlRecord | null,
): ControlRecord {
  const before = controlUnder(fence, stored, step.state.options.mode);
  const record = { ...before, requests: recoverRequests(before.requests, ground) };
  return ground.storeBehind ? { ...record, mode: 'observe' } : record;
}

/** Begins the next operation, and asks the store for what is due. */
export function goOnWithControl(step: CoordinatorStep): void {
  while (startOperation(step));
  const { writer, nextToken, options } = step.state;
  const limitMs = overdueMs(options.timings.lease);
  const asked = writer === null ? null : askControl(writer, nextToken, limitMs, step.nowMs);
  if (asked === null) return;
  step.state.writer = asked.writer;
  step.state.nextToken = nextToken + 1;
  step.effects.push(asked.effect);
}

/** @returns whether the first operation has been dealt with, so that the next one may begin */
function startOperation(step: CoordinatorStep): boolean {
  const { writer, operations } = step.state;
  const [first] = operations;
  const control = controlOf(step);
  if (first === undefined || control === null || writer !== null || first.requested) return false;
  const known = knownRequest(first, control.record);
  if (known !== null) {
    // Nothing was written for it, and nothing is: it was done before, or never will be.
    const isRepeated = !(known instanceof IsobarError);
    finishOperation(step, control.record, isRepeated ? null : known, isRepeated);
    return true;
  }
  const record = recordFor(step.state, first, control.record);
  // For what becomes of a command room was left when it was taken.
  const bytesMax = first.token === null ? Infinity : step.state.options.payloadBytesMax;
  const refusal =
    (record === null ? null : refuseRecord(record, control.record, bytesMax)) ??
    refusalNow(step.state, first, record ?? control.record, step.nowMs);
  if (refusal !== null) {
    finishOperation(step, control.record, refusal);
    return true;
  }
  if (record !== null) {
    step.state.writer = writeControl(record, control.revision);
    return false;
  }
  if (step.state.role.kind === 'leading') makeRequest(step);
  else finishOperation(step, control.record, null);
  return true;
}

/** `control` as this leadership has it, null where it may not be written now. */
function controlOf({ state }: CoordinatorStep): StoredControl | null {
  const { role, options } = state;
  if (role.kind === 'leading') return role.control;
  if (role.kind !== 'taking-over' || role.takeover.phase !== 'asking') return null;
  const record = controlUnder(role.fence, role.control?.record ?? null, options.mode);
  return { record, revision: role.control?.revision ?? 0 };
}

export function onControl(step: CoordinatorStep, event: ControlWriterEvent): void {
  const { writer, options } = step.state;
  if (writer === null) return;
  const outcome = stepControlWriter(writer, event, options.timings.lease.retryMs, step.nowMs);
  if (outcome === null) return;
  step.state.writer = outcome.kind === 'written' ? null : outcome.writer;
  if (outcome.kind === 'found') onControlFound(step, outcome.stored);
  if (outcome.kind === 'written') onControlWritten(step, writer.record, outcome.revision);
}

/** Another write was there first: of a higher leader, of one before, or an own one in doubt. */
function onControlFound(step: CoordinatorStep, stored: StoredBytes | null): void {
  const { role, writer } = step.state;
  if (writer === null || !('fence' in role)) return;
  const found = readable(() => readControl(stored));
  if (found instanceof IsobarError) {
    giveWay(step, found);
    return;
  }
  const by = found?.record.fence ?? null;
  if (by !== null && isFenced(by, role.fence)) {
    toLease(step, { kind: 'outranked', by });
    return;
  }
  const record = recordOver(step, role, found?.record ?? null) ?? writer.record;
  step.state.writer = rebase(writer, record, stored);
}

/** What is to be written over the record found; null: the same, since what a leader has is newer. */
function recordOver(
  step: CoordinatorStep,
  role: CoordinatorRole,
  found: ControlRecord | null,
): ControlRecord | null {
  if (role.kind === 'taking-control') return firstControl(step, role.fence, role.ground, found);
  const [first] = step.state.operations;
  if (role.kind !== 'taking-over' || first === undefined) return null;
  return recordFor(step.state, first, controlUnder(role.fence, found, step.state.options.mode));
}

function onControlWritten(step: CoordinatorStep, record: ControlRecord, revision: number): void {
  const { role } = step.state;
  const control = { record, revision };
  if (role.kind === 'taking-control') {
    lead(step, role.fence, role.ground, control);
  } else if (role.kind === 'taking-over') {
    finishOperation(step, record, null);
    // Who is proven dead need not answer: the takeover begins anew with what is known now.
    enterReading(step, role.fence, step.nowMs);
  } else if (role.kind === 'leading') {
    const [first, ...others] = step.state.operations;
    const before = role.control.record;
    const operations = first === undefined ? [] : [withUndo(step.state, first, before), ...others];
    step.state.role = { ...role, control };
    step.state.operations = operations;
    step.effects.push({ kind: 'control-changed', control: record });
    const members = membersWithout(before.dead, record.dead);
    if (members.length > 0) {
      step.effects.push({
        kind: 'refused',
        what: 'keeping old declared deaths',
        fields: { members },
      });
    }
    toLeader(step, { kind: 'control', control: record });
    makeRequest(step);
  }
}

function lead(step: CoordinatorStep, fence: Fence, ground: Ground, control: StoredControl): void {
  const { timings, configuredRanks, topology = null, payloadBytesMax } = step.state.options;
  const { record } = control;
  const leader = initialLeader(ground, record, fence, {
    timings: timings.leader,
    configuredRanks,
    topology,
    payloadBytesMax,
  });
  step.state.role = { kind: 'leading', fence, leader, control };
  step.state.cannotLeadTold = null;
  step.effects.push({ kind: 'led', fence, ground, control: record });
  pruneRecords(step);
  if (ground.storeBehind) {
    const fields = { version: ground.newest.version };
    step.effects.push({ kind: 'alarm', alarm: 'store-behind', fields });
  }
  toLeader(step, { kind: 'tick' });
}
