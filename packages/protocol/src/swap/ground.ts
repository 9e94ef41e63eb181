import type { ExpertMapping } from '@isobar/eplb';
import type { EngineDescription } from '../engine-description.js';
import type { KnownOutcome } from '../known-outcome.js';
import { type CommittedRecord, mappingFromWhole, mappingOfRecord } from '../map-record.js';
import { includesMember, type Member, memberKey, memberKeys } from '../member.js';
import { type Evidence, isProvenDead } from '../membership/evidence.js';
import type { RankAnswer } from '../messages.js';
import type { VersionInForce } from '../version-in-force.js';
import { ascending, type KnownVersions, memberOfWord, type RankWord } from './known-versions.js';

/** An older version's mapping, of which some engines still have the buffers. */
export interface RetainedMapping {
  readonly version: number;
  readonly mapping: ExpertMapping;
  /** Its members: whoever has come later has never held it. */
  readonly members: readonly Member[];
}

/** What a leader stands on. */
export interface Ground {
  /** The newest committed version; version 0 is the engines' start mapping, unrecorded. */
  readonly newest: VersionInForce;
  readonly newestOutcome: { readonly record: CommittedRecord; readonly bytes: Uint8Array } | null;
  readonly mapping: ExpertMapping;
  readonly voided: readonly number[];
  /** Outcomes to tell ranks that ask: the newest committed and every later one, ascending. */
  readonly outcomes: readonly KnownOutcome[];
  readonly members: readonly Member[];
  /** Of the members that live, by rank. */
  readonly descriptions: readonly EngineDescription[];
  readonly nextVersion: number;
  readonly retiredUpTo: number;
  /** The mapping before `mapping`, where some living member still retains its buffers. */
  readonly retained: RetainedMapping | null;
  /** Members that the newest version let go and that may still be serving the one before. */
  readonly baseMembers: readonly Member[];
  /** The store has lost outcomes that ranks know: `control` may have gone back too. */
  readonly storeBehind: boolean;
  /** Versions of which the store has another outcome than ranks have acted on. */
  readonly contradicted: readonly number[];
  readonly evidence: Evidence;
  /** Answers of the living engines. */
  readonly answers: readonly RankAnswer[];
  /** Of these, of engines that no record lists. */
  readonly joiners: readonly RankAnswer[];
}

export interface GroundParts {
  readonly known: KnownVersions;
  readonly words: readonly RankWord[];
  readonly evidence: Evidence;
  readonly storeBehind: boolean;
  readonly contradicted: readonly number[];
}

export function groundOf(parts: GroundParts): Ground {
  const { known, words, evidence, storeBehind, contradicted } = parts;
  const { newest, outcomes } = known;
  const living = livingAnswers(words, evidence);
  const members = newest?.members ?? living.map(({ member }) => member);
  const keys = memberKeys(members);
  const listed = living.filter(({ member }) => keys.has(memberKey(member)));
  const mapping =
    newest === null ? startMapping(listed.map(({ answer }) => answer)) : mappingOfRecord(newest);
  const version = newest?.version ?? 0;
  const later = ascending([...outcomes.values()]).filter(
    ({ known: { version: at } }) => at > 0 && at >= version,
  );
  const bytes = later.find(({ record }) => record === newest)?.known.record;
  const states = listed.flatMap(({ answer }) => answer.engine ?? []);
  return {
    newest: { version, digest: mapping.digest() },
    newestOutcome: newest === null || bytes === undefined ? null : { record: newest, bytes },
    mapping,
    voided: later.flatMap(({ record }) => (record.outcome === 'void' ? record.version : [])),
    outcomes: later.map((decided) => decided.known),
    members,
    descriptions: states.map(({ description }) => description),
    nextVersion: 1 + Math.max(0, ...outcomes.keys(), ...words.map(highestSeen)),
    // Nobody that lives retains anything where all are dead.
    retiredUpTo: Math.min(version, ...states.map(({ state }) => state.retiredUpTo)),
    retained: retainedOf(known, states),
    baseMembers: leaversOf(known, states),
    storeBehind,
    contradicted,
    evidence,
    answers: living.map(({ answer }) => answer),
    joiners: living
      .filter(({ member }) => !keys.has(memberKey(member)))
      .map(({ answer }) => answer),
  };
}

type AnsweringEngine = NonNullable<RankAnswer['engine']>;

function livingAnswers(
  words: readonly RankWord[],
  evidence: Evidence,
): { readonly member: Member; readonly answer: RankAnswer }[] {
  return words
    .flatMap((word) => {
      const member = memberOfWord(word);
      return member === null || isProvenDead(evidence, member)
        ? []
        : [{ member, answer: word.answer }];
    })
    .sort((a, b) => a.member.rank - b.member.rank);
}

/** The engines' common start mapping, where no version has been recorded. */
export function startMapping(answers: readonly RankAnswer[]): ExpertMapping {
  const [first] = answers.flatMap((answer) => answer.engine ?? []);
  if (first === undefined) throw new Error('start mapping asked for before any answer');
  return mappingFromWhole({
    numLayers: first.description.modelLayerIds.length,
    numLogicalExperts: first.description.numLogicalExperts,
    slotOffsets: first.description.slotOffsets,
    physicalToLogical: first.state.physicalToLogical,
  });
}

function highestSeen({ answer }: RankWord): number {
  const vote = answer.engine?.state.vote?.version ?? 0;
  return Math.max(answer.votedUpTo, answer.engine?.state.votedUpTo ?? 0, vote);
}

/** In-place engines copy into fixed addresses: nothing older is left of theirs. */
function retainedOf(
  known: KnownVersions,
  engines: readonly AnsweringEngine[],
): RetainedMapping | null {
  const { newest, outcomes } = known;
  if (newest === null) return null;
  const base = outcomes.get(newest.base.version)?.record;
  const retains = engines.some(
    ({ description, state }) =>
      description.activation === 'two-table' && state.retiredUpTo < newest.version,
  );
  if (!retains || base?.outcome !== 'committed' || base.digest !== newest.base.digest) return null;
  return { version: base.version, mapping: mappingOfRecord(base), members: base.members };
}

/**
 * Only a change of members lets go of ranks that live. Where somebody has retired the version
 * before, all of them were seen to have activated, and may be gone by now.
 */
function leaversOf(known: KnownVersions, engines: readonly AnsweringEngine[]): Member[] {
  const { newest, outcomes } = known;
  if (newest === null || newest.change !== 'membership') return [];
  if (engines.some(({ state }) => state.retiredUpTo >= newest.version)) return [];
  const base = outcomes.get(newest.base.version)?.record;
  if (base?.outcome !== 'committed') return [];
  return base.members.filter((member) => !includesMember(newest.members, member));
}
