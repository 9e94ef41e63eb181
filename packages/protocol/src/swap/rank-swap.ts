import type { EngineDescription, EngineState } from '../engine-description.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { MapRecord } from '../map-record.js';
import type {
  OutcomeMessage,
  Prepare,
  Query,
  RankAnswer,
  RankReport,
  Retire,
  SwapState,
  Vote,
} from '../messages.js';
import type { Proposal } from '../proposal.js';

/*
 * A rank's side of the swap, as its agent runs it. The engine keeps the truth about what it
 * holds; the agent keeps, durably, what was promised and decided (S3), and brings the engine
 * to every outcome it knows. It acts on outcomes that a leader under a standing fence tells,
 * never on its own reading of the store (S6).
 */

/** What an agent keeps across its restarts. Written before anything is answered or acted on. */
export interface DurableRankState {
  readonly fence: Fence | null;
  readonly votedUpTo: number;
  /** The last vote given; a yes binds until the version's outcome. */
  readonly vote: CastVote | null;
  /** The newest committed outcome and every later one, ascending. */
  readonly outcomes: readonly KnownOutcome[];
}

export type CastVote = Pick<Vote, 'version' | 'digest' | 'base' | 'incarnation' | 'yes' | 'reason'>;

export interface ConnectedEngine {
  readonly description: EngineDescription;
  readonly state: EngineState;
}

export type EngineCommand =
  | { readonly kind: 'query'; readonly fence: Fence }
  | {
      readonly kind: 'stage';
      readonly fence: Fence;
      readonly version: number;
      readonly proposal: Uint8Array;
    }
  | {
      readonly kind: 'activate' | 'discard';
      readonly fence: Fence;
      readonly version: number;
      readonly record: Uint8Array;
    }
  | { readonly kind: 'retire'; readonly fence: Fence; readonly version: number };

export interface RankSwapState {
  readonly rank: number;
  readonly durable: DurableRankState;
  readonly engine: ConnectedEngine | null;
  /** One command at a time is with the engine. */
  readonly command: EngineCommand | null;
  /** The proposal being staged, to vote on when the engine has verified it. */
  readonly staging: Proposal | null;
  readonly progress: RankReport['progress'];
  /** Leaders' questions that wait for the engine. */
  readonly questions: readonly number[];
  /** A question for missed outcomes is under way. */
  readonly asking: boolean;
  /** A committed version that the engine refuses to switch to; alarmed once. */
  readonly stuckVersion: number | null;
}

export type RankSwapEvent =
  | {
      readonly kind: 'engine-hello';
      readonly description: EngineDescription;
      readonly state: EngineState;
    }
  | { readonly kind: 'engine-lost' }
  | {
      readonly kind: 'engine-progress';
      readonly version: number;
      readonly staged: number;
      readonly total: number;
    }
  | { readonly kind: 'engine-activated'; readonly state: EngineState }
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
  | { readonly kind: 'prepare'; readonly message: Prepare; readonly proposal: Proposal }
  | { readonly kind: 'outcome'; readonly message: OutcomeMessage; readonly record: MapRecord }
  | { readonly kind: 'retire'; readonly message: Retire }
  | { readonly kind: 'swap-state'; readonly message: SwapState }
  | { readonly kind: 'query'; readonly query: Query; readonly question: number }
  | {
      readonly kind: 'outcomes-told';
      readonly fence: Fence;
      readonly outcomes: readonly KnownOutcome[];
    }
  | { readonly kind: 'outcomes-unanswered' }
  | { readonly kind: 'tick' };

