import { sameBytes } from '../decided-version.js';
import { sameFence } from '../fence.js';
import { type KnownOutcome, newestOutcomes } from '../known-outcome.js';
import type { RankAnswer, RankReport } from '../messages.js';
import type { Proposal } from '../proposal.js';
import { softwareVersion } from '../software-version.js';
import { orderVerbs } from '../subjects.js';
import {
  type EngineCommand,
  isListed,
  isSameCommand,
  nextTelling,
  type StageCommand,
} from './rank-commands.js';
import { type DurableRankState, isDecided, learnOutcomes } from './rank-durable.js';
import { refuseOrder, withRefused } from './rank-refusal.js';
import type {
  ConnectedEngine,
  RankSwapEffect,
  RankSwapResult,
  RankSwapState,
} from './rank-state.js';

/* Steps that what the leader tells and what the engine tells have in common. */

export function unchanged(state: RankSwapState): RankSwapResult {
  return { state, effects: [] };
}

/** The effects of `act` come after those before it. */
export function chain(
  result: RankSwapResult,
  act: (state: RankSwapState) => RankSwapResult,
): RankSwapResult {
  const next = act(result.state);
  if (result.effects.length === 0) return next;
  return { state: next.state, effects: [...result.effects, ...next.effects] };
}

/** Takes a new durable state; its writing comes before every effect that follows. */
export function keep(state: RankSwapState, durable: DurableRankState): RankSwapResult {
  if (durable === state.durable) return unchanged(state);
  return { state: { ...state, durable }, effects: [{ kind: 'persist', durable }] };
}

export function reported(result: RankSwapResult): RankSwapResult {
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
    votedUpTo: durable.votedUpTo,
    engine: engine === null ? null : reportedEngine(engine, state.leaving.isAsked),
    exited: [...durable.exited],
    progress: state.progress,
    refused: state.refused,
    schemaRange: [1, 1],
    ownOrders: [...orderVerbs],
    software: softwareVersion,
  };
}

function reportedEngine(
  { description, state }: ConnectedEngine,
  isAsked: boolean,
): NonNullable<RankReport['engine']> {
  const { offeredSlots } = state;
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
    ...(offeredSlots === undefined ? {} : { offeredSlots }),
    ...(isAsked || state.leaving === true ? { leaving: true } : {}),
  };
}

/** An engine that was replaced may end after the next has said hello: all are looked for. */
export function lookForProcesses(state: RankSwapState): RankSwapResult {
  const engines = state.durable.witnessed;
  return {
    state,
    effects: engines.length > 0 ? [{ kind: 'look-for-processes', engines }] : [],
  };
}

/** Sends the vote that is kept for exactly this proposal, unless it has been decided. */
export function repeatVote(state: RankSwapState, proposal: Proposal): RankSwapResult {
  const { durable, engine } = state;
  const { vote, fence } = durable;
  const stands =
    vote?.version === proposal.version &&
    vote.digest === proposal.digest &&
    vote.incarnation === engine?.description.incarnation &&
    !isDecided(durable.outcomes, vote.version);
  if (!stands || fence === null) return unchanged(state);
  return {
    state,
    effects: [{ kind: 'send-vote', vote: { schema: 1, rank: state.rank, fence, ...vote } }],
  };
}

/**
 * Keeps outcomes durably, and those of leaders for the engine. A leader's that contradicts what is kept
 * changes nothing, and is alarmed; but what is kept for engines that have ended gives way. What the engine
 * has acted on holds, whatever is kept: else later outcomes, which build on it, would never reach it.
 */
export function learn(
  state: RankSwapState,
  told: readonly KnownOutcome[],
  by: 'leader' | 'engine',
): RankSwapResult {
  const areOthers = isForOthers(state.engine);
  const givesWay = by === 'engine' ? () => true : areOthers;
  const kept = learnOutcomes(state.durable, told, givesWay);
  const { durable, taken, contradicted, malformed } = kept;
  const overruled = kept.overruled.filter((outcome) => !areOthers(outcome));
  const learnt = malformed.reduce(
    (result, { code, message: reason }) =>
      chain(result, (next) => refuseOrder(next, { order: 'outcome', version: null, code, reason })),
    keep(by === 'leader' ? withHeard(state, taken) : state, durable),
  );
  const adopted = chain(learnt, (next) => alarmOverruled(next, overruled));
  return chain(adopted, (next) => alarmContradiction(next, contradicted));
}

