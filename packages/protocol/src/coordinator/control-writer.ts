import { type ControlRecord, encodeControlRecord } from '../control-record.js';
import {
  isPending,
  type PendingAccess,
  type StoredBytes,
  type WriteResult,
} from '../lease/lease-types.js';

/*
 * One write of the record `control`, until it has taken place. A conflict is read: what is there
 * says whether another leads. A write in doubt is written again.
 */

export interface ControlWriter {
  readonly record: ControlRecord;
  readonly expectedRevision: number;
  readonly next: 'write' | 'read';
  readonly nextAtMs: number;
  /** Null while the store is not being asked. */
  readonly pending: PendingAccess | null;
}

export type ControlWriterEvent =
  | { readonly kind: 'control-written'; readonly token: number; readonly result: WriteResult }
  | {
      readonly kind: 'control-read';
      readonly token: number;
      /** Null where there is no record. */
      readonly stored: StoredBytes | null;
    }
  | { readonly kind: 'control-read-failed'; readonly token: number };

export type ControlWriterEffect =
  | {
      readonly kind: 'write-control';
      readonly token: number;
      readonly bytes: Uint8Array;
      /** 0 where there must be no record. */
      readonly expectedRevision: number;
    }
  | { readonly kind: 'read-control'; readonly token: number };

export type ControlWriterOutcome =
  | { readonly kind: 'waiting'; readonly writer: ControlWriter }
  | { readonly kind: 'written'; readonly revision: number }
  /** The record is another than was expected; see `rebase`. */
  | { readonly kind: 'found'; readonly stored: StoredBytes | null; readonly writer: ControlWriter };

export function writeControl(record: ControlRecord, expectedRevision: number): ControlWriter {
  return { record, expectedRevision, next: 'write', nextAtMs: 0, pending: null };
}

/** Writes `record` over what was found. */
export function rebase(
  writer: ControlWriter,
  record: ControlRecord,
  stored: StoredBytes | null,
): ControlWriter {
  return { ...writer, record, expectedRevision: stored?.revision ?? 0, next: 'write' };
}

/** What the store is to be asked now, null where nothing is due. */
export function askControl(
  writer: ControlWriter,
  token: number,
  overdueMs: number,
  nowMs: number,
): { readonly writer: ControlWriter; readonly effect: ControlWriterEffect } | null {
  if (isPending(writer.pending, overdueMs, nowMs) || nowMs < writer.nextAtMs) return null;
  const { expectedRevision, record } = writer;
  const effect: ControlWriterEffect =
    writer.next === 'read'
      ? { kind: 'read-control', token }
      : { kind: 'write-control', token, bytes: encodeControlRecord(record), expectedRevision };
  return { writer: { ...writer, pending: { token, startedAtMs: nowMs } }, effect };
}

/** @returns null where the event belongs to another write */
export function stepControlWriter(
  writer: ControlWriter,
  event: ControlWriterEvent,
  retryMs: number,
  nowMs: number,
): ControlWriterOutcome | null {
  const { pending } = writer;
  if (pending?.token !== event.token) return null;
  const settled = { ...writer, pending: null };
  const later = { ...settled, nextAtMs: pending.startedAtMs + retryMs };
  if (event.kind === 'control-read-failed') return { kind: 'waiting', writer: later };
  if (event.kind === 'control-read') {
    // The revision that was refused, once more: the read may be old, and is not hurried.
    const isNew = (event.stored?.revision ?? 0) !== writer.expectedRevision;
    return { kind: 'found', stored: event.stored, writer: isNew ? settled : later };
  }
  if (event.result.kind === 'set') return { kind: 'written', revision: event.result.revision };
  if (event.result.kind !== 'conflict') return { kind: 'waiting', writer: later };
  return { kind: 'waiting', writer: { ...settled, next: 'read', nextAtMs: nowMs } };
}
