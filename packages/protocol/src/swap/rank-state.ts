import type { EngineDescription, EngineState } from '../engine-description.js';
import type { Fence } from '../fence.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { MapRecord } from '../map-record.js';
import type {
  Cut,
  LeaveAnswer,
  LeaveQuestion,
  OutcomeMessage,
  Prepare,
  Query,
  RankAnswer,
  RankReport,
  RefusedOrder,
  Retire,
  SwapState,
  Vote,
} from '../messages.js';
import type { Proposal } from '../proposal.js';
import type { EngineCommand, StageCommand } from './rank-commands.js';
import type { DurableRankState, WitnessedEngine, WitnessedProcess } from './rank-durable.js';
import { notLeaving, type RankLeaving } from './rank-leaving.js';

export interface ConnectedEngine {
  readonly description: EngineDescription;
  readonly state: EngineState;
}

/** What is to be voted on when the engine has verified it. */
export interface StagingUnderWay {
  readonly command: StageCommand;
  readonly proposal: Proposal;
}

export interface RankSwapState {
  readonly rank: number;
  readonly durable: DurableRankState;
  readonly engine: ConnectedEngine | null;
  readonly staging: StagingUnderWay | null;
  /** Besides staging one command at a time is with the engine. */
  readonly command: Exclude<EngineCommand, StageCommand> | null;
  readonly progress: RankReport['progress'];
  /**
   * What leaders have told since this engine is connected, and it is not past: the newest committed
   * outcome and every later one. It alone is given to the engine. What was kept before is for
   * leaders to weigh: since then the engine, or others without its word, may have gone on.
   */
  readonly heard: readonly KnownOutcome[];
  /** Leaders' questions that wait for the engine. */
  readonly questions: readonly number[];
  /** A question for missed outcomes is under way. */
  readonly asking: boolean;
  /** A version whose outcome the engine refuses; alarmed once. */
  readonly stuckVersion: number | null;
  readonly leaving: RankLeaving;
  /** A version told with another outcome than the one kept; alarmed once. */
  readonly contradictedVersion: number | null;
  /** The newest order that was not followed, until one of its kind is. */
  readonly refused: RefusedOrder | null;
  /** It has followed an order since its agent began. */
  readonly hasFollowed: boolean;
}

export type RankSwapEvent =
  | {
      readonly kind: 'engine-hello';
      readonly description: EngineDescription;
      readonly state: EngineState;
      /** The engine's process, where the agent has found it on its own machine. */
      readonly process: WitnessedProcess | null;
    }
  | { readonly kind: 'engine-lost' }
  /** The process of a witnessed engine is gone. */
  | { readonly kind: 'engine-exited'; readonly incarnation: string }
  | {
      readonly kind: 'engine-progress';
      readonly version: number;
      readonly staged: number;
      readonly total: number;
    }
  | { readonly kind: 'engine-activated'; readonly state: EngineState }
  | { readonly kind: 'engine-changed'; readonly state: EngineState }
  | {
      readonly kind: 'engine-done';
      readonly command: EngineCommand;
      readonly state: EngineState;
    }
  /** `explicit`: the engine said no; otherwise nothing is known of the command's effect. */
  | {
      readonly kind: 'engine-refused';
      readonly command: EngineCommand;
      readonly code: string;
      readonly message: string;
      readonly explicit: boolean;
    }
  /** The engine does not serve this agent. */
  | { readonly kind: 'engine-rejects'; readonly code: string; readonly message: string }
  /** A message of the leader's that can't be read; `order` as in RefusedOrder. */
  | {
      readonly kind: 'order-unreadable';
      readonly order: string;
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: 'prepare'; readonly message: Prepare; readonly proposal: Proposal }
  | { readonly kind: 'outcome'; readonly message: OutcomeMessage; readonly record: MapRecord }
  | { readonly kind: 'retire'; readonly message: Retire }
  | { readonly kind: 'cut'; readonly message: Cut }
  | { readonly kind: 'swap-state'; readonly message: SwapState }
  | { readonly kind: 'query'; readonly query: Query; readonly question: number }
  | {
      readonly kind: 'outcomes-told';
      readonly fence: Fence;
      readonly outcomes: readonly KnownOutcome[];
    }
  | { readonly kind: 'outcomes-unanswered' }
  /** The agent is to stop; first its engine is to leave. */
  | { readonly kind: 'leave' }
  | {
      readonly kind: 'leave-told';
      readonly question: LeaveQuestion;
      /** Null where the leader has not answered. */
      readonly answer: LeaveAnswer | null;
    }
  | { readonly kind: 'tick' };

export type RankSwapEffect =
  | { readonly kind: 'persist'; readonly durable: DurableRankState }
  | { readonly kind: 'command-engine'; readonly command: EngineCommand }
  /** `engine-exited` is to follow for each whose process is certainly gone. */
  | { readonly kind: 'look-for-processes'; readonly engines: readonly WitnessedEngine[] }
  | { readonly kind: 'send-vote'; readonly vote: Vote }
  | { readonly kind: 'send-report'; readonly report: RankReport }
  | { readonly kind: 'ask-outcomes'; readonly since: number }
  /** `leave-told` is to follow. */
  | { readonly kind: 'ask-leave'; readonly question: LeaveQuestion }
  /** No version lists the engine any more, or there is none: the agent may stop. */
  | { readonly kind: 'left'; readonly reason: string }
  | { readonly kind: 'answer'; readonly question: number; readonly answer: RankAnswer }
  | { readonly kind: 'activated'; readonly version: number }
  | {
      readonly kind: 'refused';
      readonly what: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'alarm';
      readonly alarm:
        | 'own-balancer'
        | 'exited-engine'
        | 'engine-stuck'
        | 'outcomes-contradict'
        | 'outcome-overruled';
      readonly fields: Readonly<Record<string, unknown>>;
    };

export interface RankSwapResult {
  readonly state: RankSwapState;
  readonly effects: readonly RankSwapEffect[];
}

/** With nothing under way at the engine, and nothing heard for it. */
export const nothingWithEngine = {
  command: null,
  staging: null,
  progress: null,
  heard: [],
} as const;

export function initialRankSwap(rank: number, durable: DurableRankState): RankSwapState {
  return {
    rank,
    durable,
    engine: null,
    ...nothingWithEngine,
    questions: [],
    asking: false,
    leaving: notLeaving,
    stuckVersion: null,
    contradictedVersion: null,
    refused: null,
    hasFollowed: false,
  };
}
