import { includesMember, type Member, sameMember } from '../member.js';
import type { RankReport } from '../messages.js';
import { type Evidence, engineOf, hasEnded, isProvenDead } from './evidence.js';

/*
 * A proof of death that is only a word stops nobody. The engine that it names may merely be paused,
 * and frames of one that has ended may still be under way: either may tell a peer an outcome that it
 * alone has acted on. So what an engine says, its vote or its ignorance, counts without a dead
 * member's only where it was said after the engine could hear nothing more of that member.
 */

/** A proven death, as others must have taken note of it. */
export interface Death extends Member {
  /** Its process was seen to end: a connection with it that is broken stays so. */
  readonly hasEnded: boolean;
  /** A recorded version lists it: engines that serve a new group's start take no word of it. */
  readonly isRecorded: boolean;
}

export type SeveringEngine = Pick<
  NonNullable<RankReport['engine']>,
  'cuts' | 'brokenPeers' | 'standing' | 'mappingVersion'
>;

/** Whether the engine of `rank`, as it was when it said so, hears nothing more of the dead one. */
export function isSevered(rank: number, engine: SeveringEngine, death: Death): boolean {
  // A rank has no connection to itself.
  if (death.rank === rank || includesMember(engine.cuts, death)) return true;
  if (death.hasEnded && includesMember(engine.brokenPeers, death)) return true;
  return death.isRecorded && engine.standing === 'serving' && engine.mappingVersion === 0;
}

/**
 * Deaths among `members`.
 * @param recorded members of the newest committed version
 */
export function deathsOf(
  evidence: Evidence,
  members: readonly Member[],
  recorded: readonly Member[],
): Death[] {
  return members
    .filter((member) => isProvenDead(evidence, member))
    .map((member) => ({
      ...member,
      hasEnded: hasEnded(evidence, member),
      isRecorded: includesMember(recorded, member),
    }));
}

export function sameDeaths(left: readonly Death[], right: readonly Death[]): boolean {
  const isIn = (death: Death) =>
    right.some(
      (other) =>
        sameMember(other, death) &&
        other.hasEnded === death.hasEnded &&
        other.isRecorded === death.isRecorded,
    );
  return left.length === right.length && left.every(isIn);
}

/**
 * The dead that some living member, by its newest word, may still hear: they must be cut. Who has
 * not been heard yet may have lost its connection with one whose process has ended.
 */
export function unsevered(
  evidence: Evidence,
  deaths: readonly Death[],
  living: readonly Member[],
): Member[] {
  return deaths
    .filter((death) =>
      living.some((peer) => {
        const engine = engineOf(evidence, peer);
        if (engine === null) return peer.rank !== death.rank && !death.hasEnded;
        return !isSevered(peer.rank, engine, death);
      }),
    )
    .map(({ rank, incarnation }) => ({ rank, incarnation }));
}
