import { type DecidedVersion, sameBytes } from '../decided-version.js';
import type { RankAnswer } from '../messages.js';
import { withRank } from '../rank-table.js';
import type { RankWord } from './known-versions.js';
import type { TakeoverState } from './takeover-state.js';

/*
 * Answers as they come in. To weigh them takes all of them, so with each of many it is not done anew: a
 * takeover goes on once nobody is missing of those that were when they were last weighed, or where one tells
 * what nobody has told before. And what many tell alike, whole mappings, is kept once.
 */

/** What there was when the answers were last weighed; before the first of them, what the store has. */
export interface Weighed {
  /** Ranks that were missing. */
  readonly awaited: ReadonlySet<number>;
  /** Outcomes that the store has or ranks have told, by version, each once. */
  readonly outcomes: ReadonlyMap<number, readonly DecidedVersion[]>;
  /** Proposals that engines have voted for, each once. */
  readonly proposals: readonly Uint8Array[];
  /** Start mappings that engines serve, each once. */
  readonly startMappings: readonly Int32Array[];
}

/** Different ones that are looked through: more are kept as they came. */
const sharedMax = 8;

export function weighedOf(
  state: Pick<TakeoverState, 'stored' | 'words'>,
  awaited: Iterable<number>,
): Weighed {
  const outcomes = new Map<number, readonly DecidedVersion[]>();
  const addOutcome = (decided: DecidedVersion) => {
    const { version } = decided.known;
    const before = outcomes.get(version) ?? [];
    outcomes.set(version, withOne(before, decided, sameRecord));
  };
  let proposals: readonly Uint8Array[] = [];
  let startMappings: readonly Int32Array[] = [];
  for (const decided of state.stored.values()) addOutcome(decided);
  for (const word of wordsOf(state)) {
    for (const decided of word.outcomes) addOutcome(decided);
    const { engine } = word.answer;
    if (engine === null) continue;
    const { vote, physicalToLogical } = engine.state;
    if (vote !== null) proposals = withOne(proposals, vote.proposal, sameBytes);
    startMappings = withOne(startMappings, physicalToLogical, sameEntries);
  }
  return { awaited: new Set(awaited), outcomes, proposals, startMappings };
}

function withOne<T>(known: readonly T[], one: T, same: (a: T, b: T) => boolean): readonly T[] {
  if (known.length >= sharedMax || findSame(known, one, same) !== undefined) return known;
  return [...known, one];
}

function findSame<T>(known: readonly T[], one: T, same: (a: T, b: T) => boolean): T | undefined {
  return known.find((other) => other === one || same(other, one));
}

function sameRecord(left: DecidedVersion, right: DecidedVersion): boolean {
  return sameBytes(left.known.record, right.known.record);
}

function sameEntries(left: Int32Array, right: Int32Array): boolean {
  return left.length === right.length && left.every((entry, index) => entry === right[index]);
}

export function wordsOf({ words }: Pick<TakeoverState, 'words'>): RankWord[] {
  return [...words.values()].flat();
}

export interface HeardWord {
  readonly word: RankWord;
  /** It tells an outcome or a vote that was not known when answers were last weighed. */
  readonly isNews: boolean;
}

/** An answer with what others tell as well in their own objects: no message is kept for it. */
export function wordOf(
  { weighed }: TakeoverState,
  answer: RankAnswer,
  told: readonly DecidedVersion[],
): HeardWord {
  const known = told.map((decided) => {
    const others = weighed.outcomes.get(decided.known.version) ?? [];
    return findSame(others, decided, sameRecord);
  });
  const outcomes = told.map((decided, index) => known[index] ?? decided);
  const { engine } = answer;
  const vote = engine?.state.vote ?? null;
  const proposal = vote === null ? null : findSame(weighed.proposals, vote.proposal, sameBytes);
  const isNews = known.includes(undefined) || proposal === undefined;
  if (engine === null) return { word: { answer: { ...answer, outcomes: [] }, outcomes }, isNews };
  const own = engine.state.physicalToLogical;
  const physicalToLogical = findSame(weighed.startMappings, own, sameEntries) ?? own;
  const shared = vote === null ? null : { ...vote, proposal: proposal ?? vote.proposal };
  const state = { ...engine.state, outcomes: [], physicalToLogical, vote: shared };
  const kept = { ...answer, outcomes: [], engine: { ...engine, state } };
  return { word: { answer: kept, outcomes }, isNews };
}

/** Engines of one rank whose answers are kept: those of older ones are asked for again. */
const wordsOfRankMax = 8;

/** The newest of a rank's answers is the last. */
export function withWord(state: TakeoverState, word: RankWord): TakeoverState {
  const { rank } = word.answer;
  const others = (state.words.get(rank) ?? []).filter(
    (other) => incarnationOf(other) !== incarnationOf(word),
  );
  const words = withRank(state.words, rank, [...others, word].slice(-wordsOfRankMax));
  const answered = state.answered + (state.weighed.awaited.has(rank) ? 1 : 0);
  return { ...state, words, answered };
}

function incarnationOf({ answer }: RankWord): string | null {
  return answer.engine?.description.incarnation ?? null;
}

/** Whether somebody may be missing still, for all that has come since answers were last weighed. */
export function isIncomplete({ weighed, answered }: TakeoverState, { answer }: RankWord): boolean {
  // Whom this one takes for dead need not answer, if it is proven: one for each is let off.
  const deaths = answer.exited.length + (answer.engine?.state.cuts.length ?? 0);
  return weighed.awaited.size - answered > deaths;
}
