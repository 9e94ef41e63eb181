import type { EngineDescription, EngineState } from '../engine-description.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import type { KnownOutcome } from '../known-outcome.js';
import type { MapRecord } from '../map-record.js';
import type {
  Cut,
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
import {
  type EngineCommand,
  isListed,
  isMember,
  nextTelling,
  type StageCommand,
} from './rank-commands.js';
import {
  type CastVote,
  type DurableRankState,
  isDecided,
  learnOutcomes,
  type WitnessedEngine,
  type WitnessedProcess,
  withCut,
  withEngineState,
  withExited,
  withWitnessed,
} from './rank-durable.js';

/*
 * A rank's side of the swap, as its agent runs it. The engine keeps the truth about what it
 * holds; the agent keeps, durably, what was promised and decided (S3), and brings the engine
 * to every outcome it knows. It acts on outcomes that a leader under a standing fence tells or
 * that its engine has from a peer, never on its own reading of the store (S6).
 */

export interface ConnectedEngine {
  readonly description: EngineDescription;
  readonly state: EngineState;
}

/** What is to be voted on when the engine has verified it. */
export interface StagingUnderWay {
  readonly command: StageCommand;
  readonly proposal: Proposal;
  /** The engine has been told that the version is void. */
  readonly ended: boolean;
}

export interface RankSwapState {
  readonly rank: number;
  readonly durable: DurableRankState;
  readonly engine: ConnectedEngine | null;
  readonly staging: StagingUnderWay | null;
  /** Besides staging one command at a time is with the engine. */
  readonly command: Exclude<EngineCommand, StageCommand> | null;
  readonly progress: RankReport['progress'];
  /** Leaders' questions that wait for the engine. */
  readonly questions: readonly number[];
  /** A question for missed outcomes is under way. */
  readonly asking: boolean;
  /** A version whose outcome the engine refuses; alarmed once. */
  readonly stuckVersion: number | null;
  /** A version told with another outcome than the one kept; alarmed once. */
  readonly contradictedVersion: number | null;
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
  | { readonly kind: 'tick' };

export type RankSwapEffect =
  | { readonly kind: 'persist'; readonly durable: DurableRankState }
  | { readonly kind: 'command-engine'; readonly command: EngineCommand }
  /** `engine-exited` is to follow for each whose process is certainly gone. */
  | { readonly kind: 'look-for-processes'; readonly engines: readonly WitnessedEngine[] }
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
      readonly alarm: 'own-balancer' | 'exited-engine' | 'engine-stuck' | 'outcomes-contradict';
      readonly fields: Readonly<Record<string, unknown>>;
    };

export interface RankSwapResult {
  readonly state: RankSwapState;
  readonly effects: readonly RankSwapEffect[];
}

const nothingWithEngine = { command: null, staging: null, progress: null } as const;
const questionsMax = 16;
const reasonCharactersMax = 1_000;
/** Refusals of a proposal that say nothing against it: it may be voted on, or was already. */
const notRefused = new Set(['ISOBAR_ENGINE_FENCED', 'ISOBAR_ENGINE_VERSION_DECIDED']);

export function initialRankSwap(rank: number, durable: DurableRankState): RankSwapState {
  return {
    rank,
    durable,
    engine: null,
    ...nothingWithEngine,
    questions: [],
    asking: false,
    stuckVersion: null,
    contradictedVersion: null,
  };
}

/** One step of the machine. It needs no clock: whatever it waits for is repeated. */
export function stepRankSwap(state: RankSwapState, event: RankSwapEvent): RankSwapResult {
  switch (event.kind) {
    case 'engine-hello':
    case 'engine-lost':
    case 'engine-exited':
    case 'engine-progress':
    case 'engine-activated':
    case 'engine-changed':
    case 'engine-done':
    case 'engine-refused':
      return reported(onEngineEvent(state, event));
    case 'prepare':
      return fenced(state, event.message.fence, 'prepare', (raised) =>
        onPrepare(raised, event.message, event.proposal),
      );
    case 'outcome': {
      const { version, outcome } = event.record;
      const known = { version, outcome, record: event.message.record };
      return fenced(state, event.message.fence, 'outcome', (raised) =>
        chain(learn(raised, [known]), advance),
      );
    }
    case 'retire':
      return fenced(state, event.message.fence, 'retire', (raised) =>
        retire(raised, event.message.version),
      );
    case 'cut':
      return fenced(state, event.message.fence, 'cut', (raised) => onCut(raised, event.message));
    case 'swap-state':
      return fenced(state, event.message.fence, 'swap state', (raised) =>
        onSwapState(raised, event.message),
      );
    case 'query':
      return onQuery(state, event.query, event.question);
    case 'outcomes-told':
      return fenced({ ...state, asking: false }, event.fence, 'outcomes', (raised) =>
        chain(learn(raised, event.outcomes), advance),
      );
    case 'outcomes-unanswered':
      return unchanged({ ...state, asking: false });
    case 'tick':
      return reported(chain(lookForProcesses(state), advance));
  }
}

type EngineEvent = Extract<RankSwapEvent, { readonly kind: `engine-${string}` }>;

function onEngineEvent(state: RankSwapState, event: EngineEvent): RankSwapResult {
  switch (event.kind) {
    case 'engine-hello':
      return onEngineHello(state, event);
    case 'engine-lost':
      return onEngineLost(state);
    case 'engine-exited':
      return keep(state, withExited(state.durable, event.incarnation));
    case 'engine-progress': {
      const { version, staged, total } = event;
      return unchanged({ ...state, progress: { version, staged, total } });
    }
    case 'engine-activated': {
      const activated = { kind: 'activated', version: event.state.activatedVersion } as const;
      const known = takeEngineState(state, event.state);
      return chain({ ...known, effects: [...known.effects, activated] }, advance);
    }
    case 'engine-changed':
      return chain(takeEngineState(state, event.state), advance);
    case 'engine-done':
      return onEngineDone(state, event.command, event.state);
    case 'engine-refused':
      return onEngineRefused(state, event);
  }
}

function unchanged(state: RankSwapState): RankSwapResult {
  return { state, effects: [] };
}

/** The effects of `act` come after those before it. */
function chain(
  result: RankSwapResult,
  act: (state: RankSwapState) => RankSwapResult,
): RankSwapResult {
  const next = act(result.state);
  return { state: next.state, effects: [...result.effects, ...next.effects] };
}

/** Takes a new durable state; its writing comes before every effect that follows. */
function keep(state: RankSwapState, durable: DurableRankState): RankSwapResult {
  if (durable === state.durable) return unchanged(state);
  return { state: { ...state, durable }, effects: [{ kind: 'persist', durable }] };
}

function reported(result: RankSwapResult): RankSwapResult {
  return chain(result, (state) => ({
    state,
    effects: [{ kind: 'send-report', report: reportOf(state) }],
  }));
}

export function reportOf(state: RankSwapState): RankReport {
  const { engine, durable } = state;
  return {
    schema: 1,
    rank: state.rank,
    fence: durable.fence,
    engine: engine === null ? null : reportedEngine(engine),
    exited: [...durable.exited],
    progress: state.progress,
    schemaRange: [1, 1],
  };
}

function reportedEngine({
  description,
  state,
}: ConnectedEngine): NonNullable<RankReport['engine']> {
  return {
    incarnation: description.incarnation,
    committedVersion: state.committedVersion,
    mappingVersion: state.mappingVersion,
    mappingDigest: state.mappingDigest,
    activatedVersion: state.activatedVersion,
    retiredUpTo: state.retiredUpTo,
    votedUpTo: state.votedUpTo,
    openVote: state.vote?.version ?? null,
    freeBuffers: state.freeBuffers,
    step: state.step,
    standing: state.standing,
    cuts: state.cuts,
    brokenPeers: state.brokenPeers,
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
    const fields = { fence, highest: known };
    return reported({ state, effects: [{ kind: 'refused', what, fields }] });
  }
  const raised = sameFence(known, fence) ? state.durable : { ...state.durable, fence };
  return chain(keep(state, raised), act);
}

function onEngineHello(
  state: RankSwapState,
  hello: Extract<RankSwapEvent, { readonly kind: 'engine-hello' }>,
): RankSwapResult {
  const { description, process } = hello;
  const { incarnation } = description;
  const gone = { ...state, engine: null, ...nothingWithEngine, stuckVersion: null };
  const refusal = refuseEngine(state, description);
  if (refusal !== null) return { state: gone, effects: [refusal] };
  const connected = { ...gone, engine: { description, state: hello.state } };
  const known = chain(
    keep(connected, withWitnessed(state.durable, incarnation, process)),
    (witnessing) => takeEngineState(witnessing, hello.state),
  );
  return chain(chain(known, lookForProcesses), advance);
}

function refuseEngine(
  state: RankSwapState,
  { ownBalancer, engine, incarnation }: EngineDescription,
): RankSwapEffect | null {
  const fields = { rank: state.rank, engine, incarnation };
  if (ownBalancer) return { kind: 'alarm', alarm: 'own-balancer', fields };
  // Its death is proven and may have been acted on: whoever speaks in its name is not it.
  const exited = state.durable.exited.includes(incarnation);
  return exited ? { kind: 'alarm', alarm: 'exited-engine', fields } : null;
}

function onEngineLost(state: RankSwapState): RankSwapResult {
  const lost = { ...state, engine: null, ...nothingWithEngine };
  return chain(lookForProcesses(lost), answerAll);
}

/** An engine that was replaced may end after the next has said hello: all are looked for. */
function lookForProcesses(state: RankSwapState): RankSwapResult {
  const engines = state.durable.witnessed;
  return {
    state,
    effects: engines.length > 0 ? [{ kind: 'look-for-processes', engines }] : [],
  };
}

/** What the engine tells of itself; what it has promised and acted on is kept at once. */
function takeEngineState(state: RankSwapState, engineState: EngineState): RankSwapResult {
  if (state.engine === null) return unchanged(state);
  const { incarnation } = state.engine.description;
  const known = { ...state, engine: { ...state.engine, state: engineState } };
  return chain(keep(known, withEngineState(known.durable, incarnation, engineState)), (kept) =>
    learn(kept, engineState.outcomes),
  );
}

function onEngineDone(
  state: RankSwapState,
  done: EngineCommand,
  engineState: EngineState,
): RankSwapResult {
  const staged = state.staging?.command === done ? state.staging.proposal : null;
  // Answered by a connection that is gone.
  if (staged === null && state.command !== done) return unchanged(state);
  const next =
    staged === null ? { ...state, command: null } : { ...state, staging: null, progress: null };
  const known = takeEngineState(next, engineState);
  return chain(staged === null ? known : chain(known, (kept) => repeatVote(kept, staged)), advance);
}

/** Sends the vote that is kept for exactly this proposal, unless it has been decided. */
function repeatVote(state: RankSwapState, proposal: Proposal): RankSwapResult {
  const { durable, engine } = state;
  const { vote, fence } = durable;
  const stands =
    vote?.version === proposal.version &&
    vote.digest === proposal.digest &&
    vote.incarnation === engine?.description.incarnation &&
    !isDecided(durable, vote.version);
  if (!stands || fence === null) return unchanged(state);
  return {
    state,
    effects: [{ kind: 'send-vote', vote: { schema: 1, rank: state.rank, fence, ...vote } }],
  };
}

function onEngineRefused(
  state: RankSwapState,
  refusal: Extract<RankSwapEvent, { readonly kind: 'engine-refused' }>,
): RankSwapResult {
  const { command, code, message, explicit } = refusal;
  const fields = { command: command.kind, code, reason: message };
  const told: RankSwapEffect = { kind: 'refused', what: 'engine command', fields };
  if (state.staging?.command === command) {
    const { proposal } = state.staging;
    const next = { ...state, staging: null, progress: null };
    const refused = explicit && !notRefused.has(code);
    const no = refused ? castNo(next, proposal, `${code}: ${message}`) : unchanged(next);
    return chain({ state: no.state, effects: [told, ...no.effects] }, advance);
  }
  if (state.command !== command) return unchanged(state);
  const next: RankSwapState = { ...state, command: null };
  // Told again at the next event: the same command at once would be refused at once.
  if (!explicit) return { state: next, effects: [told] };
  if (command.kind === 'query') return chain({ state: next, effects: [told] }, answerAll);
  if (!('record' in command) || code === 'ISOBAR_ENGINE_FENCED') {
    return { state: next, effects: [told] };
  }
  const alarm: RankSwapEffect = { kind: 'alarm', alarm: 'engine-stuck', fields };
  const stuck = { ...next, stuckVersion: command.version };
  return chain({ state: stuck, effects: [told, alarm] }, advance);
}

function castNo(state: RankSwapState, proposal: Proposal, reason: string): RankSwapResult {
  const { durable, engine } = state;
  const { version, digest, base } = proposal;
  const voted = durable.vote?.version === version || durable.votedUpTo > version;
  if (engine === null || voted || isDecided(durable, version)) return unchanged(state);
  const vote: CastVote = {
    version,
    digest,
    base,
    incarnation: engine.description.incarnation,
    yes: false,
    reason: reason.slice(0, reasonCharactersMax),
  };
  return chain(keep(state, { ...durable, vote, votedUpTo: version }), (kept) =>
    repeatVote(kept, proposal),
  );
}

function onPrepare(state: RankSwapState, message: Prepare, proposal: Proposal): RankSwapResult {
  const { engine, durable } = state;
  const { version, base } = proposal;
  if (engine === null || engine.state.standing === 'stopped') return unchanged(state);
  if (durable.vote?.version === version) return repeatVote(state, proposal);
  if (version <= durable.votedUpTo || state.staging !== null) return unchanged(state);
  if (!isMember(engine, proposal.members) && !isListed(engine)) return unchanged(state);
  if (engine.state.committedVersion < base.version) return chain(askForMissed(state), advance);
  const command: StageCommand = {
    kind: 'stage',
    fence: message.fence,
    version,
    proposal: message.proposal,
  };
  return {
    state: { ...state, staging: { command, proposal, ended: false } },
    effects: [{ kind: 'command-engine', command }],
  };
}

function decidedUpTo(durable: DurableRankState): number {
  return durable.outcomes.at(-1)?.version ?? 0;
}

function askForMissed(state: RankSwapState): RankSwapResult {
  if (state.asking) return unchanged(state);
  const [first] = state.durable.outcomes;
  const since = first?.outcome === 'committed' ? first.version : 0;
  return { state: { ...state, asking: true }, effects: [{ kind: 'ask-outcomes', since }] };
}

/** Keeps outcomes durably. One that contradicts what is kept changes nothing, and is alarmed. */
function learn(state: RankSwapState, told: readonly KnownOutcome[]): RankSwapResult {
  const { durable, contradicted, malformed } = learnOutcomes(state.durable, told);
  const refused = malformed.map(
    ({ code, message }): RankSwapEffect => ({
      kind: 'refused',
      what: 'outcome',
      fields: { code, reason: message },
    }),
  );
  const kept = keep(state, durable);
  return chain({ ...kept, effects: [...kept.effects, ...refused] }, (next) =>
    alarmContradiction(next, contradicted),
  );
}

function alarmContradiction(state: RankSwapState, versions: readonly number[]): RankSwapResult {
  const fresh = versions.filter((version) => version !== state.contradictedVersion);
  const alarms = fresh.map(
    (version): RankSwapEffect => ({
      kind: 'alarm',
      alarm: 'outcomes-contradict',
      fields: { rank: state.rank, version },
    }),
  );
  const contradictedVersion = fresh.at(-1) ?? state.contradictedVersion;
  return { state: { ...state, contradictedVersion }, effects: alarms };
}

/** Answers what can be answered, and gives the engine its next command if it is free to hear it. */
function advance(state: RankSwapState): RankSwapResult {
  const { engine, durable } = state;
  if (engine === null) return answerAll(state);
  const { fence } = durable;
  const raised = sameFence(engine.state.fence, fence);
  const answered = raised ? answerAll(state) : unchanged(state);
  const next = answered.state;
  if (fence === null || next.command !== null) return answered;
  const command = next.questions.length > 0 ? ({ kind: 'query', fence } as const) : nextOf(next);
  return command === null ? answered : chain(answered, (free) => give(free, command));
}

function nextOf(state: RankSwapState): Exclude<EngineCommand, StageCommand> | null {
  const { engine, durable, staging, stuckVersion } = state;
  if (engine === null) return null;
  const stagingVersion = staging === null || staging.ended ? null : staging.command.version;
  return nextTelling({ engine, durable, stagingVersion, stuckVersion });
}

function give(state: RankSwapState, command: Exclude<EngineCommand, StageCommand>): RankSwapResult {
  const { staging } = state;
  const ends = command.kind === 'discard' && command.version === staging?.command.version;
  return {
    state: { ...state, command, staging: ends ? { ...staging, ended: true } : staging },
    effects: [{ kind: 'command-engine', command }],
  };
}

function retire(state: RankSwapState, version: number): RankSwapResult {
  const { engine, durable } = state;
  const { fence } = durable;
  if (engine === null || fence === null || state.command !== null) return unchanged(state);
  const { activatedVersion, retiredUpTo } = engine.state;
  const ready = activatedVersion >= version && retiredUpTo < version;
  return ready ? give(state, { kind: 'retire', fence, version }) : unchanged(state);
}

function onCut(state: RankSwapState, { member }: Cut): RankSwapResult {
  // A rank has no connection to itself: its own incarnations are its engine's to tell apart.
  if (member.rank === state.rank) return unchanged(state);
  const durable = withCut(state.durable, member);
  if (durable === null) {
    return { state, effects: [{ kind: 'refused', what: 'cut: too many', fields: { member } }] };
  }
  return chain(keep(state, durable), advance);
}

function onSwapState(state: RankSwapState, leader: SwapState): RankSwapResult {
  const missed = leader.decidedUpTo > decidedUpTo(state.durable) || isVoteUndecided(state, leader);
  const asked = missed ? askForMissed(state) : unchanged(state);
  return chain(chain(asked, advance), (next) => retire(next, leader.retiredUpTo));
}

/** The engine waits for an outcome that the leader knows: it was lost, and a later one not. */
function isVoteUndecided({ engine, durable }: RankSwapState, leader: SwapState): boolean {
  const vote = engine?.state.vote;
  if (vote == null || vote.version > leader.decidedUpTo) return false;
  return !isDecided(durable, vote.version);
}

function onQuery(state: RankSwapState, query: Query, question: number): RankSwapResult {
  if (isFenced(state.durable.fence, query.fence)) {
    return { state, effects: [answerTo(state, question)] };
  }
  return fenced(state, query.fence, 'query', (raised) => {
    // Beyond the limit the oldest go unanswered: their leader asks again.
    const questions = [...raised.questions, question].slice(-questionsMax);
    return advance({ ...raised, questions });
  });
}

function answerAll(state: RankSwapState): RankSwapResult {
  const effects = state.questions.map((question) => answerTo(state, question));
  return { state: effects.length > 0 ? { ...state, questions: [] } : state, effects };
}

function answerTo(state: RankSwapState, question: number): RankSwapEffect {
  const { fence, votedUpTo, outcomes, exited } = state.durable;
  const { rank, engine } = state;
  const own = { schema: 1, rank, fence, votedUpTo } as const;
  const answer = { ...own, outcomes: [...outcomes], exited: [...exited], engine };
  return { kind: 'answer', question, answer };
}
