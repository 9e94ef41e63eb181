import type { ExpertMapping, TransferTopology, WaveRoom } from '@isobar/eplb';
import type { EngineDescription } from '../engine-description.js';
import { includesMember, type Member } from '../member.js';
import type { RankAnswer, RankReport } from '../messages.js';
import { differingField } from '../swap/differing-field.js';
import type { RetainedMapping } from '../swap/ground.js';
import { deadOf, type Evidence, engineOf, isProvenDead, livingOf } from './evidence.js';

/** An engine that has described itself, and what it held when it did. */
export type DescribedEngine = NonNullable<RankAnswer['engine']>;

/** All that the next change of members is decided on. */
export interface Situation {
  readonly newest: { readonly version: number; readonly digest: string };
  readonly mapping: ExpertMapping;
  readonly members: readonly Member[];
  readonly evidence: Evidence;
  /** By rank. */
  readonly engines: ReadonlyMap<number, DescribedEngine>;
  /** The mapping before, where its buffers are not retired; null where no buffer is left of it. */
  readonly retained: RetainedMapping | null;
  /** Versions before the newest are not retired: spare buffers are in use. */
  readonly isUnretired: boolean;
  readonly configuredRanks: readonly number[];
  /** Null: all ranks are alike. */
  readonly topology: TransferTopology | null;
  /** Tokens by expert, [layers × experts]; null while none are known. */
  readonly loads: Float64Array | null;
  readonly drained: readonly number[];
  /** Slots of each rank that may be used, its first ones, [ranks]. */
  readonly usableSlots: Int32Array;
  /** What a wave may hold that lists these. */
  readonly roomFor: (members: readonly Member[]) => WaveRoom;
  /** Engines that have lately failed to join. */
  readonly shunned: readonly Member[];
  /** Ranks that have lately failed as sources: the backing store takes their place. */
  readonly distrusted: readonly number[];
}

export function livingMembers({ evidence, members }: Situation): Member[] {
  return livingOf(evidence, members);
}

export function deadMembers({ evidence, members }: Situation): Member[] {
  return deadOf(evidence, members);
}

/** Living members whose engines have not been heard for so long: nothing can have their votes. */
export function silentMembers(
  situation: Situation,
  nowMs: number,
  silentAfterMs: number,
): Member[] {
  const { evidence } = situation;
  return livingMembers(situation).filter((member) => {
    const heardAtMs = evidence.witnesses.get(member.rank)?.heardAtMs ?? Number.NEGATIVE_INFINITY;
    return engineOf(evidence, member) === null || nowMs - heardAtMs > silentAfterMs;
  });
}

/** What an engine said of itself, null where this incarnation has not been asked. */
export function describedEngine(situation: Situation, member: Member): DescribedEngine | null {
  const engine = situation.engines.get(member.rank);
  return engine?.description.incarnation === member.incarnation ? engine : null;
}

/** Why an engine can't be of this group, null where it can. */
export function groupDifference(
  situation: Pick<Situation, 'mapping' | 'members' | 'engines'>,
  description: EngineDescription,
): string | null {
  const { mapping, members, engines } = situation;
  if (description.slotOffsets.join() !== mapping.slotOffsets.join()) return 'slotOffsets';
  if (description.numLogicalExperts !== mapping.numLogicalExperts) return 'numLogicalExperts';
  if (description.modelLayerIds.length !== mapping.numLayers) return 'modelLayerIds';
  for (const member of members) {
    const engine = engines.get(member.rank);
    if (engine?.description.incarnation !== member.incarnation) continue;
    return differingField(engine.description, description);
  }
  return null;
}

type ReportedEngine = NonNullable<RankReport['engine']>;

/**
 * Engines that no record lists and that could be listed next: they don't want to leave, have the newest version as
 * their base, no vote of theirs is open, and they are known to fit. An engine of an entirely new
 * group serves its start mapping, so it is none of a group of which somebody lives.
 * @param standing whom to look for
 */
export function candidates(
  situation: Situation,
  isWanted: (engine: ReportedEngine) => boolean,
): Member[] {
  const { evidence, members, newest, shunned } = situation;
  return [...evidence.witnesses].flatMap(([rank, { engine }]) => {
    if (engine === null || engine.leaving === true || !isWanted(engine)) return [];
    const member = { rank, incarnation: engine.incarnation };
    const isFree = !includesMember(members, member) && !isProvenDead(evidence, member);
    if (!isFree || includesMember(shunned, member)) return [];
    if (engine.committedVersion !== newest.version || engine.openVote !== null) return [];
    const described = describedEngine(situation, member);
    if (described === null || groupDifference(situation, described.description) !== null) return [];
    return [member];
  });
}

export function isJoining(engine: ReportedEngine): boolean {
  return engine.standing === 'joining';
}

/** Of an entirely new group: it serves what it began with. */
export function isStarting(engine: ReportedEngine): boolean {
  return engine.standing === 'serving' && engine.mappingVersion === 0;
}

/**
 * Most experts that a wave may bring each rank, [ranks]. While older versions are not retired
 * what they retain is taken from the spare buffers.
 * @param keepReserve leaves what is kept for evacuations alone
 */
export function incomingMax(situation: Situation, keepReserve: boolean): Int32Array {
  const most = new Int32Array(situation.mapping.numRanks);
  for (const member of livingMembers(situation)) {
    const description = describedEngine(situation, member)?.description;
    if (description === undefined) continue;
    const { spareBuffers, reserveBuffers } = description;
    const reported = engineOf(situation.evidence, member)?.freeBuffers ?? spareBuffers;
    const free = situation.isUnretired ? Math.min(reported, spareBuffers) : spareBuffers;
    most[member.rank] = Math.max(0, free - (keepReserve ? reserveBuffers : 0));
  }
  return most;
}
