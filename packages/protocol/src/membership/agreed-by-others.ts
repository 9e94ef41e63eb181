import { includesMember, type Member, membersWithout } from '../member.js';

/**
 * The living members that all other living ones name, where these are more than half of all
 * members. Several may be named together: what they say of one another then counts for nothing.
 * Leaders that have heard different words may come to different sets. Of any two, the survivors
 * are more than half of the members each, so some member is a survivor of both, and its vote, which
 * both need for whatever they commit, goes to one.
 * @param members all members, dead ones included: they count against a majority
 * @param named whom a member names; nobody where its word is not known
 */
export function agreedByOthers(
  members: readonly Member[],
  living: readonly Member[],
  named: (member: Member) => readonly Member[],
): Member[] {
  const names = living.map((member) => ({ member, named: named(member) }));
  if (names.every((word) => word.named.length === 0)) return [];
  const isNamedByMost = (candidate: Member) =>
    2 * names.filter((word) => includesMember(word.named, candidate)).length > members.length;
  let agreed = living.filter(isNamedByMost);
  for (;;) {
    const survivors = names.filter(({ member }) => !includesMember(agreed, member));
    if (agreed.length === 0 || 2 * survivors.length <= members.length) return [];
    const doubted = agreed.filter(
      (candidate) => !survivors.every((word) => includesMember(word.named, candidate)),
    );
    if (doubted.length === 0) return agreed;
    agreed = membersWithout(agreed, doubted);
  }
}
