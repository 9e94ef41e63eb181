import type { Member } from '../member.js';
import type { RankReport } from '../messages.js';
import { type Evidence, engineOf, isProvenDead } from './evidence.js';
import { isStarting } from './situation.js';

/*
 * A group that starts serves its start mapping as version 0 before any version lists it. An engine of
 * it that is replaced meanwhile may live on and route by that mapping, while the others free what it
 * names: so the version that lists them waits for the proof of its death, as for any member's.
 */

/** An engine of the group that starts; null where it is still connected, and so unnamed. */
export interface StartingPeer {
  readonly rank: number;
  readonly incarnation: string | null;
}

interface Candidate {
  readonly member: Member;
  readonly engine: RankReport['engine'];
}

/**
 * Engines that have started together with one of `candidates`, are none of them, and are not
 * proven dead.
 * @param candidates one of each rank
 */
export function livingStarters(
  evidence: Evidence,
  candidates: readonly Member[],
): readonly StartingPeer[] {
  const engines = candidates.map((member) => ({ member, engine: engineOf(evidence, member) }));
  const living = new Map<string, StartingPeer>();
  for (const starter of engines.filter(hasStarted)) {
    for (const other of engines) {
      const peer = other === starter ? null : replacedPeer(starter, other);
      if (peer === null || isDead(evidence, peer)) continue;
      living.set(`${peer.rank} ${peer.incarnation}`, peer);
    }
  }
  return [...living.values()].sort((a, b) => a.rank - b.rank);
}

function hasStarted({ engine }: Candidate): boolean {
  return engine !== null && isStarting(engine);
}

/** Whom a starter has at another's rank; null where that is the other, of one group with it. */
function replacedPeer(starter: Candidate, other: Candidate): StartingPeer | null {
  const named = namedInsteadOf(starter, other.member);
  if (named !== null) return named;
  const ofOneGroup = hasStarted(other) && namedInsteadOf(other, starter.member) === null;
  return ofOneGroup ? null : { rank: other.member.rank, incarnation: null };
}

/** Another incarnation of its rank with which the engine has lost its connection. */
function namedInsteadOf({ engine }: Candidate, { rank, incarnation }: Member): Member | null {
  const peers = engine?.brokenPeers ?? [];
  return peers.find((peer) => peer.rank === rank && peer.incarnation !== incarnation) ?? null;
}

function isDead(evidence: Evidence, { rank, incarnation }: StartingPeer): boolean {
  return incarnation !== null && isProvenDead(evidence, { rank, incarnation });
}
