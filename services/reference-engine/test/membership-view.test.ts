import type { Member } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import { MembershipView } from '../src/membership-view.js';

const member = (rank: number, digit = rank): Member => ({
  rank,
  incarnation: `${digit}`.repeat(16),
});

describe('who takes part', () => {
  let view: MembershipView;

  beforeEach(() => {
    view = new MembershipView(member(0));
    view.meet(member(1));
    view.meet(member(2));
  });

  it('is the new group before any record, each rank by the process that was first', () => {
    view.meet(member(2, 9));
    expect(view.peers).toEqual([member(1), member(2)]);
    expect(view.takesPart(member(2, 9))).toBe(false);
    expect(view.recorded).toBeNull();
  });

  it('is also who is expected, from the vote until the version comes to nothing', () => {
    view.expect([member(0), member(1), member(2, 9)]);
    expect(view.takesPart(member(2, 9))).toBe(true);
    expect(view.takesPart(member(2))).toBe(true);
    expect(view.memberOf(2)).toEqual(member(2));
    view.expectNone();
    expect(view.takesPart(member(2, 9))).toBe(false);
  });

  it('is the version switched to; whoever it lacks has left, once', () => {
    view.expect([member(0), member(1), member(2, 9)]);
    view.switched();
    expect(view.memberOf(2)).toEqual(member(2, 9));
    expect(view.takesPart(member(2))).toBe(false);
    expect(view.recorded).toEqual([member(0), member(1), member(2, 9)]);
    expect(view.takeLeft()).toEqual([member(2)]);
    expect(view.takeLeft()).toEqual([]);
  });

  it('forgets that somebody has left who is back before anybody asked', () => {
    view.expect([member(0), member(1)]);
    view.switched();
    view.expect([member(0), member(1), member(2)]);
    view.switched();
    expect(view.takeLeft()).toEqual([]);
  });

  it('is the record that a joining engine has adopted, for what it tells of its peers', () => {
    view.adopt([member(0, 8), member(1)]);
    expect(view.peers).toEqual([member(1)]);
    view.meet(member(3));
    expect(view.takesPart(member(3))).toBe(false);
  });
});