export type RankSwapEffect =
  | { readonly kind: 'persist'; readonly durable: DurableRankState }
  | { readonly kind: 'command-engine'; readonly command: EngineCommand }
  | { readonly kind: 'send-vote'; readonly vote: Vote }
  | { readonly kind: 'send-report'; readonly report: RankReport }
  | { readonly kind: 'ask-outcomes'; readonly since: number }
  | { readonly kind: 'answer'; readonly question: number; readonly answer: RankAnswer }
  | { readonly kind: 'activated'; readonly version: number }
  | {
      readonly kind: 'refused';
      readonly what: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | {
      readonly kind: 'alarm';
      readonly alarm: 'own-balancer' | 'engine-stuck';
      readonly fields: Readonly<Record<string, unknown>>;
    };

export interface RankSwapResult {
  readonly state: RankSwapState;
  readonly effects: readonly RankSwapEffect[];
}

export const emptyDurableRankState: DurableRankState = {
  fence: null,
  votedUpTo: 0,
  vote: null,
  outcomes: [],
};

export function initialRankSwap(rank: number, durable: DurableRankState): RankSwapState {
  return {
    rank,
    durable,
    engine: null,
    command: null,
    staging: null,
    progress: null,
    questions: [],
    asking: false,
    stuckVersion: null,
  };
}

const unansweredQuestionsMax = 16;

/** One step of the machine. It needs no clock: whatever it waits for, the leader repeats. */
export function stepRankSwap(state: RankSwapState, event: RankSwapEvent): RankSwapResult {
  switch (event.kind) {
    case 'engine-hello':
      return onEngineHello(state, event);
    case 'engine-lost':
      return onEngineLost(state);
    case 'engine-progress': {
      const { version, staged, total } = event;
      return reported({ ...state, progress: { version, staged, total } });
    }
    case 'engine-activated':
      return onEngineActivated(state, event.state);
    case 'engine-done':
      return onEngineDone(state, event.command, event.state);
    case 'engine-refused':
      return onEngineRefused(state, event);
    case 'prepare':
      return onPrepare(state, event.message, event.proposal);
    case 'outcome': {
      const { version, outcome } = event.record;
      const known = { version, outcome, record: event.message.record };
      return fenced(state, event.message.fence, 'outcome', (raised) => learn(raised, [known]));
    }
    case 'retire':
      return fenced(state, event.message.fence, 'retire', (raised) =>
        retire(raised, event.message.version),
      );
    case 'swap-state':
      return fenced(state, event.message.fence, 'swap state', (raised) =>
        onSwapState(raised, event.message),
      );
    case 'query':
      return onQuery(state, event.query, event.question);
    case 'outcomes-told':
      return fenced({ ...state, asking: false }, event.fence, 'outcomes', (raised) =>
        learn(raised, event.outcomes),
      );
    case 'outcomes-unanswered':
      return { state: { ...state, asking: false }, effects: [] };
    case 'tick':
      return reported(state);
  }
}

function reported(state: RankSwapState, effects: readonly RankSwapEffect[] = []): RankSwapResult {
  return { state, effects: [...effects, { kind: 'send-report', report: reportOf(state) }] };
}

export function reportOf(state: RankSwapState): RankReport {
  const engine = state.engine;
  return {
    schema: 1,
    rank: state.rank,
    fence: state.durable.fence,
    engine:
      engine === null
        ? null
        : {
            incarnation: engine.description.incarnation,
            committedVersion: engine.state.committedVersion,
            mappingVersion: engine.state.mappingVersion,
            mappingDigest: engine.state.mappingDigest,
            activatedVersion: engine.state.activatedVersion,
            retiredUpTo: engine.state.retiredUpTo,
            votedUpTo: engine.state.votedUpTo,
            openVote: engine.state.vote?.version ?? null,
            freeBuffers: engine.state.freeBuffers,
            step: engine.state.step,
            standing: engine.state.standing,
            cuts: engine.state.cuts,
            brokenPeers: engine.state.brokenPeers,
          },
    exited: [],
    progress: state.progress,
    schemaRange: [1, 1],
  };
}

/** Refuses a fenced message, answering with the fence known; else raises the fence, durably. */
function fenced(
  state: RankSwapState,
  fence: Fence,
  what: string,
  act: (raised: RankSwapState) => RankSwapResult,
): RankSwapResult {
  const known = state.durable.fence;
  if (isFenced(known, fence)) {
    const refused: RankSwapEffect = { kind: 'refused', what, fields: { fence, highest: known } };
    return reported(state, [refused]);
  }
  if (sameFence(known, fence)) return act(state);
  return persisting(state, { ...state.durable, fence }, act);
}

/** Takes a new durable state; its writing comes before every effect of `act`. */
function persisting(
  state: RankSwapState,
  durable: DurableRankState,
  act: (persisted: RankSwapState) => RankSwapResult,
): RankSwapResult {
  const result = act({ ...state, durable });
  return { state: result.state, effects: [{ kind: 'persist', durable }, ...result.effects] };
}

function command(state: RankSwapState, engineCommand: EngineCommand): RankSwapResult {
  return {
    state: { ...state, command: engineCommand },
    effects: [{ kind: 'command-engine', command: engineCommand }],
  };
}

function onEngineHello(
  state: RankSwapState,
  hello: { readonly description: EngineDescription; readonly state: EngineState },
): RankSwapResult {
  const { description } = hello;
  if (description.ownBalancer) {
    const fields = { rank: state.rank, engine: description.engine };
    const refused = { ...state, engine: null };
    return { state: refused, effects: [{ kind: 'alarm', alarm: 'own-balancer', fields }] };
  }
  const engine = { description, state: hello.state };
  const connected = {
    ...state,
    engine,
    command: null,
    staging: null,
    progress: null,
    stuckVersion: null,
  };
  return persisting(connected, withEngineVote(state.durable, hello.state), (next) => {
    const driven = drive(next);
    return reported(driven.state, driven.effects);
  });
}

/** The engine may hold a vote that an earlier agent took and did not live to write down. */
function withEngineVote(durable: DurableRankState, engine: EngineState): DurableRankState {
  const votedUpTo = Math.max(durable.votedUpTo, engine.votedUpTo);
  const { vote } = engine;
  if (vote === null || vote.version <= durable.votedUpTo) return { ...durable, votedUpTo };
  const { version, digest, base, incarnation } = vote;
  return {
    ...durable,
    votedUpTo,
    vote: { version, digest, base, incarnation, yes: true, reason: '' },
  };
}

function onEngineLost(state: RankSwapState): RankSwapResult {
  const lost = { ...state, engine: null, command: null, staging: null, progress: null };
  const answers = state.questions.map((question) => answerTo(lost, question));
  return reported({ ...lost, questions: [] }, answers);
}

function onEngineActivated(state: RankSwapState, engineState: EngineState): RankSwapResult {
  if (state.engine === null) return { state, effects: [] };
  const next = { ...state, engine: { ...state.engine, state: engineState } };
  const version = engineState.activatedVersion;
  return reported(next, [{ kind: 'activated', version }]);
}

function onEngineDone(
  state: RankSwapState,
  done: EngineCommand,
  engineState: EngineState,
): RankSwapResult {
  // Overtaken by a later command, or answered by a connection that is gone.
  if (state.engine === null || state.command !== done) return { state, effects: [] };
  const next: RankSwapState = {
    ...state,
    engine: { ...state.engine, state: engineState },
    command: null,
    progress: null,
  };
  const result = done.kind === 'stage' ? castYes(next) : { state: next, effects: [] };
  return goOn(result);
}

/** After a command: answers questions that waited, then brings the engine on. */
function goOn(result: RankSwapResult): RankSwapResult {
  const { state } = result;
  const asked = state.questions.length > 0 ? askEngine(state) : drive(state);
  return reported(asked.state, [...result.effects, ...asked.effects]);
}

function askEngine(state: RankSwapState): RankSwapResult {
  const { fence } = state.durable;
  if (sameFence(state.engine?.state.fence ?? null, fence)) {
    const effects = state.questions.map((question) => answerTo(state, question));
    return { state: { ...state, questions: [] }, effects };
  }
  if (fence === null || state.command !== null) return { state, effects: [] };
  return command(state, { kind: 'query', fence });
}

function castYes(state: RankSwapState): RankSwapResult {
  const proposal = state.staging;
  const vote = state.engine?.state.vote;
  if (proposal === null || vote == null || vote.version !== proposal.version) {
    return { state: { ...state, staging: null }, effects: [] };
  }
  const { version, digest, base, incarnation } = vote;
  const cast: CastVote = { version, digest, base, incarnation, yes: true, reason: '' };
  return castVote({ ...state, staging: null }, cast);
}

function castVote(state: RankSwapState, vote: CastVote): RankSwapResult {
  const durable = {
    ...state.durable,
    vote,
    votedUpTo: Math.max(state.durable.votedUpTo, vote.version),
  };
  return persisting(state, durable, (next) => ({ state: next, effects: voteEffects(next, vote) }));
}

function voteEffects(state: RankSwapState, vote: CastVote): RankSwapEffect[] {
  const { fence } = state.durable;
  if (fence === null) return [];
  return [{ kind: 'send-vote', vote: { schema: 1, rank: state.rank, fence, ...vote } }];
}

function onEngineRefused(
  state: RankSwapState,
  refusal: Extract<RankSwapEvent, { readonly kind: 'engine-refused' }>,
): RankSwapResult {
  const refused = refusal.command;
  if (state.command !== refused) return { state, effects: [] };
  const fields = { command: refused.kind, code: refusal.code, reason: refusal.message };
  const told: RankSwapEffect = { kind: 'refused', what: 'engine command', fields };
  const next = { ...state, command: null, staging: null, progress: null };
  if (refused.kind === 'stage' && refusal.explicit && state.staging !== null) {
    const no = castNo(next, state.staging, `${refusal.code}: ${refusal.message}`);
    return goOn({ state: no.state, effects: [told, ...no.effects] });
  }
  if (refused.kind === 'activate' && refusal.explicit) {
    const alarm: RankSwapEffect = { kind: 'alarm', alarm: 'engine-stuck', fields };
    return reported({ ...next, stuckVersion: refused.version }, [told, alarm]);
  }
  return reported(next, [told]);
}

function castNo(state: RankSwapState, proposal: Proposal, reason: string): RankSwapResult {
  const incarnation = state.engine?.description.incarnation;
  if (incarnation === undefined || proposal.version <= state.durable.votedUpTo) {
    return { state, effects: [] };
  }
  const { version, digest, base } = proposal;
  const vote = { version, digest, base, incarnation, yes: false, reason: reason.slice(0, 1_000) };
  return castVote(state, vote);
}

function onPrepare(state: RankSwapState, message: Prepare, proposal: Proposal): RankSwapResult {
  return fenced(state, message.fence, 'prepare', (raised) => {
    const { engine, durable } = raised;
    if (engine === null) return { state: raised, effects: [] };
    const repeated = durable.vote;
    if (repeated?.version === proposal.version) {
      const same =
        repeated.digest === proposal.digest &&
        repeated.incarnation === engine.description.incarnation;
      return { state: raised, effects: same ? voteEffects(raised, repeated) : [] };
    }
    if (proposal.version <= durable.votedUpTo || raised.command !== null) {
      return { state: raised, effects: [] };
    }
    if (engine.state.committedVersion < proposal.base.version) return askForMissed(raised);
    const staging = { ...raised, staging: proposal };
    return command(staging, {
      kind: 'stage',
      fence: message.fence,
      version: proposal.version,
      proposal: message.proposal,
    });
  });
}

function decidedUpTo(state: RankSwapState): number {
  return state.durable.outcomes.at(-1)?.version ?? 0;
}

function askForMissed(state: RankSwapState): RankSwapResult {
  if (state.asking) return { state, effects: [] };
  const [first] = state.durable.outcomes;
  const since = first?.outcome === 'committed' ? first.version : 0;
  return { state: { ...state, asking: true }, effects: [{ kind: 'ask-outcomes', since }] };
}

/** Keeps outcomes durably, then brings the engine to them. They may come in any order. */
function learn(state: RankSwapState, told: readonly KnownOutcome[]): RankSwapResult {
  const outcomes = [...state.durable.outcomes, ...told]
    .sort((a, b) => a.version - b.version)
    .filter((known, index, all) => known.version !== all[index - 1]?.version);
  const newest = outcomes.findLastIndex((known) => known.outcome === 'committed');
  const kept = outcomes.slice(Math.max(0, newest));
  if (kept.map(versionOf).join() === state.durable.outcomes.map(versionOf).join()) {
    return drive(state);
  }
  const votedUpTo = Math.max(state.durable.votedUpTo, kept.at(-1)?.version ?? 0);
  return persisting(state, { ...state.durable, outcomes: kept, votedUpTo }, drive);
}

function versionOf(known: KnownOutcome): number {
  return known.version;
}

/** Tells the engine the next outcome that it has not acted on, if it is free to hear it. */
function drive(state: RankSwapState): RankSwapResult {
  const { engine, durable } = state;
  if (engine === null || durable.fence === null) return { state, effects: [] };
  // Staging alone may be overtaken: its version may have been decided void meanwhile.
  const staging = state.command?.kind === 'stage' ? state.command.version : null;
  if (state.command !== null && staging === null) return { state, effects: [] };
  const next = durable.outcomes.find((known) => isOutstanding(engine.state, known, staging));
  if (next === undefined || next.version === state.stuckVersion) return { state, effects: [] };
  const { version, record } = next;
  const kind = next.outcome === 'committed' ? 'activate' : 'discard';
  return command({ ...state, staging: null }, { kind, fence: durable.fence, version, record });
}

function isOutstanding(engine: EngineState, known: KnownOutcome, staging: number | null): boolean {
  const { version } = known;
  if (known.outcome === 'committed') return engine.committedVersion < version;
  return engine.votedUpTo < version || engine.vote?.version === version || staging === version;
}

function retire(state: RankSwapState, version: number): RankSwapResult {
  const { engine } = state;
  const { fence } = state.durable;
  if (engine === null || fence === null || state.command !== null) return { state, effects: [] };
  const ready = engine.state.activatedVersion >= version && engine.state.retiredUpTo < version;
  return ready ? command(state, { kind: 'retire', fence, version }) : { state, effects: [] };
}

function onSwapState(state: RankSwapState, leader: SwapState): RankSwapResult {
  if (leader.decidedUpTo > decidedUpTo(state) || isVoteUndecided(state, leader)) {
    return askForMissed(state);
  }
  const driven = drive(state);
  return driven.effects.length > 0 ? driven : retire(state, leader.retiredUpTo);
}

/** The engine waits for an outcome that the leader knows: it was lost, and a later one not. */
function isVoteUndecided({ engine, durable }: RankSwapState, leader: SwapState): boolean {
  const vote = engine?.state.vote;
  if (vote == null || vote.version > leader.decidedUpTo) return false;
  return durable.outcomes.every((known) => known.version !== vote.version);
}

function onQuery(state: RankSwapState, query: Query, question: number): RankSwapResult {
  const known = state.durable.fence;
  if (isFenced(known, query.fence)) return { state, effects: [answerTo(state, question)] };
  return fenced(state, query.fence, 'query', (raised) => {
    if (raised.engine === null) return { state: raised, effects: [answerTo(raised, question)] };
    // Beyond the limit the oldest go unanswered: their leader asks again.
    const questions = [...raised.questions, question].slice(-unansweredQuestionsMax);
    return askEngine({ ...raised, questions });
  });
}

function answerTo(state: RankSwapState, question: number): RankSwapEffect {
  const { fence, votedUpTo, outcomes } = state.durable;
  return {
    kind: 'answer',
    question,
    answer: {
      schema: 1,
      rank: state.rank,
      fence,
      votedUpTo,
      outcomes: [...outcomes],
      exited: [],
      engine: state.engine,
    },
  };
}
