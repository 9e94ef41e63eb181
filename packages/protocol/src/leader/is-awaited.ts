import { includesMember, type Member } from '../member.js';
import type { LeaderState } from './leader-types.js';

/** Whether a version lists an engine, might soon, or has let it go and is not followed by all yet. */
export function isAwaited({ swap, leavers, started }: LeaderState, member: Member): boolean {
  const { members, open } = swap;
  const others = [...(open?.voters ?? []), ...(open?.proposal.members ?? [])];
  return (
    includesMember(members, member) ||
    includesMember(others, member) ||
    (!started && includesMember(leavers, member))
  );
}