function alarmOverruled(state: RankSwapState, overruled: readonly KnownOutcome[]): RankSwapResult {
  const effects = overruled.map(
    ({ version, outcome }): RankSwapEffect => ({
      kind: 'alarm',
      alarm: 'outcome-overruled',
      fields: { rank: state.rank, version, outcome },
    }),
  );
  return { state, effects };
}

/** What the engine is past is not kept for it. */
function withHeard(state: RankSwapState, told: readonly KnownOutcome[]): RankSwapState {
  if (told.length === 0) return state;
  const committedVersion = state.engine?.state.committedVersion ?? 0;
  // The later word comes first: it stays.
  const heard = newestOutcomes([...told, ...state.heard]);
  return { ...state, heard: heard.filter(({ version }) => version > committedVersion) };
}

/**
 * Whether an outcome is kept for engines that have ended: no version lists this one or may do so,
 * and it has not acted on that itself.
 */
function isForOthers(engine: ConnectedEngine | null): (kept: KnownOutcome) => boolean {
  if (engine === null || engine.state.mappingVersion > 0 || engine.state.vote !== null) {
    return () => false;
  }
  const { outcomes } = engine.state;
  return (kept) =>
    !isListed(engine) && outcomes.every(({ record }) => !sameBytes(record, kept.record));
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
  const newest = fresh.at(-1);
  if (newest === undefined) return unchanged(state);
  const refused = withRefused(state, {
    order: 'outcome',
    version: newest,
    code: 'ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT',
    reason: `rank ${state.rank} keeps another outcome of version ${newest}`,
  });
  return { state: { ...refused, contradictedVersion: newest }, effects: alarms };
}

/**
 * Answers what can be answered, and gives the engine its next command if it is free to hear it.
 * @param done the command just done: it is not given again at once, were it without effect
 */
export function advance(state: RankSwapState, done: EngineCommand | null = null): RankSwapResult {
  const { engine, durable } = state;
  if (engine === null) return answerAll(state);
  const { fence } = durable;
  const raised = sameFence(engine.state.fence, fence);
  const answered = raised ? answerAll(state) : unchanged(state);
  const next = answered.state;
  if (fence === null || next.command !== null) return answered;
  const query = next.questions.length > 0 ? ({ kind: 'query', fence } as const) : null;
  const command =
    query ??
    nextTelling({
      engine,
      durable,
      heard: next.heard,
      stagingVersion: next.staging?.proposal.version ?? null,
      stuckVersion: next.stuckVersion,
    });
  if (command === null || (done !== null && isSameCommand(command, done))) return answered;
  return chain(answered, (free) => give(free, command));
}

export function give(
  state: RankSwapState,
  command: Exclude<EngineCommand, StageCommand>,
): RankSwapResult {
  return { state: { ...state, command }, effects: [{ kind: 'command-engine', command }] };
}

export function answerAll(state: RankSwapState): RankSwapResult {
  const effects = state.questions.map((question) => answerTo(state, question));
  return { state: effects.length > 0 ? { ...state, questions: [] } : state, effects };
}

/**
 * What the engine says is not said twice: with the record of a large group in it the answer must
 * still fit a message.
 */
export function answerTo(state: RankSwapState, question: number): RankSwapEffect {
  const { fence, votedUpTo, outcomes, exited } = state.durable;
  const { rank, engine } = state;
  const toldByEngine = engine?.state.outcomes ?? [];
  const own = outcomes.filter(
    (known) => !toldByEngine.some(({ record }) => sameBytes(record, known.record)),
  );
  const answer: RankAnswer = {
    schema: 1,
    rank,
    fence,
    votedUpTo,
    outcomes: own,
    exited: [...exited],
    engine: engine === null ? null : answeringEngine(engine),
  };
  return { kind: 'answer', question, answer };
}

function answeringEngine({ description, state }: ConnectedEngine): RankAnswer['engine'] {
  if (state.mappingVersion === 0) return { description, state };
  return { description, state: { ...state, physicalToLogical: new Int32Array(0) } };
}
