import type { EngineDescription, EngineState } from '../engine-description.js';
import type { Fence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import { decodeKnownOutcome, type KnownOutcome } from '../known-outcome.js';
import { includesMember, type Member, sameMember } from '../member.js';
import type { DurableRankState } from './rank-durable.js';

export interface StageCommand {
  readonly kind: 'stage';
  readonly fence: Fence;
  readonly version: number;
  readonly proposal: Uint8Array;
}

/** What an agent gives its engine to do. */
export type EngineCommand =
  | StageCommand
  | { readonly kind: 'query'; readonly fence: Fence }
  | {
      readonly kind: 'activate' | 'adopt' | 'discard';
      readonly fence: Fence;
      readonly version: number;
      readonly record: Uint8Array;
    }
  | { readonly kind: 'cut'; readonly fence: Fence; readonly member: Member }
  | { readonly kind: 'retire'; readonly fence: Fence; readonly version: number };

export interface Telling {
  readonly engine: { readonly description: EngineDescription; readonly state: EngineState };
  readonly durable: DurableRankState;
  readonly heard: readonly KnownOutcome[];
  /** The version that the engine stages now, null where there is none. */
  readonly stagingVersion: number | null;
  readonly stuckVersion: number | null;
}

/** The next outcome that leaders have told, or cut, that the engine has not acted on. */
export function nextTelling(telling: Telling): Exclude<EngineCommand, StageCommand> | null {
  const { engine, durable, heard, stuckVersion } = telling;
  const { fence } = durable;
  if (fence === null) return null;
  const outcome = heard.find(
    (known) => isOutstanding(engine.state, known) && concerns(telling, known),
  );
  if (outcome !== undefined && outcome.version !== stuckVersion) {
    const { version, record } = outcome;
    return { kind: tellingOf(engine, outcome), fence, version, record };
  }
  const member = durable.cuts.find((cut) => !includesMember(engine.state.cuts, cut));
  return member === undefined ? null : { kind: 'cut', fence, member };
}

/** Nothing is of consequence to a stopped engine. */
function isOutstanding(engine: EngineState, { version }: KnownOutcome): boolean {
  if (engine.standing === 'stopped' || version <= engine.committedVersion) return false;
  return engine.outcomes.every((taken) => taken.version !== version);
}

/**
 * An engine that no version lists has no part in a void that it does not stage or vote for. It is not
 * asked at a takeover, so that the number may be decided otherwise: what it took would contradict it.
 */
function concerns(
  { engine, stagingVersion }: Telling,
  { version, outcome }: KnownOutcome,
): boolean {
  if (outcome === 'committed' || version === stagingVersion) return true;
  const { mappingVersion, vote } = engine.state;
  return vote?.version === version || mappingVersion > 0 || isListed(engine);
}

/** An engine that no version has listed yet can't follow one that does not: it is its base. */
function tellingOf(
  engine: Telling['engine'],
  known: KnownOutcome,
): 'activate' | 'adopt' | 'discard' {
  if (known.outcome === 'void') return 'discard';
  const followsNone = engine.state.mappingVersion === 0 && !isListed(engine);
  return followsNone && !isListedIn(engine, known) ? 'adopt' : 'activate';
}

/** Whether the newest version that the engine has acted on lists it. */
export function isListed(engine: Telling['engine']): boolean {
  const newest = engine.state.outcomes.findLast((known) => known.outcome === 'committed');
  return newest !== undefined && isListedIn(engine, newest);
}

function isListedIn(engine: Telling['engine'], known: KnownOutcome): boolean {
  try {
    const record = decodeKnownOutcome(known);
    return record.outcome === 'committed' && isMember(engine, record.members);
  } catch (error) {
    // What an engine tells and nobody can read was refused, and said so, where it was told.
    if (error instanceof IsobarError) return false;
    throw error;
  }
}

export function isSameCommand(left: EngineCommand, right: EngineCommand): boolean {
  if (left.kind === 'cut' && right.kind === 'cut') return sameMember(left.member, right.member);
  const version = 'version' in left ? left.version : null;
  return left.kind === right.kind && version === ('version' in right ? right.version : null);
}

export function isMember({ description }: Telling['engine'], members: readonly Member[]): boolean {
  return includesMember(members, description);
}
