import type { DecidedVersion } from '../decided-version.js';
import { isFenced, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { CommittedRecord } from '../map-record.js';
import { type Member, memberKey, memberKeys, unionOfMembers } from '../member.js';
import {
  hearWitness,
  isProvenDead,
  livingOf,
  mayProveDeath,
  type Witness,
  weighEvidence,
  witnessOfAnswer,
  witnessOfReport,
} from '../membership/evidence.js';
import { type Death, deathsOf, unsevered } from '../membership/severed.js';
import { watchLosses } from '../membership/watch-losses.js';
import type { RankAnswer, RankReport } from '../messages.js';
import { engineDisagreement } from './engines-disagree.js';
import { groundOf, startMapping } from './ground.js';
import {
  type KnownVersions,
  memberOfWord,
  type RankWord,
  sameOutcome,
  weighOutcomes,
  wordsSevered,
} from './known-versions.js';
import {
  decideOpenNumber,
  groundOfRecord,
  type OpenGround,
  openVotes,
  targetMembers,
} from './recover-open.js';
import type {
  PendingRecord,
  TakeoverEffect,
  TakeoverEvent,
  TakeoverResult,
  TakeoverState,
} from './takeover-state.js';

import { isIncomplete, weighedOf, withWord, wordOf, wordsOf } from './takeover-words.js';

export type { Ground, RetainedMapping } from './ground.js';
export * from './takeover-state.js';

/*
 * How a new leader learns what has been decided, before it decides anything itself. It asks
 * under its own term; until all that must answer have answered that term it neither creates nor
 * tells any outcome, not even one that it read in the store. Then it creates again what the store
 * has lost, and decides every open number.
 *
 * Who must answer: the members of the newest committed version that is known, by record or
 * answer, that are not proven dead. That suffices. Say some version is newer than the newest known,
 * N. The first committed on top of N had the vote of every member of N that was not dead then;
 * each that lives now keeps that vote or its outcome, and has told. So either it is known, or its
 * number is open and decided here, where all have voted: and then its members must answer too.
 * Where no member of N lives, nobody of N can tell: then all configured ranks must answer. A death
 * that only an earlier leader had proof of is none here: more answer than need to, or nothing is
 * done. Members of an open proposal that may have acted on its commit must be heard as well.
 *
 * Who is proven dead may still be heard by its peers: its engine may only be paused, or its frames
 * under way. So an answer counts only where its engine was severed from the dead when it gave it;
 * until then the dead are cut, and the rank is asked again.
 */

/** One step of the machine; `nowMs` is the coordinator's own monotonic clock. */
export function stepTakeover(
  state: TakeoverState,
  event: TakeoverEvent,
  nowMs: number,
): TakeoverResult {
  if (state.phase === 'done' || state.phase === 'failed') return { state, effects: [] };
  switch (event.kind) {
    case 'answer':
      return onAnswer(state, event.answer, event.outcomes, nowMs);
    case 'report':
      return onReport(state, event.report, nowMs);
    case 'record-created':
      return onRecordCreated(state, event.version);
    case 'record-exists':
      return onRecordExists(state, event.existing);
    case 'record-unknown':
      return { state: withDoubt(state, event.version), effects: [] };
    case 'unreadable':
      return fail(state, event.error);
    case 'tick':
      return onTick(state, nowMs);
  }
}

function onTick(state: TakeoverState, nowMs: number): TakeoverResult {
  if (state.phase === 'deciding') return { state, effects: createNext(state) };
  const { newest } = knownOf(state);
  const members = newest?.members ?? [];
  const mapping = newest?.mapping ?? null;
  const watched = watchLosses(state.evidence, members, mapping, nowMs, state.cutAfterMs);
  const { fence } = state;
  const toCut = [...watched.toCut, ...membersToSever(state)];
  const effects: TakeoverEffect[] = toCut.map((member) => ({
    kind: 'send-cut',
    message: { schema: 1, fence, member },
  }));
  const { spared, unproven } = watched;
  if (spared.length > 0) {
    const fields = { lacks: 'slots', members: spared };
    effects.push({ kind: 'alarm', alarm: 'degraded', fields });
  }
  if (unproven.length > 0) {
    effects.push({ kind: 'alarm', alarm: 'death-unproven', fields: { members: unproven } });
  }
  effects.push({ kind: 'ask', ranks: ranksToAsk(state) });
  const next = { ...state, evidence: watched.evidence };
  const { state: told, effects: alarms } = alarmMissing(next, nowMs);
  const weighed = state.isStale ? advance(told) : { state: told, effects: [] };
  return { state: weighed.state, effects: [...effects, ...alarms, ...weighed.effects] };
}

/** In units of `cutAfterMs`: by then a member that its peers have lost has been cut. */
const missingAfterCuts = 6;

/** A member that nobody can tell about blocks every leader: only an operator can know, and is told. */
function alarmMissing(state: TakeoverState, nowMs: number): TakeoverResult {
  const askingSinceMs = state.askingSinceMs ?? nowMs;
  const asking = { ...state, askingSinceMs };
  const isLong = nowMs - askingSinceMs >= missingAfterCuts * state.cutAfterMs;
  if (state.missingTold || !isLong) return { state: asking, effects: [] };
  const fields = { members: membersUnheard(state) };
  return {
    state: { ...asking, missingTold: true },
    effects: [{ kind: 'alarm', alarm: 'answers-missing', fields }],
  };
}

/** All that are not heard yet: of those that need not answer, one may know something too. */
function ranksToAsk(state: TakeoverState): number[] {
  const silent = state.configuredRanks.filter((rank) =>
    (state.words.get(rank) ?? []).every(({ answer }) => answer.engine === null),
  );
  return [...new Set([...silent, ...ranksUnheard(state)])].sort((a, b) => a - b);
}

/** Ranks whose answers are missing, of those that must answer. */
export function ranksUnheard(state: TakeoverState): number[] {
  return membersUnheard(state).map(({ rank }) => rank);
}

/**
 * Those without whose answer the takeover can't go on: members of the newest version, and of what
 * may have been committed on top of it.
 */
export function membersUnheard(state: TakeoverState): UnheardMember[] {
  if (state.phase !== 'asking') return [];
  const known = knownOf(state);
  const missing = unheard(state, known);
  if (missing.length > 0) return missing;
  const open = decideOpen(state, known);
  return 'unheard' in open ? [...open.unheard] : [];
}

export interface UnheardMember {
  readonly rank: number;
  /** Null where any engine of the rank will do. */
  readonly incarnation: string | null;
}

function knownOf(state: TakeoverState): KnownVersions {
  const isDead = (member: Member) => isProvenDead(state.evidence, member);
  return weighOutcomes(state.stored, wordsOf(state), isDead);
}

/** The dead whose words are left out: members, and engines of a group that no version lists yet. */
function deathsLeftOut(state: TakeoverState, newest: CommittedRecord | null): readonly Death[] {
  const { evidence } = state;
  if (newest !== null) return deathsOf(evidence, newest.members, newest.members);
  const heard = wordsOf(state).flatMap((word) => memberOfWord(word) ?? []);
  return deathsOf(evidence, heard, []);
}

/** The dead, those that an open proposal would list included, that some living engine may hear. */
function membersToSever(state: TakeoverState): Member[] {
  const { evidence } = state;
  const { newest } = knownOf(state);
  const members = newest?.members ?? [];
  const targets = readingProposals(() => targetMembers(wordsOf(state), newest?.version ?? 0));
  const open = targets instanceof IsobarError ? [] : deathsOf(evidence, targets, members);
  const deaths = [...deathsLeftOut(state, newest), ...open];
  const heard = wordsOf(state).flatMap((word) => memberOfWord(word) ?? []);
  const living = livingOf(evidence, unionOfMembers(members, heard));
  return unionOfMembers([], unsevered(evidence, deaths, living));
}

/** Members, or ranks where no member is known to live, that must answer and have not. */
function unheard(state: TakeoverState, known: KnownVersions): UnheardMember[] {
  const words = wordsSevered(wordsOf(state), deathsLeftOut(state, known.newest));
  const heard = words.flatMap((word) => memberOfWord(word) ?? []);
  const keys = memberKeys(heard);
  const living = livingOf(state.evidence, known.newest?.members ?? []);
  if (living.length > 0) return living.filter((member) => !keys.has(memberKey(member)));
  const numLiving = new Map<number, number>();
  for (const { rank } of livingOf(state.evidence, heard)) {
    numLiving.set(rank, 1 + (numLiving.get(rank) ?? 0));
  }
  // Of two engines of one rank, where no record says which is the member, one must be dead first.
  const isHeard = (rank: number) =>
    known.newest === null ? numLiving.get(rank) === 1 : numLiving.has(rank);
  return state.configuredRanks
    .filter((rank) => !isHeard(rank))
    .map((rank) => ({ rank, incarnation: null }));
}

function onReport(state: TakeoverState, report: RankReport, nowMs: number): TakeoverResult {
  if (report.fence !== null && isFenced(report.fence, state.fence)) {
    return { state, effects: [{ kind: 'outranked', by: report.fence }] };
  }
  // What is being created was decided on the evidence there was.
  if (state.phase !== 'asking') return { state, effects: [] };
  return weigh(state, report.rank, witnessOfReport(report, nowMs));
}

function onAnswer(
  state: TakeoverState,
  answer: RankAnswer,
  outcomes: readonly DecidedVersion[],
  nowMs: number,
): TakeoverResult {
  if (answer.fence !== null && isFenced(answer.fence, state.fence)) {
    return { state, effects: [{ kind: 'outranked', by: answer.fence }] };
  }
  if (state.phase !== 'asking') return { state, effects: [] };
  const witness = witnessOfAnswer(answer, nowMs);
  // Under an older term, the agent's or its engine's, it says too little: asked again.
  const isUnderTerm =
    sameFence(answer.fence, state.fence) &&
    (answer.engine === null || sameFence(answer.engine.state.fence, state.fence));
  if (!isUnderTerm) return weigh(state, answer.rank, witness);
  const { word, isNews } = wordOf(state, answer, outcomes);
  const heard = withWitness(withWord(state, word), answer.rank, witness);
  if (!isNews && isIncomplete(heard, word)) return { state: heard, effects: [] };
  return advance(heard);
}

function weigh(state: TakeoverState, rank: number, witness: Witness): TakeoverResult {
  const before = state.evidence.witnesses.get(rank);
  const heard = withWitness(state, rank, witness);
  const isNews = mayProveDeath(before, witness);
  return isNews ? advance(heard) : { state: heard, effects: [] };
}

function withWitness(state: TakeoverState, rank: number, witness: Witness): TakeoverState {
  const { evidence } = hearWitness(state.evidence, rank, witness);
  return { ...state, evidence, isStale: true };
}

/** Members of the newest version, and all others whose votes may count. */
function withProofs(state: TakeoverState, newest: CommittedRecord | null): TakeoverState {
  const others = wordsOf(state).flatMap((word) => memberOfWord(word) ?? []);
  const members = newest?.members ?? [];
  return { ...state, evidence: weighEvidence(state.evidence, members, others) };
}

/** Decides what can be decided, once all have answered that must. */
function advance(heard: TakeoverState): TakeoverResult {
  const state = withProofs(heard, knownOf(heard).newest);
  const known = knownOf(state);
  const missing = unheard(state, known);
  if (missing.length > 0) return waiting(state, missing);
  if (known.disputed !== null) return fail(state, disputed(known.disputed));
  const refusal = engineDisagreement(livingEngines(state, known), known.newest);
  if (refusal !== null) return fail(state, refusal);
  const open = decideOpen(state, known);
  if (open instanceof IsobarError) return fail(state, open);
  if ('unheard' in open) return waiting(state, open.unheard);
  const lost = known.lost.map((decided) => ({ decided, isTold: true, inDoubt: false }));
  const here = open.decided.map((decided) => ({ decided, isTold: false, inDoubt: false }));
  const alarms = contradictions(state, known.contradicted);
  const next: TakeoverState = {
    ...state,
    creating: [...lost, ...here],
    contradicted: known.contradicted,
    storeBehind: state.storeBehind || known.contradicted.length > 0,
    phase: 'deciding',
  };
  const result =
    next.creating.length === 0 ? complete(next) : { state: next, effects: createNext(next) };
  return { state: result.state, effects: [...alarms, ...result.effects] };
}

function waiting(state: TakeoverState, missing: readonly UnheardMember[]): TakeoverResult {
  const weighed = weighedOf(
    state,
    missing.map(({ rank }) => rank),
  );
  return { state: { ...state, weighed, answered: 0, isStale: false }, effects: [] };
}

function contradictions(state: TakeoverState, versions: readonly number[]): TakeoverEffect[] {
  return versions
    .filter((version) => !state.contradicted.includes(version))
    .map((version) => ({ kind: 'alarm', alarm: 'record-contradicted', fields: { version } }));
}

type OpenNumbers =
  | { readonly decided: readonly DecidedVersion[] }
  /** They must be heard first. */
  | { readonly unheard: readonly UnheardMember[] };

/** Every number above the newest committed one that somebody has voted for and nobody decided. */
function decideOpen(state: TakeoverState, known: KnownVersions): OpenNumbers | IsobarError {
  const words = wordsOf(state);
  const numbers = [...new Set(openVotes(words).map(({ vote }) => vote.version))]
    .filter((version) => version > (known.newest?.version ?? 0) && !known.outcomes.has(version))
    .sort((a, b) => a - b);
  let newest = known.newest;
  const decided: DecidedVersion[] = [];
  for (const version of numbers) {
    const decision = readingProposals(() =>
      decideOpenNumber(openGround(state, words, newest), version),
    );
    if (decision instanceof IsobarError) return decision;
    if (decision.kind === 'unheard') return { unheard: decision.members };
    decided.push(decision.decided);
    const { record } = decision.decided;
    if (record.outcome === 'committed') newest = record;
  }
  // The target of a commit that was open has members of its own, which may know more.
  const target = newest === known.newest ? [] : unheard(state, { ...known, newest });
  return target.length > 0 ? { unheard: target } : { decided };
}

function readingProposals<T>(decide: () => T): T | IsobarError {
  try {
    return decide();
  } catch (error) {
    if (error instanceof IsobarError) return error;
    throw error;
  }
}

function openGround(
  state: TakeoverState,
  words: readonly RankWord[],
  newest: CommittedRecord | null,
): OpenGround {
  const { fence, evidence } = state;
  const deaths = (members: readonly Member[]) => deathsOf(evidence, members, newest?.members ?? []);
  const common = { fence, words, deaths };
  if (newest !== null) return { ...common, ...groundOfRecord(newest) };
  const mapping = startMapping(words.map(({ answer }) => answer));
  return {
    ...common,
    newest: { version: 0, digest: mapping.digest() },
    members: words.flatMap((word) => memberOfWord(word) ?? []),
    mapping: () => mapping,
  };
}

function createNext(state: TakeoverState): TakeoverEffect[] {
  const [next] = state.creating;
  if (next === undefined) return [];
  const { version, record } = next.decided.known;
  return [{ kind: 'create-record', version, bytes: record }];
}

function firstPending(state: TakeoverState, version: number): PendingRecord | null {
  const [first] = state.creating;
  return state.phase === 'deciding' && first?.decided.known.version === version ? first : null;
}

function withDoubt(state: TakeoverState, version: number): TakeoverState {
  const first = firstPending(state, version);
  if (first === null) return state;
  return { ...state, creating: [{ ...first, inDoubt: true }, ...state.creating.slice(1)] };
}

function onRecordCreated(state: TakeoverState, version: number): TakeoverResult {
  const first = firstPending(state, version);
  if (first === null) return { state, effects: [] };
  // What ranks keep was created once: the store has lost it.
  const storeBehind = state.storeBehind || first.isTold;
  return settled({ ...state, storeBehind }, first.decided);
}

function settled(state: TakeoverState, decided: DecidedVersion): TakeoverResult {
  const stored = new Map(state.stored).set(decided.known.version, decided);
  const next = { ...state, stored, creating: state.creating.slice(1) };
  return next.creating.length === 0 ? complete(next) : { state: next, effects: createNext(next) };
}

/**
 * What was read was stale, or a write of the leader before has landed late. What is in the store is
 * the outcome, unless ranks have acted on another: and nobody that lives has acted on one that
 * is decided here. What was decided on top of that is decided anew.
 */
function onRecordExists(state: TakeoverState, existing: DecidedVersion): TakeoverResult {
  const { version } = existing.known;
  const first = firstPending(state, version);
  if (first === null) return { state, effects: [] };
  if (isFenced(existing.record.fence, state.fence)) {
    return { state, effects: [{ kind: 'outranked', by: existing.record.fence }] };
  }
  const stored = new Map(state.stored).set(version, existing);
  if (sameOutcome(first.decided.record, existing.record)) {
    const storeBehind = state.storeBehind || (first.isTold && first.inDoubt);
    return settled({ ...state, storeBehind }, existing);
  }
  return advance({ ...state, stored, creating: [], phase: 'asking' });
}

function fail(state: TakeoverState, error: IsobarError): TakeoverResult {
  return { state: { ...state, phase: 'failed' }, effects: [{ kind: 'failed', error }] };
}

/** Of the members; where nothing is recorded, all. */
function livingEngines(
  state: TakeoverState,
  { newest }: KnownVersions,
): NonNullable<RankAnswer['engine']>[] {
  const members = newest === null ? null : memberKeys(newest.members);
  return wordsOf(state).flatMap((word) => {
    const member = memberOfWord(word);
    if (member === null || isProvenDead(state.evidence, member)) return [];
    if (members !== null && !members.has(memberKey(member))) return [];
    return word.answer.engine ?? [];
  });
}

function disputed(version: number): IsobarError {
  return new IsobarError(
    'ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT',
    `ranks have acted on two outcomes of version ${version}: an operator must decide`,
    { version },
  );
}

function complete(state: TakeoverState): TakeoverResult {
  const known = knownOf(state);
  const { evidence, storeBehind, contradicted } = state;
  const parts = { known, words: wordsOf(state), evidence, storeBehind, contradicted };
  const ground = groundOf(parts);
  return { state: { ...state, phase: 'done' }, effects: [{ kind: 'complete', ground }] };
}
