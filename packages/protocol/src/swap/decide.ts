import type { Fence } from '../fence.js';
import {
  type CommittedRecord,
  encodeMapRecord,
  type MapRecord,
  type VoidRecord,
} from '../map-record.js';
import type { CoordinatorSwapResult, CoordinatorSwapState } from './coordinator-swap-state.js';
import { enter, type OpenSwap } from './open-swap.js';

export function unchanged(state: CoordinatorSwapState): CoordinatorSwapResult {
  return { state, effects: [] };
}

export function refused(
  state: CoordinatorSwapState,
  what: string,
  fields: Readonly<Record<string, unknown>> = {},
): CoordinatorSwapResult {
  const open = state.open?.proposal.version ?? null;
  return { state, effects: [{ kind: 'refused', what, fields: { open, ...fields } }] };
}

export function deposed(state: CoordinatorSwapState, by: Fence): CoordinatorSwapResult {
  return { state: { ...state, deposed: true }, effects: [{ kind: 'deposed', by }] };
}

export function decideCommitted(
  state: CoordinatorSwapState,
  open: OpenSwap,
  nowMs: number,
): CoordinatorSwapResult {
  const { proposal, mapping } = open;
  if (mapping === null) throw new Error('a number that can only become void had votes');
  const { version, change, reason, base, digest, members, voided } = proposal;
  const record: CommittedRecord = {
    schema: 1,
    outcome: 'committed',
    version,
    fence: state.fence,
    change,
    reason,
    base,
    digest,
    mapping,
    members,
    voided,
  };
  return decide(state, open, record, nowMs);
}

export function decideVoid(
  state: CoordinatorSwapState,
  open: OpenSwap,
  reason: string,
  nowMs: number,
): CoordinatorSwapResult {
  const record: VoidRecord = {
    schema: 1,
    outcome: 'void',
    version: open.proposal.version,
    fence: state.fence,
    reason: reason.slice(0, 1_000),
  };
  return decide(state, open, record, nowMs);
}

function decide(
  state: CoordinatorSwapState,
  open: OpenSwap,
  record: MapRecord,
  nowMs: number,
): CoordinatorSwapResult {
  const recordBytes = encodeMapRecord(record);
  const deciding = { ...enter(open, 'deciding', nowMs), record, recordBytes };
  return {
    state: { ...state, open: deciding },
    effects: [{ kind: 'create-record', version: record.version, bytes: recordBytes }],
  };
}
