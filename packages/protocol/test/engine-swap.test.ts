import {
  abandonStaging,
  admitProposal,
  applyOutcome,
  cutsMax,
  type EngineSwapState,
  initialEngineSwap,
  isCut,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import {
  committed,
  fenceOf,
  incarnation,
  laterIncarnation,
  others,
  type Proposed,
  peer,
  proposed,
  rank,
  self,
  startMapping,
  type Told,
  voided,
} from './swap-records.js';

const first = fenceOf(1, 'a');
const rival = fenceOf(1, 'b');
const second = fenceOf(2, 'b');
const start = initialEngineSwap(rank, incarnation, startMapping.digest(), 'serving');
const joining = initialEngineSwap(rank, incarnation, startMapping.digest(), 'joining');
const coded = (code: string) => expect.objectContaining({ code });

function vote(state: EngineSwapState, { proposal, bytes }: Proposed): EngineSwapState {
  return recordVote(admitProposal(state, first, proposal).state, proposal, bytes);
}

function take(state: EngineSwapState, { record, bytes }: Told, fence = first): EngineSwapState {
  return applyOutcome(state, fence, record, bytes).state;
}

/** A member that routes by version 1. */
const member = recordActivated(
  recordSwitch(take(vote(start, proposed(1, 0)), committed(1, 0)), 1),
  1,
);

describe('an engine, whatever its agent forgets', () => {
  it('refuses a lower term, and an equal one under another nonce (S3)', () => {
    const raised = raiseFence(start, first);
    expect(() => raiseFence(raised, rival)).toThrow(coded('ISOBAR_ENGINE_FENCED'));
    const later = raiseFence(raised, second);
    expect(later.fence).toEqual(second);
    for (const act of [
      () => admitProposal(later, first, proposed(1, 0).proposal),
      () => take(later, voided(1)),
      () => recordRetired(later, first, 0),
      () => recordCut(later, first, peer),
    ]) {
      expect(act).toThrow(coded('ISOBAR_ENGINE_FENCED'));
    }
  });

  it('votes once for a version, and for none below it (S3)', () => {
    const { proposal } = proposed(3, 0);
    const state = vote(start, proposed(3, 0));
    expect(admitProposal(state, second, proposal).action).toBe('voted');
    const other = proposed(3, 0, { digest: 'e'.repeat(64) }).proposal;
    for (const late of [other, proposed(2, 0).proposal]) {
      expect(() => admitProposal(state, second, late)).toThrow(
        coded('ISOBAR_ENGINE_VERSION_DECIDED'),
      );
    }
    expect(() => admitProposal(take(state, voided(3)), first, proposal)).toThrow(
      coded('ISOBAR_ENGINE_VERSION_DECIDED'),
    );
  });

  it('votes only on what fits what it holds and is', () => {
    const act = (state: EngineSwapState, { proposal }: Proposed) => {
      return () => admitProposal(state, first, proposal);
    };
    expect(act(start, proposed(2, 1))).toThrow(coded('ISOBAR_ENGINE_BASE_MISMATCH'));
    const digest = 'e'.repeat(64);
    expect(act(start, proposed(2, 0, { base: { version: 0, digest } }))).toThrow(
      coded('ISOBAR_ENGINE_BASE_MISMATCH'),
    );
    const members = [...others, { rank, incarnation: laterIncarnation }];
    expect(act(start, proposed(2, 0, { members }))).toThrow(coded('ISOBAR_ENGINE_NOT_A_MEMBER'));
    expect(act(joining, proposed(2, 0, { members }))).toThrow(coded('ISOBAR_ENGINE_NOT_A_MEMBER'));
    const open = vote(start, proposed(3, 0));
    expect(act(open, proposed(4, 0))).toThrow(coded('ISOBAR_ENGINE_SWAP_OPEN'));
    const switching = take(vote(start, proposed(1, 0)), committed(1, 0));
    expect(act(switching, proposed(2, 1))).toThrow(coded('ISOBAR_ENGINE_SWAP_OPEN'));
  });

  it('as a member votes for the version that it leaves with', () => {
    const { proposal } = proposed(2, 1, { members: others });
    expect(admitProposal(member, first, proposal).action).toBe('stage');
  });

  it('votes for nothing whose staging it has given up', () => {
    const { proposal, bytes } = proposed(3, 0);
    const admitted = admitProposal(start, first, proposal).state;
    expect(admitProposal(admitted, first, proposal).action).toBe('staging');
    for (const given of [abandonStaging(admitted, 3), take(admitted, voided(3))]) {
      expect(() => recordVote(given, proposal, bytes)).toThrow(
        coded('ISOBAR_ENGINE_STAGING_ABANDONED'),
      );
      expect(() => admitProposal(given, first, proposal)).toThrow(
        coded('ISOBAR_ENGINE_VERSION_DECIDED'),
      );
    }
  });

  it('gives up what it stages for a leader when the next one asks, and keeps a vote', () => {
    const admitted = admitProposal(start, first, proposed(3, 0).proposal).state;
    expect(raiseFence(admitted, first).staging?.version).toBe(3);
    expect(raiseFence(admitted, second)).toMatchObject({ staging: null, votedUpTo: 3 });
    expect(raiseFence(vote(start, proposed(3, 0)), second).vote?.version).toBe(3);
  });

  it('switches to nothing that no outcome told it to follow (S2)', () => {
    const open = vote(start, proposed(1, 0));
    expect(() => recordSwitch(open, 1)).toThrow(coded('ISOBAR_ENGINE_NOT_COMMITTED'));
    const following = take(open, committed(1, 0));
    expect(() => recordSwitch(following, 2)).toThrow(coded('ISOBAR_ENGINE_NOT_COMMITTED'));
    expect(recordSwitch(following, 1)).toMatchObject({ mappingVersion: 1, switchingTo: null });
  });

  it('frees nothing that it may still be serving (S4)', () => {
    expect(() => recordRetired(member, first, 2)).toThrow(coded('ISOBAR_ENGINE_NOT_ACTIVATED'));
    expect(recordRetired(member, first, 1).retiredUpTo).toBe(1);
    const later = { ...member, activatedVersion: 2 };
    expect(() => recordRetired(later, first, 1)).toThrow(coded('ISOBAR_ENGINE_RETIRE_OUTDATED'));
  });

  it('refuses a cut incarnation for good, never its own', () => {
    const cut = recordCut(recordCut(start, first, peer), second, peer);
    expect(cut.cuts).toEqual([peer]);
    expect(isCut(cut, peer)).toBe(true);
    expect(isCut(cut, { ...peer, incarnation: laterIncarnation })).toBe(false);
    expect(() => recordCut(start, first, self)).toThrow(coded('ISOBAR_ENGINE_CUT_SELF'));
    const before = { rank, incarnation: laterIncarnation };
    expect(isCut(recordCut(start, first, before), before)).toBe(true);
  });

  it('keeps a limited number of cuts', () => {
    const cuts = Array.from({ length: cutsMax }, (_, index) => ({
      rank: 0,
      incarnation: index.toString(16).padStart(16, '0'),
    }));
    const full = { ...start, cuts };
    expect(() => recordCut(full, first, peer)).toThrow(coded('ISOBAR_ENGINE_CUTS_FULL'));
    expect(recordCut(full, first, { rank: 0, incarnation: '0'.repeat(16) }).cuts).toEqual(cuts);
  });
});
