import { type Fence, isFenced, sameFence } from '../fence.js';
import { type KnownOutcome, newestOutcomes } from '../known-outcome.js';
import type { Cut, Prepare, Query, RefusedOrder, SwapState } from '../messages.js';
import type { Proposal } from '../proposal.js';
import { sameVersion } from '../version-in-force.js';
import { cutsMax } from './engine-swap.js';
import { isListed, isMember, type StageCommand } from './rank-commands.js';
import { isDecided, withCut } from './rank-durable.js';
import { onEngineEvent } from './rank-engine.js';
import { goOnLeaving, onLeaveTold } from './rank-leaving.js';
import { followedOrder, refuseOrder, withRefused } from './rank-refusal.js';
import type {
  ConnectedEngine,
  RankSwapEvent,
  RankSwapResult,
  RankSwapState,
} from './rank-state.js';
import {
  advance,
  answerTo,
  chain,
  give,
  keep,
  learn,
  lookForProcesses,
  repeatVote,
  reported,
  unchanged,
} from './rank-steps.js';
import { noteFollowed, refuseRunawayOrder } from './runaway-order.js';

/*
 * A rank's side of the swap, as its agent runs it. The engine keeps the truth about what it
 * holds; the agent keeps, durably, what was promised and decided (S3), and brings the engine
 * to every outcome that a leader tells. It acts on outcomes that a leader under a standing fence tells or
 * that its engine has from a peer, never on its own reading of the store (S6).
 */

const questionsMax = 16;

/** One step of the machine. It needs no clock: whatever it waits for is repeated. */
export function stepRankSwap(state: RankSwapState, event: RankSwapEvent): RankSwapResult {
  if (event.kind !== 'swap-state') return step(state, event);
  // Told again and again: a state that it has left as it was it leaves so again.
  const idle = idleOn.get(state);
  if (idle !== undefined && sameSwapState(idle, event.message)) return unchanged(state);
  const result = step(state, event);
  if (result.state === state && result.effects.length === 0) idleOn.set(state, event.message);
  return result;
}

const idleOn = new WeakMap<RankSwapState, SwapState>();

function sameSwapState(left: SwapState, right: SwapState): boolean {
  return (
    left.decidedUpTo === right.decidedUpTo &&
    left.retiredUpTo === right.retiredUpTo &&
    sameVersion(left.newest, right.newest) &&
    sameFence(left.fence, right.fence)
  );
}

function step(state: RankSwapState, event: RankSwapEvent): RankSwapResult {
  return refuseRunawayOrder(state, event) ?? noteFollowed(follow(state, event), event);
}

function follow(state: RankSwapState, event: RankSwapEvent): RankSwapResult {
  switch (event.kind) {
    case 'engine-hello':
    case 'engine-lost':
    case 'engine-exited':
    case 'engine-progress':
    case 'engine-activated':
    case 'engine-changed':
    case 'engine-done':
    case 'engine-refused':
    case 'engine-rejects':
      return reported(onEngineEvent(state, event));
    case 'prepare':
      return fenced(
        state,
        event.message.fence,
        { order: 'prepare', version: event.proposal.version },
        (raised) => onPrepare(raised, event.message, event.proposal),
      );
    case 'outcome': {
      const { version, outcome } = event.record;
      const known = { version, outcome, record: event.message.record };
      return fenced(state, event.message.fence, { order: 'outcome', version }, (raised) =>
        hear(raised, [known]),
      );
    }
    case 'retire': {
      const { fence, version } = event.message;
      return fenced(state, fence, { order: 'retire', version }, (raised) =>
        retire(raised, version),
      );
    }
    case 'cut':
      return fenced(state, event.message.fence, { order: 'cut', version: null }, (raised) =>
        onCut(raised, event.message),
      );
    case 'swap-state':
      return fenced(state, event.message.fence, { order: 'swap state', version: null }, (raised) =>
        onSwapState(raised, event.message),
      );
    case 'query':
      return onQuery(state, event.query, event.question);
    case 'outcomes-told':
      return fenced(
        { ...state, asking: false },
        event.fence,
        { order: 'outcomes', version: null },
        (raised) => hear(raised, event.outcomes),
      );
    case 'outcomes-unanswered':
      return unchanged({ ...state, asking: false });
    case 'leave': {
      const leaving = { ...state.leaving, isAsked: true };
      return reported(goOnLeaving({ ...state, leaving }));
    }
    case 'leave-told':
      return onLeaveTold(state, event.question, event.answer);
    case 'order-unreadable': {
      const { order, code, message: reason } = event;
      // Reported with the next tick: whoever sends rubbish must not have every rank answer it.
      return unchanged(withRefused(state, { order, version: null, code, reason }));
    }
    case 'tick':
      return reported(chain(chain(lookForProcesses(state), advance), goOnLeaving));
  }
}

