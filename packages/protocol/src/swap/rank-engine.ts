import type { EngineDescription, EngineState } from '../engine-description.js';
import { membersWithout } from '../member.js';
import type { Proposal } from '../proposal.js';
import type { EngineCommand } from './rank-commands.js';
import {
  type CastVote,
  isDecided,
  withEngineState,
  withExited,
  withoutCuts,
  withWitnessed,
} from './rank-durable.js';
import { followedOrder, refuseOrder } from './rank-refusal.js';
import {
  nothingWithEngine,
  type RankSwapEffect,
  type RankSwapEvent,
  type RankSwapResult,
  type RankSwapState,
} from './rank-state.js';
import {
  advance,
  answerAll,
  chain,
  keep,
  learn,
  lookForProcesses,
  repeatVote,
  unchanged,
} from './rank-steps.js';
import { refusalReason } from './vote-refusal.js';

const reasonCharactersMax = 1_000;
/** Refusals of a proposal that say nothing against it: it may be voted on, or was already. */
const notRefused = new Set(['ISOBAR_ENGINE_FENCED', 'ISOBAR_ENGINE_VERSION_DECIDED']);

type EngineRefusal = Extract<RankSwapEvent, { readonly kind: 'engine-refused' }>;
export type EngineEvent = Extract<RankSwapEvent, { readonly kind: `engine-${string}` }>;

/** What the engine tells, and what becomes of its connection and its process. */
export function onEngineEvent(state: RankSwapState, event: EngineEvent): RankSwapResult {
  switch (event.kind) {
    case 'engine-hello':
      return onEngineHello(state, event);
    case 'engine-lost':
      return onEngineLost(state);
    case 'engine-exited':
      return onEngineExited(state, event.incarnation);
    case 'engine-progress': {
      if (state.engine === null) return unchanged(state);
      const { version, staged, total } = event;
      return unchanged({ ...state, progress: { version, staged, total } });
    }
    case 'engine-activated':
      return onEngineActivated(state, event.state);
    case 'engine-changed':
      return chain(takeEngineState(state, event.state), advance);
    case 'engine-done':
      return onEngineDone(state, event.command, event.state);
    case 'engine-refused':
      return onEngineRefused(state, event);
    case 'engine-rejects':
      return refuseOrder(state, {
        order: 'greeting',
        version: null,
        code: event.code,
        reason: event.message,
      });
  }
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
  const greeted = followedOrder(gone, 'greeting');
  const connected = { ...greeted, engine: { description, state: hello.state } };
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

function onEngineExited(state: RankSwapState, incarnation: string): RankSwapResult {
  const kept = keep(state, withExited(state.durable, state.rank, incarnation));
  // A process that inherited its socket may keep the connection open.
  const connected = state.engine?.description.incarnation === incarnation;
  return connected ? chain(kept, onEngineLost) : kept;
}

function onEngineLost(state: RankSwapState): RankSwapResult {
  const lost = { ...state, engine: null, ...nothingWithEngine };
  return chain(lookForProcesses(lost), answerAll);
}

/** What the engine tells of itself; what it has promised and acted on is kept at once. */
function takeEngineState(state: RankSwapState, engineState: EngineState): RankSwapResult {
  if (state.engine === null) return unchanged(state);
  const { incarnation } = state.engine.description;
  const known = { ...state, engine: { ...state.engine, state: engineState } };
  const forgotten = membersWithout(state.engine.state.cuts, engineState.cuts);
  const durable = withEngineState(known.durable, incarnation, engineState);
  return chain(keep(known, withoutCuts(durable, forgotten)), (kept) =>
    learn(kept, engineState.outcomes, 'engine'),
  );
}

function onEngineActivated(state: RankSwapState, engineState: EngineState): RankSwapResult {
  if (state.engine === null) return unchanged(state);
  const { state: known, effects } = takeEngineState(state, engineState);
  const activated = { kind: 'activated', version: engineState.activatedVersion } as const;
  return chain({ state: known, effects: [...effects, activated] }, advance);
}

function onEngineDone(
  before: RankSwapState,
  done: EngineCommand,
  engineState: EngineState,
): RankSwapResult {
  const state = followedOrder(before, done.kind);
  if (state.staging?.command === done) {
    const { proposal } = state.staging;
    const known = takeEngineState({ ...state, staging: null, progress: null }, engineState);
    return chain(
      chain(known, (kept) => repeatVote(kept, proposal)),
      advance,
    );
  }
  // Answered by a connection that is gone.
  if (state.command !== done) return unchanged(before);
  const known = takeEngineState({ ...state, command: null }, engineState);
  return chain(known, (kept) => advance(kept, done));
}

function onEngineRefused(state: RankSwapState, refusal: EngineRefusal): RankSwapResult {
  const { command, code, message, explicit } = refusal;
  if (state.staging?.command === command) {
    const { proposal } = state.staging;
    const told = tellRefusal({ ...state, staging: null, progress: null }, refusal);
    const isNo = explicit && !notRefused.has(code);
    const reason = refusalReason(code, message);
    return chain(isNo ? chain(told, (next) => castNo(next, proposal, reason)) : told, advance);
  }
  if (state.command !== command) return unchanged(state);
  const told = tellRefusal({ ...state, command: null }, refusal);
  // Told again at the next event: the same command at once would be refused at once.
  if (!explicit) return told;
  if (command.kind === 'query') return chain(told, answerAll);
  if (!('record' in command) || code === 'ISOBAR_ENGINE_FENCED') return told;
  const fields = { command: command.kind, code, reason: message };
  const alarm: RankSwapEffect = { kind: 'alarm', alarm: 'engine-stuck', fields };
  const stuck = { ...told.state, stuckVersion: command.version };
  return chain({ state: stuck, effects: [...told.effects, alarm] }, advance);
}

/** That the engine is gone is told by the report without it, and is no refusal. */
function tellRefusal(
  state: RankSwapState,
  { command, code, message: reason }: EngineRefusal,
): RankSwapResult {
  const version = 'version' in command ? command.version : null;
  const refused = refuseOrder(state, { order: command.kind, version, code, reason });
  return code === 'ISOBAR_ENGINE_DISCONNECTED' ? { ...refused, state } : refused;
}

function castNo(state: RankSwapState, proposal: Proposal, reason: string): RankSwapResult {
  const { durable, engine } = state;
  const { version, digest, base } = proposal;
  const voted = durable.vote?.version === version || durable.votedUpTo > version;
  if (engine === null || voted || isDecided(durable.outcomes, version)) return unchanged(state);
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
