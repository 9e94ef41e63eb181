import { includesMember, type Member } from '@isobar/protocol';

/**
 * Which engine processes take part, as one engine sees it: the members of the version that it
 * routes by, and of the one that it has voted for or is about to switch to.
 */
export class MembershipView {
  readonly #own: Member;
  /** Version 0 has no record: those that an entirely new group began with, as they were met. */
  #routed: readonly Member[];
  #next: readonly Member[] = [];
  #hasRecord = false;
  /** Members of versions routed by before, and of none since. */
  #left: readonly Member[] = [];

  constructor(own: Member) {
    this.#own = own;
    this.#routed = [own];
  }

  /** A peer of the new group that serves version 0: the first of its rank. */
  meet(member: Member): void {
    if (this.#hasRecord || this.#routed.some(({ rank }) => rank === member.rank)) return;
    this.#routed = [...this.#routed, member];
  }

  /** The newest record that a joining engine knows: it is a member of none. */
  adopt(members: readonly Member[]): void {
    this.#hasRecord = true;
    this.#routed = members;
  }

  /** A version that is voted for, or about to be routed by. */
  expect(members: readonly Member[]): void {
    this.#next = members;
  }

  /** The version expected has come to nothing. */
  expectNone(): void {
    this.#next = [];
  }

  /** Routes by the version that was expected. */
  switched(): void {
    this.#hasRecord = true;
    const left = [...this.#left, ...this.#routed];
    this.#left = left.filter((member) => !includesMember(this.#next, member));
    this.#routed = this.#next;
    this.#next = [];
  }

  /** Those that have left, once: nothing that they still send can be served any more. */
  takeLeft(): readonly Member[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  /** Null before the first record. */
  get recorded(): readonly Member[] | null {
    return this.#hasRecord ? [...this.#routed, ...this.#next] : null;
  }

  /** The other members of the version routed by. */
  get peers(): Member[] {
    return this.#routed.filter(({ rank }) => rank !== this.#own.rank);
  }

  /** The member of a rank in the version routed by. */
  memberOf(rank: number): Member | undefined {
    return this.#routed.find((member) => member.rank === rank);
  }

  /** Takes part in steps with this rank. */
  takesPart(member: Member): boolean {
    return includesMember(this.#routed, member) || includesMember(this.#next, member);
  }
}
