import type { Fence } from '../fence.js';
import type { IsobarError } from '../isobar-error.js';
import type { LeaderRecord } from '../leader-record.js';

export interface LeaseTimings {
  /** A candidate claims a record that it has not seen change for this long. */
  readonly leaseMs: number;
  /** A holder stops leading this long after the start of its last successful write. */
  readonly renewDeadlineMs: number;
  /** From one renewal to the next. */
  readonly renewMs: number;
  /** Between a candidate's reads, and between attempts that fail; the shell's limit of one attempt. */
  readonly retryMs: number;
}

export interface LeaseOptions {
  /** Told to people, and not to be relied on: two processes may have one name. */
  readonly holder: string;
  /** Drawn by the process when it starts, as Fence.nonce. */
  readonly nonce: string;
  readonly timings: LeaseTimings;
}

/** A record of the store as it was read. */
export interface StoredBytes {
  readonly bytes: Uint8Array;
  readonly revision: number;
}

/**
 * What became of a write that expects a revision. `conflict`: the record has another revision, or
 * somebody's write to it is under way. `refused`: nothing was written. `unknown`: it may have
 * been, or may yet be.
 */
export type WriteResult =
  | { readonly kind: 'set'; readonly revision: number }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unknown' };

export interface SeenRecord {
  /** Null where there was no record. */
  readonly stored: StoredBytes | null;
  /** Null where the record can't be read, or there is none. */
  readonly record: LeaderRecord | null;
  /** Why the record can't be read; null where it can, or there is none. */
  readonly error: IsobarError | null;
  readonly sinceMs: number;
}

export type LeasePhase =
  | {
      readonly kind: 'watching';
      /** Null before the first read. */
      readonly seen: SeenRecord | null;
      readonly readAtMs: number;
    }
  | { readonly kind: 'claiming'; readonly seen: SeenRecord; readonly fence: Fence }
  | {
      readonly kind: 'holding';
      readonly fence: Fence;
      readonly revision: number;
      /** Start of the last successful write. */
      readonly writtenAtMs: number;
      /** After a conflict the record is read: an earlier renewal in doubt may have landed. */
      readonly next: 'write' | 'read';
      readonly nextAtMs: number;
    }
  | { readonly kind: 'releasing' }
  | { readonly kind: 'released' };

/** What the store has been asked. */
export interface PendingAccess {
  readonly token: number;
  readonly startedAtMs: number;
}

/** Whether an answer is still to be waited for. */
export function isPending(
  pending: PendingAccess | null | undefined,
  overdueMs: number,
  nowMs: number,
): boolean {
  return pending != null && nowMs - pending.startedAtMs < overdueMs;
}

/** An answer of the store that is later than this is not waited for. */
export function overdueMs(timings: LeaseTimings): number {
  return 2 * timings.retryMs;
}

export interface LeaseState {
  readonly options: LeaseOptions;
  readonly phase: LeasePhase;
  /** The store is asked one thing at a time. */
  readonly pending: PendingAccess | null;
  readonly nextToken: number;
  /** Counts attempts, so that no two writes of a process are alike. */
  readonly writes: number;
  /** Largest term known, of any record and any agent. */
  readonly highestTerm: number;
  /** Whom the newest readable record names, null where nobody. */
  readonly lastHolder: string | null;
  /** The lease is given up as soon as nothing is pending: for good, or for some time. */
  readonly givingUp: { readonly untilMs: number } | null;
  /** Nothing is claimed before. */
  readonly claimAtMs: number;
}

export type LeaseEvent =
  | { readonly kind: 'tick' }
  | {
      readonly kind: 'leader-read';
      readonly token: number;
      /** Null where there is no record. */
      readonly stored: StoredBytes | null;
    }
  | { readonly kind: 'leader-read-failed'; readonly token: number }
  | { readonly kind: 'leader-written'; readonly token: number; readonly result: WriteResult }
  /** The holder can't lead under its fence: it claims a higher term at once. */
  | { readonly kind: 'outranked'; readonly by: Fence }
  /** The holder can't lead as things are: others may, and it tries again after leaseMs. */
  | { readonly kind: 'yield' }
  /** The process is to end. */
  | { readonly kind: 'release' };

export type LeaseEffect =
  | { readonly kind: 'read-leader'; readonly token: number }
  | {
      readonly kind: 'write-leader';
      readonly token: number;
      readonly bytes: Uint8Array;
      /** 0 where there must be no record. */
      readonly expectedRevision: number;
    }
  | { readonly kind: 'lease-held'; readonly fence: Fence }
  | { readonly kind: 'lease-lost'; readonly fence: Fence; readonly why: string }
  | { readonly kind: 'lease-released' }
  /** Who can't read the record does not lead. */
  | { readonly kind: 'leader-unreadable'; readonly error: IsobarError };

export interface LeaseResult {
  readonly state: LeaseState;
  readonly effects: readonly LeaseEffect[];
}
