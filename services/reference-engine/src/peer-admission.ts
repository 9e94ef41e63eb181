import { includesMember, type Member, type Standing } from '@isobar/protocol';
import type { PeerGreeting } from './peer-greeting.js';

/** Incarnations of one rank. */
export interface KnownIncarnations {
  /** In the order in which they were first connected. */
  readonly met: readonly string[];
  readonly connected: ReadonlySet<string>;
}

/** What an engine knows when a peer greets it. */
export interface AdmissionGround {
  readonly standing: Standing;
  readonly cuts: readonly Member[];
  /**
   * Members of the newest record that this engine knows as committed, and of the version that it
   * has voted for; null while it knows of no record.
   */
  readonly members: readonly Member[] | null;
}

/** Why a peer is refused; null where it is welcome. A cut is for good, all else may change. */
export function refusalOf(
  peer: PeerGreeting,
  ground: AdmissionGround,
  { met, connected }: KnownIncarnations,
): string | null {
  if (includesMember(ground.cuts, peer)) return 'this incarnation has been cut off for good';
  if (peer.standing === 'stopped') return 'an engine that has stopped takes part no more';
  const { members, standing } = ground;
  if (standing === 'serving' && peer.standing === 'serving' && members !== null) {
    if (!includesMember(members, peer)) return 'the newest record does not list this incarnation';
  }
  const at = met.indexOf(peer.incarnation);
  const hasNewer = at >= 0 && met.slice(at + 1).some((newer) => connected.has(newer));
  return hasNewer ? 'a newer incarnation of this rank is connected' : null;
}
