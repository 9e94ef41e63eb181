import type { TransferTopology } from '@isobar/eplb';
import type {
  CommandIdentity,
  CommandOutcome,
  CommandRequest,
} from '../commands/command-request.js';
import type { ControlRecord, Mode } from '../control-record.js';
import type { Fence } from '../fence.js';
import type { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import type {
  LeaderAlarm,
  LeaderEffect,
  LeaderRequest,
  LeaderState,
  LeaderTimings,
} from '../leader/leader.js';
import type {
  LeaseEffect,
  LeaseEvent,
  LeaseOptions,
  LeaseState,
  LeaseTimings,
  PendingAccess,
  StoredBytes,
} from '../lease/lease-types.js';
import type { RankAnswer, RankReport, Vote } from '../messages.js';
import type { Ground } from '../swap/ground.js';
import type { TakeoverAlarm, TakeoverState } from '../swap/takeover-state.js';
import type { ControlChange } from './control-change.js';
import type { ControlWriter, ControlWriterEffect, ControlWriterEvent } from './control-writer.js';
import type { StoredControl } from './stored-records.js';

export interface CoordinatorTimings {
  readonly lease: LeaseTimings;
  readonly leader: LeaderTimings;
  /** A new leader asks ranks that have not answered again after this long. */
  readonly askMs: number;
  /** A rank that tells a term further ahead than is followed at once is followed after this long. @default 60,000 */
  readonly runawayFollowMs?: number;
  /** At most once in this time. @default 3,600,000 */
  readonly runawayFollowEveryMs?: number;
}

export interface CoordinatorOptions extends Omit<LeaseOptions, 'timings'> {
  readonly timings: CoordinatorTimings;
  /** Ranks of the topology. */
  readonly configuredRanks: readonly number[];
  /** Whence a rank that takes over experts gets them. @default all ranks are alike */
  readonly topology?: TransferTopology;
  /** The server's limit of one message. */
  readonly payloadBytesMax: number;
  /** What is done where no control record says it yet. */
  readonly mode: Mode;
}

/**
 * What an operator, or balancing, wants done: a change of `control`, then a request or a cancel.
 */
export interface Operation {
  /** Drawn by the shell, never twice. */
  readonly token: number;
  /** Written before the request is made, and taken back where that is refused. */
  readonly change: ControlChange | null;
  readonly request: Omit<LeaderRequest, 'kind' | 'token' | 'askedBy'> | null;
  /** Voids the open swap where it is not decided, and drops the waves that wait. */
  readonly cancel?: { readonly reason: string };
  /** The command that it is done for: once, whatever leadership it is sent to and however often. */
  readonly command?: OperationCommand;
}

export interface OperationCommand extends CommandIdentity {
  /** This leadership has taken it before: it is planned anew, or has come to nothing. */
  readonly goesOn?: true;
  /** What became of it, where that is known with the change. @default done, or it is running */
  readonly ended?: { readonly outcome: CommandOutcome; readonly reason: string };
}

export interface QueuedOperation extends Omit<Operation, 'token' | 'change'> {
  /** Null where nobody waits for the answer. */
  readonly token: number | null;
  readonly changes: readonly ControlChange[];
  readonly undo: readonly ControlChange[];
  /** The changes are written, and the leader has been asked. */
  readonly requested: boolean;
}

/** A command's request that the leader has taken, or is asked to take. */
export interface TakenRequest {
  readonly id: string;
  /** Where another version was first, the shell plans it anew. */
  readonly isPlannedAnew: boolean;
}

export type CoordinatorRole =
  | { readonly kind: 'standby' }
  /** Holds the lease, and reads what the store has. */
  | {
      readonly kind: 'reading';
      readonly fence: Fence;
      readonly pending: PendingAccess | null;
      readonly readAtMs: number;
    }
  | {
      readonly kind: 'taking-over';
      readonly fence: Fence;
      readonly takeover: TakeoverState;
      readonly control: StoredControl | null;
      readonly askAtMs: number;
    }
  /** The last thing before it leads: `control`, under its own fence. */
  | { readonly kind: 'taking-control'; readonly fence: Fence; readonly ground: Ground }
  | {
      readonly kind: 'leading';
      readonly fence: Fence;
      readonly leader: LeaderState;
      readonly control: StoredControl;
    }
  | { readonly kind: 'stopped' };

export interface CoordinatorState {
  readonly options: CoordinatorOptions;
  readonly lease: LeaseState;
  readonly role: CoordinatorRole;
  /** The write of `control` under way. */
  readonly writer: ControlWriter | null;
  /** The first one is under way. */
  readonly operations: readonly QueuedOperation[];
  /** Commands' requests that have not ended, by their tokens. */
  readonly taken: ReadonlyMap<number, TakenRequest>;
  /** Creations under way, by version. */
  readonly creating: ReadonlyMap<number, PendingAccess>;
  /** Why it could not lead, as it was told last; null once it has led. */
  readonly cannotLeadTold: string | null;
  readonly nextToken: number;
  /** Ranks whose reports tell a term further ahead than is followed at once. */
  readonly runaways: ReadonlyMap<number, RunawayRank>;
  /** When such a rank was last followed. */
  readonly runawayFollowedAtMs: number;
}

export interface RunawayRank {
  readonly fence: Fence;
  readonly sinceMs: number;
}

/** What became of the creation of a record. */
export type CreateRecordResult =
  | { readonly kind: 'created' }
  | { readonly kind: 'exists'; readonly bytes: Uint8Array }
  /** It was not created, or nobody knows: created again. */
  | { readonly kind: 'unknown' };

/**
 * What the shell tells. Each effect that asks the store is answered by one event with its token; an
 * answer that is overdue is not waited for, and one to what an earlier leadership asked is ignored.
 */
export type CoordinatorEvent =
  | { readonly kind: 'tick' }
  /** The process is to end: the lease is given up, then `released` follows. */
  | { readonly kind: 'stop' }
  | Extract<LeaseEvent, { readonly token: number }>
  | ControlWriterEvent
  | {
      readonly kind: 'records-read';
      readonly token: number;
      /** Every `map.N`, in any order. */
      readonly maps: readonly Uint8Array[];
      readonly control: StoredBytes | null;
    }
  | { readonly kind: 'records-read-failed'; readonly token: number }
  | {
      readonly kind: 'record-settled';
      readonly token: number;
      readonly version: number;
      readonly result: CreateRecordResult;
    }
  | { readonly kind: 'answer'; readonly answer: RankAnswer }
  | { readonly kind: 'report'; readonly report: RankReport }
  | { readonly kind: 'vote'; readonly vote: Vote }
  | { readonly kind: 'loads'; readonly loads: Float64Array }
  | { readonly kind: 'outcomes-question'; readonly token: number; readonly since: number }
  /** Those of leading are others from now on, also those that run already. */
  | { readonly kind: 'timings'; readonly timings: LeaderTimings }
  | ({ readonly kind: 'operate' } & Operation);

export type CoordinatorEffect =
  | Extract<LeaseEffect, { readonly kind: 'read-leader' | 'write-leader' }>
  | ControlWriterEffect
  | { readonly kind: 'read-records'; readonly token: number }
  | {
      readonly kind: 'create-record';
      readonly token: number;
      readonly version: number;
      readonly bytes: Uint8Array;
    }
  /** Records that are no longer recent may go: see `oldestKept`. Nobody waits for it. */
  | { readonly kind: 'prune-records'; readonly retiredUpTo: number }
  | { readonly kind: 'ask'; readonly fence: Fence; readonly ranks: readonly number[] }
  /** It holds the lease: who asks is answered by this process from now on, if only with a refusal. */
  | { readonly kind: 'claimed'; readonly fence: Fence }
  | {
      readonly kind: 'led';
      readonly fence: Fence;
      readonly ground: Ground;
      readonly control: ControlRecord;
    }
  /** It may not lead any more: nothing of this leadership is told or decided from now on. */
  | { readonly kind: 'deposed'; readonly fence: Fence; readonly why: string }
  | { readonly kind: 'released' }
  | { readonly kind: 'control-changed'; readonly control: ControlRecord }
  | {
      /** What it changes is durable, and the leader has taken what it requests. */
      readonly kind: 'operation-done';
      readonly token: number;
      readonly control: ControlRecord;
      /** The command's as it is kept now, null where it was done for none. */
      readonly request: CommandRequest | null;
      /** The command had been taken before: nothing was done for this operation. */
      readonly isRepeated: boolean;
    }
  | { readonly kind: 'operation-refused'; readonly token: number; readonly error: IsobarError }
  | {
      readonly kind: 'outcomes-answer';
      readonly token: number;
      readonly fence: Fence;
      readonly outcomes: readonly KnownOutcome[];
    }
  | Exclude<
      LeaderEffect,
      {
        readonly kind:
          | 'alarm'
          | 'ask'
          | 'create-record'
          | 'deposed'
          | 'failed'
          | 'outcomes-answer'
          | 'request-accepted'
          | 'request-refused';
      }
    >
  | {
      readonly kind: 'alarm';
      readonly alarm: CoordinatorAlarm;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/**
 * `store-behind`: the store has lost outcomes that ranks know; `control` may have gone back too, and
 * the mode is `observe` until an operator sets another. `cannot-lead`: the lease is given up.
 */
export type CoordinatorAlarm =
  | TakeoverAlarm
  | LeaderAlarm
  | 'leader-unreadable'
  | 'store-behind'
  | 'cannot-lead';

export interface CoordinatorResult {
  readonly state: CoordinatorState;
  readonly effects: readonly CoordinatorEffect[];
}