/** Refuses a fenced message, answering with the fence known; else raises the fence, durably. */
function fenced(
  state: RankSwapState,
  fence: Fence,
  { order, version }: Pick<RefusedOrder, 'order' | 'version'>,
  act: (raised: RankSwapState) => RankSwapResult,
): RankSwapResult {
  const known = state.durable.fence;
  if (isFenced(known, fence)) {
    const reason = `rank ${state.rank} refuses term ${fence.term}: it knows term ${known?.term ?? 0}`;
    const refused = { order, version, code: 'ISOBAR_AGENT_FENCED', reason };
    return reported(refuseOrder(state, refused, { fence, highest: known }));
  }
  const raised = sameFence(known, fence) ? state.durable : { ...state.durable, fence };
  return chain(keep(followedOrder(state, order), raised), act);
}

function onPrepare(state: RankSwapState, message: Prepare, proposal: Proposal): RankSwapResult {
  const { engine, durable } = state;
  const { version, base } = proposal;
  if (engine === null || engine.state.standing === 'stopped') return unchanged(state);
  if (durable.vote?.version === version) return repeatVote(state, proposal);
  if (version <= durable.votedUpTo || state.staging !== null) return unchanged(state);
  if (!isMember(engine, proposal.members) && !isListed(engine)) return unchanged(state);
  if (engine.state.committedVersion < base.version) {
    const isHeard = isDecided(knownHere(engine, state.heard), base.version);
    const told = isHeard ? unchanged(state) : askForMissed(state);
    return chain(told, advance);
  }
  const command: StageCommand = {
    kind: 'stage',
    fence: message.fence,
    version,
    proposal: message.proposal,
  };
  return {
    state: { ...state, staging: { command, proposal } },
    effects: [{ kind: 'command-engine', command }],
  };
}

/** What the engine has acted on, and what has been heard for it. */
function knownHere(
  engine: ConnectedEngine,
  heard: readonly KnownOutcome[],
): readonly KnownOutcome[] {
  const { outcomes } = engine.state;
  return newestOutcomes(heard.length === 0 ? outcomes : [...outcomes, ...heard]);
}

function decidedUpTo(outcomes: readonly KnownOutcome[]): number {
  return outcomes.at(-1)?.version ?? 0;
}

function committedUpTo(outcomes: readonly KnownOutcome[]): number {
  return outcomes.findLast(({ outcome }) => outcome === 'committed')?.version ?? 0;
}

/**
 * Outcomes are taken only while the engine is there, whose fence the agent then knows. An agent alone
 * may know less, and an older leader's word would go to the engine under the fence that it brings.
 */
function hear(state: RankSwapState, told: readonly KnownOutcome[]): RankSwapResult {
  return state.engine === null ? unchanged(state) : chain(learn(state, told, 'leader'), advance);
}

function askForMissed(state: RankSwapState): RankSwapResult {
  if (state.asking || state.engine === null) return unchanged(state);
  const [first] = knownHere(state.engine, state.heard);
  const since = first?.outcome === 'committed' ? first.version : 0;
  return { state: { ...state, asking: true }, effects: [{ kind: 'ask-outcomes', since }] };
}

function retire(state: RankSwapState, version: number): RankSwapResult {
  const { engine, durable } = state;
  const { fence } = durable;
  if (engine === null || fence === null || state.command !== null) return unchanged(state);
  const { activatedVersion, retiredUpTo } = engine.state;
  // Never below what is routed by: a new group's engines number their start mapping 0 beneath the
  // versions of the group before, and may still have tokens of it under way when one of those is
  // told once more as retired. What is left of older versions goes with the newest.
  const ready = activatedVersion === version && retiredUpTo < version;
  return ready ? give(state, { kind: 'retire', fence, version }) : unchanged(state);
}

function onCut(state: RankSwapState, { member }: Cut): RankSwapResult {
  // A rank has no connection to itself: its own incarnations are its engine's to tell apart.
  if (member.rank === state.rank) return unchanged(state);
  const durable = withCut(state.durable, member);
  if (durable === null) {
    const reason = `rank ${state.rank} refuses ${cutsMax} incarnations already`;
    const code = 'ISOBAR_ENGINE_CUTS_FULL';
    return refuseOrder(state, { order: 'cut', version: null, code, reason }, { member });
  }
  return chain(keep(state, durable), advance);
}

function onSwapState(state: RankSwapState, leader: SwapState): RankSwapResult {
  const asked = hasMissed(state, leader) ? askForMissed(state) : unchanged(state);
  return chain(chain(asked, advance), (next) => retire(next, leader.retiredUpTo));
}

function hasMissed({ engine, heard }: RankSwapState, leader: SwapState): boolean {
  if (engine === null) return false;
  const known = knownHere(engine, heard);
  if (leader.decidedUpTo > decidedUpTo(known)) return true;
  // A later void may be all that has come.
  if (leader.newest.version > committedUpTo(known)) return true;
  // The engine waits for an outcome that the leader knows: it was lost, and a later one not.
  const vote = engine.state.vote?.version ?? null;
  return vote !== null && vote <= leader.decidedUpTo && !isDecided(known, vote);
}

function onQuery(state: RankSwapState, query: Query, question: number): RankSwapResult {
  if (isFenced(state.durable.fence, query.fence)) {
    return { state, effects: [answerTo(state, question)] };
  }
  return fenced(state, query.fence, { order: 'query', version: null }, (raised) => {
    // Beyond the limit the oldest go unanswered: their leader asks again.
    const questions = [...raised.questions, question].slice(-questionsMax);
    return advance({ ...raised, questions });
  });
}
