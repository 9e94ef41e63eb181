import type { ExpertMapping } from '@isobar/eplb';
import type { DecidedVersion } from '../decided-version.js';
import type { EngineDescription, OpenVote } from '../engine-description.js';
import { type Fence, isFenced, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { KnownOutcome } from '../known-outcome.js';
import {
  type CommittedRecord,
  encodeMapRecord,
  type MapRecord,
  mappingFromWhole,
  mappingOfRecord,
  wholeMapping,
} from '../map-record.js';
import type { Member } from '../member.js';
import { type Evidence, initialEvidence } from '../membership/evidence.js';
import type { Cut, RankAnswer, RankReport } from '../messages.js';
import { applyProposal, decodeProposal, type Proposal } from '../proposal.js';

/*
 * How a new leader learns what has been decided, before it decides anything itself. It asks
 * every member under its own term; until all have answered that term it neither creates nor
 * tells any outcome, not even one that it read in the store. What a rank has acted on
 * outranks the store: an outcome that the store has lost is created again from the bytes the
 * rank kept. Then every open number is decided: committed only with the proposal's bytes,
 * every required vote for that digest, and an unchanged base; else void.
 */

export interface TakeoverState {
  readonly fence: Fence;
  readonly requiredRanks: readonly number[];
  /** Outcomes read in the store. */
  readonly stored: ReadonlyMap<number, DecidedVersion>;
  readonly answers: ReadonlyMap<number, RankAnswer>;
  /** Records still to be created before leading, in order. */
  readonly creating: readonly DecidedVersion[];
  readonly phase: 'asking' | 'deciding' | 'done' | 'failed';
}

export type TakeoverEvent =
  | {
      readonly kind: 'answer';
      readonly answer: RankAnswer;
      /** Records of `answer.outcomes`, decoded. */
      readonly outcomes: readonly DecidedVersion[];
    }
  | { readonly kind: 'record-created'; readonly version: number }
  /** The store already has an outcome of that number. */
  | { readonly kind: 'record-exists'; readonly existing: DecidedVersion }
  /** Whether the record was created is not known: it is created again at the next tick. */
  | { readonly kind: 'record-unknown'; readonly version: number }
  | { readonly kind: 'report'; readonly report: RankReport }
  /** A record or a proposal that this process can't read: it does not lead. */
  | { readonly kind: 'unreadable'; readonly error: IsobarError }
  | { readonly kind: 'tick' };

export type TakeoverEffect =
  | { readonly kind: 'ask'; readonly ranks: readonly number[] }
  | { readonly kind: 'send-cut'; readonly message: Cut }
  | { readonly kind: 'create-record'; readonly version: number; readonly bytes: Uint8Array }
  | {
      readonly kind: 'alarm';
      readonly alarm: TakeoverAlarm;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  /** Some rank has seen this fence or a higher one: lead under a higher term, or not at all. */
  | { readonly kind: 'outranked'; readonly by: Fence }
  | { readonly kind: 'complete'; readonly ground: Ground }
  | { readonly kind: 'failed'; readonly error: IsobarError };

/**
 * `record-contradicted`: the store has another outcome of a version than ranks have acted on, which
 * is overruled. `death-unproven`: members that others have lost can't be cut: an operator must say
 * whether they are dead.
 */
export type TakeoverAlarm = 'record-contradicted' | 'death-unproven';

/** What a leader stands on. */
export interface Ground {
  /** The newest committed version; version 0 is the engines' start mapping, unrecorded. */
  readonly newest: { readonly version: number; readonly digest: string };
  readonly newestOutcome: { readonly record: CommittedRecord; readonly bytes: Uint8Array } | null;
  readonly mapping: ExpertMapping;
  readonly voided: readonly number[];
  /** Outcomes to tell ranks that ask: the newest committed and every later one, ascending. */
  readonly outcomes: readonly KnownOutcome[];
  readonly members: readonly Member[];
  readonly descriptions: readonly EngineDescription[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
  /** The newest mapping before `mapping` whose buffers some member still retains. */
  readonly retained: { readonly version: number; readonly mapping: ExpertMapping } | null;
  /** Members of the newest version's base, where they are known: leavers may still be serving. */
  readonly baseMembers: readonly Member[];
  /** The store has lost outcomes that ranks know: `control` may have gone back too. */
  readonly storeBehind: boolean;
  /** Versions of which the store has another outcome than ranks have acted on. */
  readonly contradicted: readonly number[];
  readonly evidence: Evidence;
  /** Answers of engines that no record lists. */
  readonly joiners: readonly RankAnswer[];
}

export interface TakeoverOptions {
  /** ControlRecord.dead */
  readonly dead: readonly Member[];
  /** A member that all others have lost for this long is cut. */
  readonly cutAfterMs: number;
}

export interface TakeoverResult {
  readonly state: TakeoverState;
  readonly effects: readonly TakeoverEffect[];
}

/**
 * @param configuredRanks who must answer while no record names members
 * @param stored outcomes read in the store, any order
 */
export function initialTakeover(
  fence: Fence,
  configuredRanks: readonly number[],
  stored: readonly DecidedVersion[],
  _options: TakeoverOptions,
): TakeoverState {
  const byVersion = new Map(stored.map((decided) => [decided.known.version, decided]));
  const members = newestCommitted(byVersion)?.members.map((member) => member.rank);
  return {
    fence,
    requiredRanks: members ?? configuredRanks,
    stored: byVersion,
    answers: new Map(),
    creating: [],
    phase: 'asking',
  };
}

function newestCommitted(outcomes: ReadonlyMap<number, DecidedVersion>): CommittedRecord | null {
  let newest: CommittedRecord | null = null;
  for (const { record } of outcomes.values()) {
    if (record.outcome === 'committed' && record.version > (newest?.version ?? 0)) newest = record;
  }
  return newest;
}

/** One step of the machine; `nowMs` is the coordinator's own monotonic clock. */
export function stepTakeover(
  state: TakeoverState,
  event: TakeoverEvent,
  _nowMs: number,
): TakeoverResult {
  switch (event.kind) {
    case 'answer':
      return onAnswer(state, event.answer, event.outcomes);
    case 'record-created':
      return onRecordSettled(state, event.version);
    case 'record-exists':
      return onRecordExists(state, event.existing);
    case 'record-unknown':
    case 'report':
      return { state, effects: [] };
    case 'unreadable':
      return fail(state, event.error);
    case 'tick':
      return onTick(state);
  }
}

function onTick(state: TakeoverState): TakeoverResult {
  if (state.phase === 'asking') {
    const ranks = state.requiredRanks.filter((rank) => !state.answers.has(rank));
    return { state, effects: [{ kind: 'ask', ranks }] };
  }
  return { state, effects: state.phase === 'deciding' ? createNext(state) : [] };
}

function createNext(state: TakeoverState): TakeoverEffect[] {
  const next = state.creating[0];
  if (next === undefined) return [];
  return [{ kind: 'create-record', version: next.known.version, bytes: next.known.record }];
}

function onAnswer(
  state: TakeoverState,
  answer: RankAnswer,
  outcomes: readonly DecidedVersion[],
): TakeoverResult {
  if (state.phase !== 'asking' || !state.requiredRanks.includes(answer.rank)) {
    return { state, effects: [] };
  }
  if (answer.fence !== null && isFenced(answer.fence, state.fence)) {
    return { state, effects: [{ kind: 'outranked', by: answer.fence }] };
  }
  // An answer under an older term, or without its engine, says too little: asked again.
  if (answer.engine === null || !sameFence(answer.fence, state.fence))
    return { state, effects: [] };
  if (!sameFence(answer.engine.state.fence, state.fence)) return { state, effects: [] };
  const merged = mergeOutcomes(state.stored, outcomes);
  if (merged instanceof IsobarError) return fail(state, merged);
  const answers = new Map(state.answers).set(answer.rank, answer);
  const next = {
    ...state,
    answers,
    stored: merged.outcomes,
    creating: [...state.creating, ...merged.lost],
  };
  return answers.size === state.requiredRanks.length
    ? decideOpen(next)
    : { state: next, effects: [] };
}

/** Adds outcomes that ranks know and the store does not have; they are created again. */
function mergeOutcomes(
  stored: ReadonlyMap<number, DecidedVersion>,
  told: readonly DecidedVersion[],
):
  | {
      readonly outcomes: ReadonlyMap<number, DecidedVersion>;
      readonly lost: readonly DecidedVersion[];
    }
  | IsobarError {
  const outcomes = new Map(stored);
  const lost: DecidedVersion[] = [];
  for (const decided of told) {
    const { version } = decided.known;
    const known = outcomes.get(version);
    if (known === undefined) {
      outcomes.set(version, decided);
      lost.push(decided);
    } else if (!sameOutcome(known.record, decided.record)) {
      return contradiction(version);
    }
  }
  return { outcomes, lost };
}

function sameOutcome(left: MapRecord, right: MapRecord): boolean {
  if (left.outcome === 'committed' && right.outcome === 'committed') {
    return left.digest === right.digest;
  }
  return left.outcome === right.outcome;
}

function contradiction(version: number): IsobarError {
  return new IsobarError(
    'ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT',
    `version ${version} has two outcomes: an operator must decide`,
    { version },
  );
}

function fail(state: TakeoverState, error: IsobarError): TakeoverResult {
  return { state: { ...state, phase: 'failed' }, effects: [{ kind: 'failed', error }] };
}

function votesOf(state: TakeoverState): OpenVote[] {
  return [...state.answers.values()].flatMap((answer) => answer.engine?.state.vote ?? []);
}

function decideOpen(state: TakeoverState): TakeoverResult {
  const outcomes = new Map(state.stored);
  const creating = [...state.creating];
  const open = [...new Set(votesOf(state).map((vote) => vote.version))]
    .filter((version) => !outcomes.has(version))
    .sort((a, b) => a - b);
  for (const version of open) {
    const record = decideVersion(state, outcomes, version);
    const known = { version, outcome: record.outcome, record: encodeMapRecord(record) };
    outcomes.set(version, { known, record });
    creating.push({ known, record });
  }
  const next: TakeoverState = { ...state, stored: outcomes, creating, phase: 'deciding' };
  return creating.length === 0 ? complete(next) : { state: next, effects: createNext(next) };
}

function decideVersion(
  state: TakeoverState,
  outcomes: ReadonlyMap<number, DecidedVersion>,
  version: number,
): MapRecord {
  const vote = votesOf(state).find((candidate) => candidate.version === version);
  const base = newestCommitted(outcomes);
  const committed = vote === undefined ? null : recoverCommit(state, base, vote);
  if (committed !== null) return committed;
  const reason = 'open when leadership changed, without every vote';
  return { schema: 1, outcome: 'void', version, fence: state.fence, reason };
}

/** The record of an open number that every required voter has voted for; null for void. */
function recoverCommit(
  state: TakeoverState,
  base: CommittedRecord | null,
  vote: OpenVote,
): CommittedRecord | null {
  const proposal = readProposal(vote);
  if (proposal === null || proposal.base.version !== (base?.version ?? 0)) return null;
  if (!everyMemberVoted(state, proposal)) return null;
  const baseMapping = base === null ? startMapping(state) : mappingOfRecord(base);
  if (baseMapping.digest() !== proposal.base.digest) return null;
  const mapping = applyProposal(baseMapping, proposal);
  return {
    schema: 1,
    outcome: 'committed',
    version: proposal.version,
    fence: state.fence,
    change: proposal.change,
    reason: proposal.reason,
    base: proposal.base,
    digest: proposal.digest,
    mapping: wholeMapping(mapping),
    members: proposal.members,
    voided: proposal.voided,
  };
}

function readProposal(vote: OpenVote): Proposal | null {
  try {
    return decodeProposal(vote.proposal);
  } catch (error) {
    // Bytes that this process can't read can't be committed by it: who can't read doesn't lead.
    if (error instanceof IsobarError) return null;
    throw error;
  }
}

function everyMemberVoted(state: TakeoverState, proposal: Proposal): boolean {
  return proposal.members.every((member) => {
    const engine = state.answers.get(member.rank)?.engine;
    const vote = engine?.state.vote;
    return (
      vote?.version === proposal.version &&
      vote.digest === proposal.digest &&
      vote.incarnation === member.incarnation
    );
  });
}

function onRecordSettled(state: TakeoverState, version: number): TakeoverResult {
  const [first, ...creating] = state.creating;
  if (state.phase !== 'deciding' || first?.known.version !== version) return { state, effects: [] };
  const next = { ...state, creating };
  return creating.length === 0 ? complete(next) : { state: next, effects: createNext(next) };
}

/**
 * A write of the leader before landed late. What is in the store is the outcome, unless a rank
 * has acted on another; what was decided here on top of it is decided anew.
 */
function onRecordExists(state: TakeoverState, existing: DecidedVersion): TakeoverResult {
  const { version } = existing.known;
  const [first] = state.creating;
  if (state.phase !== 'deciding' || first?.known.version !== version) return { state, effects: [] };
  const stored = new Map(state.stored).set(version, existing);
  if (sameOutcome(first.record, existing.record)) {
    return onRecordSettled({ ...state, stored }, version);
  }
  if (!sameFence(first.record.fence, state.fence)) return fail(state, contradiction(version));
  const [decidedHere, told] = partition(state.creating, ({ record }) =>
    sameFence(record.fence, state.fence),
  );
  for (const { known } of decidedHere) if (known.version !== version) stored.delete(known.version);
  return decideOpen({ ...state, stored, creating: told });
}

function partition<T>(items: readonly T[], matches: (item: T) => boolean): [T[], T[]] {
  return [items.filter(matches), items.filter((item) => !matches(item))];
}

/** The engines' common start mapping, where no version has been recorded. */
function startMapping(state: TakeoverState): ExpertMapping {
  const engines = [...state.answers.values()].flatMap((answer) => answer.engine ?? []);
  const [first] = engines;
  if (first === undefined) throw new Error('start mapping asked for before any answer');
  return mappingFromWhole({
    numLayers: first.description.modelLayerIds.length,
    numLogicalExperts: first.description.numLogicalExperts,
    slotOffsets: first.description.slotOffsets,
    physicalToLogical: first.state.physicalToLogical,
  });
}

function complete(state: TakeoverState): TakeoverResult {
  const newest = newestCommitted(state.stored);
  const disagreement = findDisagreement(state, newest);
  if (disagreement !== null) return fail(state, disagreement);
  const mapping = newest === null ? startMapping(state) : mappingOfRecord(newest);
  const answers = [...state.answers.values()].sort((a, b) => a.rank - b.rank);
  const version = newest?.version ?? 0;
  const later = [...state.stored.values()]
    .filter(({ known }) => known.version >= version && known.version > 0)
    .sort((a, b) => a.known.version - b.known.version);
  const newestOutcome = later.find(({ record }) => record === newest);
  const ground: Ground = {
    newest: { version, digest: mapping.digest() },
    newestOutcome:
      newest === null || newestOutcome === undefined
        ? null
        : { record: newest, bytes: newestOutcome.known.record },
    mapping,
    voided: later
      .filter(({ record }) => record.outcome === 'void')
      .map(({ known }) => known.version),
    outcomes: later.map(({ known }) => known),
    members: newest?.members ?? membersOf(answers),
    descriptions: answers.flatMap((answer) => answer.engine?.description ?? []),
    nextVersion: 1 + Math.max(0, ...state.stored.keys(), ...answers.map(highestSeen)),
    retiredUpTo: Math.min(...answers.map((answer) => answer.engine?.state.retiredUpTo ?? 0)),
    retained: null,
    baseMembers: newest?.members ?? membersOf(answers),
    storeBehind: false,
    contradicted: [],
    evidence: initialEvidence([]),
    joiners: [],
  };
  return { state: { ...state, phase: 'done' }, effects: [{ kind: 'complete', ground }] };
}

function membersOf(answers: readonly RankAnswer[]): Member[] {
  return answers.flatMap((answer) => {
    const incarnation = answer.engine?.description.incarnation;
    return incarnation === undefined ? [] : [{ rank: answer.rank, incarnation }];
  });
}

function highestSeen(answer: RankAnswer): number {
  return Math.max(answer.votedUpTo, answer.engine?.state.votedUpTo ?? 0);
}

/** Engines of one group must be of one shape, and where nothing is recorded of one mapping. */
function findDisagreement(
  state: TakeoverState,
  newest: CommittedRecord | null,
): IsobarError | null {
  const engines = [...state.answers.values()].flatMap((answer) => answer.engine ?? []);
  const [first] = engines;
  for (const { description, state: engine } of engines) {
    const field = first === undefined ? null : differingField(first.description, description);
    if (field !== null) return disagreement(description.rank, field);
    if (newest === null) {
      if (engine.mappingVersion !== 0) return disagreement(description.rank, 'mappingVersion');
      if (engine.mappingDigest !== first?.state.mappingDigest) {
        return disagreement(description.rank, 'mappingDigest');
      }
    } else if (!isMember(newest, description)) {
      return disagreement(description.rank, 'incarnation');
    }
  }
  return null;
}

function isMember(newest: CommittedRecord, description: EngineDescription): boolean {
  const { rank, incarnation } = description;
  return newest.members.some(
    (member) => member.rank === rank && member.incarnation === incarnation,
  );
}

function differingField(left: EngineDescription, right: EngineDescription): string | null {
  const fields = [
    'deployment',
    'numRanks',
    'modelRevision',
    'numLogicalExperts',
    'bytesPerExpert',
    'activation',
    'digestAlgorithm',
  ] as const;
  const differing = fields.find((field) => left[field] !== right[field]);
  if (differing !== undefined) return differing;
  const arrays = ['modelLayerIds', 'slotOffsets', 'pinnedSlots'] as const;
  return arrays.find((field) => left[field].join() !== right[field].join()) ?? null;
}

function disagreement(rank: number, field: string): IsobarError {
  return new IsobarError(
    'ISOBAR_PROTOCOL_ENGINES_DISAGREE',
    `the engine of rank ${rank} differs from its group in ${field}`,
    { rank, field },
  );
}
