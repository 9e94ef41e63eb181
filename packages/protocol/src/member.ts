import { z } from 'zod';
import { incarnationSchema, limits, rankSchema } from './schemas.js';

/** One engine process of the deployment: its rank, and the number it drew when it started. */
export const memberSchema = z.object({ rank: rankSchema, incarnation: incarnationSchema });

export type Member = Readonly<z.infer<typeof memberSchema>>;

export const membersSchema = z.array(memberSchema).max(limits.ranks);

export function memberKey({ rank, incarnation }: Member): string {
  return `${rank} ${incarnation}`;
}

export function memberKeys(members: Iterable<Member>): ReadonlySet<string> {
  return new Set(Array.from(members, memberKey));
}

export function sameMember(left: Member, right: Member): boolean {
  return left.rank === right.rank && left.incarnation === right.incarnation;
}

export function includesMember(members: readonly Member[], member: Member): boolean {
  return members.some((candidate) => sameMember(candidate, member));
}

/** Members of `members` that are not of `others`. */
export function membersWithout(members: readonly Member[], others: readonly Member[]): Member[] {
  if (others.length === 0) return [...members];
  const keys = memberKeys(others);
  return members.filter((member) => !keys.has(memberKey(member)));
}

/** By rank; each member once. */
export function unionOfMembers(left: readonly Member[], right: readonly Member[]): Member[] {
  const byIncarnation = new Map<string, Member>();
  for (const member of [...left, ...right]) {
    byIncarnation.set(memberKey(member), member);
  }
  return [...byIncarnation.values()].sort((a, b) => a.rank - b.rank);
}

export function sameMembers(left: readonly Member[], right: readonly Member[]): boolean {
  if (left === right) return true;
  return left.length === right.length && membersWithout(left, right).length === 0;
}
