import type { ExpertMapping, TransferTopology } from '@isobar/eplb';
import type { Change } from '../change.js';
import type { AskedBy } from '../commands/command-request.js';
import type { ControlRecord } from '../control-record.js';
import type { DecidedVersion } from '../decided-version.js';
import type { Fence } from '../fence.js';
import type { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { CommittedRecord } from '../map-record.js';
import type { Member } from '../member.js';
import type { Evidence } from '../membership/evidence.js';
import type { DescribedEngine } from '../membership/situation.js';
import type { Cut, RankAnswer, RankReport, RefusedOrder, Vote } from '../messages.js';
import type {
  CoordinatorSwapEffect,
  CoordinatorSwapState,
  SwapTimings,
} from '../swap/coordinator-swap-state.js';
import type { RetainedMapping } from '../swap/ground.js';
import type { Wave } from '../swap/open-swap.js';
import type { VersionInForce } from '../version-in-force.js';

export interface LeaderTimings extends SwapTimings {
  /** A member that all others have lost for this long is cut. */
  readonly cutAfterMs: number;
  /**
   * After a void version automatic rebalances, and engines that did not vote, wait this long; with
   * each further void before the next commit automatic rebalances wait twice as long.
   */
  readonly backOffMs: number;
  /** After a void that no death caused the leader's own changes wait this long, and longer likewise. */
  readonly retryMs: number;
}

/** What a leader knows of its deployment before it has heard anybody. */
export interface LeaderOptions {
  readonly timings: LeaderTimings;
  /** Ranks of the topology. */
  readonly configuredRanks: readonly number[];
  /** Null: all ranks are alike. */
  readonly topology: TransferTopology | null;
  /** The server's limit of one message. */
  readonly payloadBytesMax: number;
}

/** What a leader runs from the end of its takeover on. */
export interface LeaderState extends LeaderOptions {
  readonly fence: Fence;
  readonly control: ControlRecord;
  readonly swap: CoordinatorSwapState;
  readonly evidence: Evidence;
  /** The newest version's. */
  readonly mapping: ExpertMapping;
  readonly newestOutcome: NewestOutcome | null;
  /** Tokens by expert in the newest pass, [layers × experts]; null while none are known. */
  readonly loads: Float64Array | null;
  /** The mapping before, while its buffers are not retired. */
  readonly retained: RetainedMapping | null;
  /** Engines that have described themselves, by rank. */
  readonly engines: ReadonlyMap<number, DescribedEngine>;
  /** Engines that can't be of this group: told once each. */
  readonly strangers: readonly Member[];
  /** Orders that ranks have refused, as `refusalKey` has them: told once each. */
  readonly refusals: readonly string[];
  /** The newest committed outcome and every later one, ascending. */
  readonly outcomes: readonly KnownOutcome[];
  /** Members that the version before let go, until it is resumed. */
  readonly leavers: readonly Member[];
  readonly started: boolean;
  /** What is under way. */
  readonly activity: Activity | null;
  /** Requests that wait, in the order in which they came. */
  readonly requests: readonly LeaderRequest[];
  readonly backOff: BackOff | null;
  /** The leader's own changes wait until then. */
  readonly retryAtMs: number;
  readonly shunned: readonly ShunnedEngine[];
  /** Ranks that may have failed as sources since the last commit: nothing is fetched from them. */
  readonly distrusted: readonly number[];
  /** Living members that what is due waits for. */
  readonly silent: readonly Member[];
  /** Changes that can't be made as things are. */
  readonly stuck: ReadonlyMap<OwnChange, StuckChange>;
  /** It can't read what it must: nothing is told or decided any more. */
  readonly failed: boolean;
}

export interface NewestOutcome {
  readonly record: CommittedRecord;
  readonly bytes: Uint8Array;
}

export interface ShunnedEngine {
  readonly member: Member;
  readonly untilMs: number;
}

/** A change that the leader makes on its own. `renewal`: the newest version once more, see renewal.ts. */
export type OwnChange = 'start' | 'evacuation' | 'membership' | 'drain' | 'renewal';

export interface StuckChange {
  /** What it was planned on: not planned again until that changes. */
  readonly plannedOn: string;
  /** What it is for: alarmed once. */
  readonly subject: string;
}

/** A series of waves, and for whom. */
export interface Activity {
  readonly change: Change;
  readonly request: LeaderRequest | null;
  /** Why waves that had not begun, or the open one, were given up; null where none were. */
  readonly interrupted: Interruption | null;
  readonly last: { readonly outcome: 'committed' | 'void'; readonly reason: string } | null;
}

export interface Interruption {
  readonly outcome: 'cancelled' | 'superseded';
  /** What came in the way, and who asked for it. */
  readonly reason: string;
}

export interface BackOff {
  readonly untilMs: number;
  readonly version: number;
  readonly reason: string;
}

/** A change that is asked for, not one that the leader makes on its own. */
export interface LeaderRequest {
  readonly kind: 'request';
  /** By which the answers are known; drawn by the asker, unique within the leadership. */
  readonly token: number;
  readonly change: 'rebalance' | 'rollback' | 'drain' | 'limit-slots' | 'leave';
  /** A rebalance that no operator asked for: refused while held or backing off. @default false */
  readonly automatic?: boolean;
  /** Of `rebalance` and `rollback`, each on top of the one before. */
  readonly waves?: readonly Wave[];
  /**
   * Of `drain`, `limit-slots` and `leave`. A drain is for ranks that `control` lists as drained, a
   * limit for such as it limits.
   */
  readonly ranks?: readonly number[];
  /** Of `leave`: these and no later incarnations. @default whoever is listed when it begins */
  readonly members?: readonly Member[];
  /** The version that the request was made on. */
  readonly base: VersionInForce;
  /** The command that it is made for, for those in whose way it is. */
  readonly askedBy?: AskedBy;
}

export type LeaderEvent =
  | { readonly kind: 'vote'; readonly vote: Vote }
  | { readonly kind: 'report'; readonly report: RankReport }
  /** To the effect `ask`. */
  | { readonly kind: 'answer'; readonly answer: RankAnswer }
  | { readonly kind: 'record-created'; readonly version: number }
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  | { readonly kind: 'record-unknown'; readonly version: number }
  /** A record that this process can't read: it does not lead. */
  | { readonly kind: 'unreadable'; readonly error: IsobarError }
  | { readonly kind: 'cancel'; readonly reason: string; readonly askedBy?: AskedBy }
  /** The control record as it was written. */
  | { readonly kind: 'control'; readonly control: ControlRecord }
  | LeaderRequest
  /** Tokens by expert in the newest pass, [layers × experts]. */
  | { readonly kind: 'loads'; readonly loads: Float64Array }
  | { readonly kind: 'outcomes-question'; readonly token: number; readonly since: number }
  | { readonly kind: 'tick' };

/**
 * `superseded`: something of higher rank was due, the waves that had not begun never will.
 * `outdated`: the version that it was made on was replaced before it could begin. `degraded`: with
 * the ranks there are it can't be done.
 */
export type RequestOutcome =
  | 'committed'
  | 'void'
  | 'cancelled'
  | 'superseded'
  | 'outdated'
  | 'degraded';

export type LeaderEffect =
  | Exclude<CoordinatorSwapEffect, { readonly kind: 'alarm' | 'settled' | 'experts-missing' }>
  | { readonly kind: 'send-cut'; readonly message: Cut }
  /** A rank does not follow an order, and says why. */
  | { readonly kind: 'order-refused'; readonly rank: number; readonly refused: RefusedOrder }
  /** Ranks are to be asked, as at a takeover, for engines that no record lists. */
  | { readonly kind: 'ask'; readonly ranks: readonly number[] }
  | { readonly kind: 'request-accepted'; readonly token: number }
  | { readonly kind: 'request-refused'; readonly token: number; readonly error: IsobarError }
  | {
      readonly kind: 'request-ended';
      readonly token: number;
      readonly outcome: RequestOutcome;
      readonly reason: string;
    }
  | {
      readonly kind: 'outcomes-answer';
      readonly token: number;
      readonly outcomes: readonly KnownOutcome[];
    }
  | {
      readonly kind: 'alarm';
      readonly alarm: LeaderAlarm;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** This process can't lead; nothing is told or decided any more. */
  | { readonly kind: 'failed'; readonly error: IsobarError };

/**
 * `degraded`: fewer live slots than experts, or nobody lives; nothing is committed, and members
 * without whose slots that would be so are not cut.
 * `death-unproven`: as at a takeover, and of engines that have started with a group and are
 * replaced, without an incarnation where they are still connected. `engines-disagree`: an engine that would join differs from
 * its group. `members-silent`: what is due needs the votes of members that say nothing.
 */
export type LeaderAlarm =
  | 'slow-phase'
  | 'degraded'
  | 'death-unproven'
  | 'engines-disagree'
  | 'members-silent';

export interface LeaderResult {
  readonly state: LeaderState;
  readonly effects: readonly LeaderEffect[];
}
