import { z } from 'zod';
import { sameBytes } from '../decided-version.js';
import type { EngineState } from '../engine-description.js';
import { fenceSchema, isFenced, sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import {
  contradicts,
  decodeKnownOutcome,
  type KnownOutcome,
  knownOutcomesSchema,
  newestOutcomes,
} from '../known-outcome.js';
import { includesMember, type Member, memberSchema, membersWithout } from '../member.js';
import { voteSchema } from '../messages.js';
import { incarnationSchema, versionSchema } from '../schemas.js';
import { cutsMax } from './engine-swap.js';

const exitedMax = 64;
const witnessedMax = 16;

/** A process as it is told from every other one, those before and after it included. */
export const witnessedProcessSchema = z.object({
  processId: z.number().int().positive(),
  /** Field 22 of /proc/PID/stat: when it started. */
  startTicks: z.string().regex(/^\d{1,20}$/),
  /** Boot and namespaces in which the two mean this process. */
  scope: z.string().min(1).max(300),
});
export type WitnessedProcess = Readonly<z.infer<typeof witnessedProcessSchema>>;

const witnessedEngineSchema = z.object({
  incarnation: incarnationSchema,
  process: witnessedProcessSchema,
});
/** An engine whose process the agent has seen running, and whose end it will recognise. */
export type WitnessedEngine = Readonly<z.infer<typeof witnessedEngineSchema>>;

const castVoteSchema = voteSchema.pick({
  version: true,
  digest: true,
  base: true,
  incarnation: true,
  yes: true,
  reason: true,
});
export type CastVote = Readonly<z.infer<typeof castVoteSchema>>;

/** What an agent keeps across its restarts. Written before anything is answered or acted on. */
export const durableRankStateSchema = z.object({
  fence: fenceSchema.nullable(),
  votedUpTo: versionSchema,
  /** The last vote given; a yes binds until the version's outcome. */
  vote: castVoteSchema.nullable(),
  /** The newest committed outcome and every later one, ascending. */
  outcomes: knownOutcomesSchema,
  /** Incarnations of this rank's engine whose process was seen to end, the newest last. */
  exited: z.array(incarnationSchema).max(exitedMax),
  /** Incarnations of other ranks that this rank's engine is to refuse, whichever it is. */
  cuts: z.array(memberSchema).max(cutsMax),
  /** Engines whose end has not been seen yet, the newest last. */
  witnessed: z.array(witnessedEngineSchema).max(witnessedMax),
});
export type DurableRankState = Readonly<z.infer<typeof durableRankStateSchema>>;

export const emptyDurableRankState: DurableRankState = {
  fence: null,
  votedUpTo: 0,
  vote: null,
  outcomes: [],
  exited: [],
  cuts: [],
  witnessed: [],
};

export function withWitnessed(
  durable: DurableRankState,
  incarnation: string,
  process: WitnessedProcess | null,
): DurableRankState {
  const known = durable.witnessed.some((engine) => engine.incarnation === incarnation);
  if (process === null || known) return durable;
  const witnessed = [...durable.witnessed, { incarnation, process }].slice(-witnessedMax);
  return { ...durable, witnessed };
}

/** The end of a process that was witnessed; of any other nothing is proven. */
export function withExited(
  durable: DurableRankState,
  rank: number,
  incarnation: string,
): DurableRankState {
  const witnessed = durable.witnessed.filter((engine) => engine.incarnation !== incarnation);
  if (witnessed.length === durable.witnessed.length) return durable;
  const exited = [...durable.exited, incarnation];
  return { ...durable, witnessed, exited: withinLimit(durable, rank, exited) };
}

/** The proof that the listed incarnation is dead is still needed, however many came after it. */
function withinLimit(durable: DurableRankState, rank: number, exited: string[]): string[] {
  if (exited.length <= exitedMax) return exited;
  const [newest] = durable.outcomes;
  const record = newest === undefined ? null : decodeKnownOutcome(newest);
  const members = record?.outcome === 'committed' ? record.members : [];
  const listed = members.find((member) => member.rank === rank)?.incarnation;
  const oldest = exited.findIndex((incarnation) => incarnation !== listed);
  return exited.filter((_, index) => index !== oldest);
}

/** @returns null where no more cuts can be kept */
export function withCut(durable: DurableRankState, member: Member): DurableRankState | null {
  const { rank, incarnation } = member;
  if (includesMember(durable.cuts, member)) return durable;
  if (durable.cuts.length >= cutsMax) return null;
  return { ...durable, cuts: [...durable.cuts, { rank, incarnation }] };
}

/** Cuts that the engine has forgotten, since no version lists those members any more. */
export function withoutCuts(
  durable: DurableRankState,
  forgotten: readonly Member[],
): DurableRankState {
  const cuts = membersWithout(durable.cuts, forgotten);
  return cuts.length === durable.cuts.length ? durable : { ...durable, cuts };
}

/**
 * What an engine holds although an earlier agent did not live to write it down, or a rival one
 * took it: its fence, and its vote.
 */
export function withEngineState(
  durable: DurableRankState,
  incarnation: string,
  engine: EngineState,
): DurableRankState {
  const raised = engine.fence !== null && !isFenced(durable.fence, engine.fence);
  const fence = raised ? engine.fence : durable.fence;
  const votedUpTo = Math.max(durable.votedUpTo, engine.votedUpTo);
  const vote = newerVote(durable, incarnation, engine) ?? durable.vote;
  const unchanged =
    vote === durable.vote && votedUpTo === durable.votedUpTo && sameFence(fence, durable.fence);
  return unchanged ? durable : { ...durable, fence, votedUpTo, vote };
}

function newerVote(
  durable: DurableRankState,
  incarnation: string,
  engine: EngineState,
): CastVote | null {
  const { vote } = engine;
  if (vote === null || vote.version <= durable.votedUpTo) return null;
  if (vote.incarnation !== incarnation) return null;
  const { version, digest, base } = vote;
  return { version, digest, base, incarnation, yes: true, reason: '' };
}

export interface OutcomesLearnt {
  readonly durable: DurableRankState;
  /** What of the told is not refused. */
  readonly taken: readonly KnownOutcome[];
  /** Versions told that contradict what is kept, which stays. */
  readonly contradicted: readonly number[];
  /** What was kept, and has given way. */
  readonly overruled: readonly KnownOutcome[];
  /** Refusals of what could not be read. */
  readonly malformed: readonly IsobarError[];
}

/**
 * Outcomes may come in any order, again, and late.
 * @param givesWay whether this, which is kept, falls where it contradicts what is told now
 */
export function learnOutcomes(
  durable: DurableRankState,
  told: readonly KnownOutcome[],
  givesWay: (kept: KnownOutcome) => boolean = () => false,
): OutcomesLearnt {
  const contradicted: number[] = [];
  const overruled: KnownOutcome[] = [];
  const malformed: IsobarError[] = [];
  const taken: KnownOutcome[] = [];
  let kept: readonly KnownOutcome[] = durable.outcomes;
  for (const known of told) {
    if (kept.some(({ record }) => sameBytes(record, known.record))) {
      taken.push(known);
      continue;
    }
    try {
      const against = contradicting(kept, known);
      if (!against.every(givesWay)) {
        contradicted.push(known.version);
        continue;
      }
      taken.push(known);
      overruled.push(...against);
      kept = newestOutcomes([...kept.filter((one) => !against.includes(one)), known]);
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      malformed.push(error);
    }
  }
  const refused = { taken, contradicted, overruled, malformed };
  if (isSame(kept, durable.outcomes)) return { durable, ...refused };
  const votedUpTo = Math.max(durable.votedUpTo, kept.at(-1)?.version ?? 0);
  return { durable: { ...durable, outcomes: [...kept], votedUpTo }, ...refused };
}

function contradicting(kept: readonly KnownOutcome[], told: KnownOutcome): readonly KnownOutcome[] {
  const record = decodeKnownOutcome(told);
  return kept.filter((earlier) => contradicts(decodeKnownOutcome(earlier), record));
}

function isSame(left: readonly KnownOutcome[], right: readonly KnownOutcome[]): boolean {
  return left.length === right.length && left.every((known, index) => known === right[index]);
}

/** Whether the version has an outcome, for all that these tell: as a rank keeps them. */
export function isDecided(outcomes: readonly KnownOutcome[], version: number): boolean {
  const [first] = outcomes;
  if (first?.outcome === 'committed' && version < first.version) return true;
  return outcomes.some((known) => known.version === version);
}
