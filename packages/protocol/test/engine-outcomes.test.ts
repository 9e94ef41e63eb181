import {
  admitProposal,
  adoptBase,
  applyOutcome,
  applyPeerOutcome,
  type EngineSwapState,
  initialEngineSwap,
  type OutcomeTaken,
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
  mappingOf,
  otherPeer,
  others,
  type Proposed,
  peer,
  proposed,
  rank,
  startMapping,
  type Told,
  voided,
} from './swap-records.js';

const fence = fenceOf(1);
const start = initialEngineSwap(rank, incarnation, startMapping.digest(), 'serving');
const joining = initialEngineSwap(rank, incarnation, startMapping.digest(), 'joining');
const coded = (code: string) => expect.objectContaining({ code });
const contradicted = coded('ISOBAR_PROTOCOL_OUTCOMES_CONTRADICT');

function vote(state: EngineSwapState, { proposal, bytes }: Proposed): EngineSwapState {
  return recordVote(admitProposal(state, fence, proposal).state, proposal, bytes);
}

function take(state: EngineSwapState, { record, bytes }: Told): OutcomeTaken {
  return applyOutcome(state, fence, record, bytes);
}

function adopt(state: EngineSwapState, { record, bytes }: Told): OutcomeTaken {
  return adoptBase(state, fence, record, bytes);
}

function activate(state: EngineSwapState, version: number): EngineSwapState {
  return recordActivated(recordSwitch(state, version), version);
}

/** A member that routes by version 1. */
const member = activate(take(vote(start, proposed(1, 0)), committed(1, 0)).state, 1);

describe('a vote', () => {
  it('is released by its own outcome alone (S6)', () => {
    const open = vote(start, proposed(3, 0));
    expect(raiseFence(open, fenceOf(9)).vote?.version).toBe(3);
    expect(take(open, voided(2)).state.vote?.version).toBe(3);
    expect(take(open, voided(4)).state.vote?.version).toBe(3);
    const released = take(open, voided(3));
    expect(released).toMatchObject({ action: 'discard', discarded: 3, state: { vote: null } });
    expect(take(released.state, voided(3))).toMatchObject({ action: 'none', discarded: null });
  });

  it('is followed where its version is committed, on the base that it was made on (S2)', () => {
    const open = vote(member, proposed(2, 1));
    const { state, action } = take(open, committed(2, 1));
    expect(action).toBe('switch');
    expect(state).toMatchObject({ switchingTo: 2, mappingVersion: 1, vote: null });
    expect(state.outcomes.map(({ version }) => version)).toEqual([2]);
    const base = { version: 1, digest: 'e'.repeat(64) };
    expect(() => take(open, committed(2, 1, { base }))).toThrow(
      coded('ISOBAR_ENGINE_BASE_MISMATCH'),
    );
  });

  it('is needed to follow a version that lists the engine', () => {
    expect(() => take(member, committed(2, 1))).toThrow(coded('ISOBAR_ENGINE_NOT_STAGED'));
    const digest = mappingOf(5).digest();
    const other = vote(member, proposed(2, 1, { digest }));
    expect(() => take(other, committed(2, 1))).toThrow(coded('ISOBAR_ENGINE_NOT_STAGED'));
  });

  it('is released by a peer that has acted on the outcome, whatever its fence', () => {
    const open = raiseFence(vote(member, proposed(2, 1)), fenceOf(9));
    const { record, bytes } = committed(2, 1);
    expect(applyPeerOutcome(open, peer, record, bytes)).toMatchObject({
      action: 'switch',
      state: { fence: fenceOf(9), switchingTo: 2 },
    });
    expect(() => take(open, committed(2, 1))).toThrow(coded('ISOBAR_ENGINE_FENCED'));
  });

  it('is released by the word of members alone, of its own version or the one before (S1)', () => {
    const { rank: peerRank } = peer;
    const returned = { rank: peerRank, incarnation: 'c'.repeat(16) };
    const members = [otherPeer, { rank, incarnation }, returned];
    const joins = vote(member, proposed(2, 1, { members }));
    const { record, bytes } = voided(2);
    for (const from of [peer, otherPeer, returned]) {
      expect(applyPeerOutcome(joins, from, record, bytes).action).toBe('discard');
    }
    const refused = coded('ISOBAR_ENGINE_PEER_NOT_A_MEMBER');
    const stranger = { rank: peerRank, incarnation: 'd'.repeat(16) };
    const cut = recordCut(joins, fence, peer);
    expect(() => applyPeerOutcome(joins, stranger, record, bytes)).toThrow(refused);
    expect(() => applyPeerOutcome(cut, peer, record, bytes)).toThrow(refused);
    const settled = take(joins, voided(2)).state;
    expect(applyPeerOutcome(settled, stranger, record, bytes).action).toBe('none');
    expect(() => applyPeerOutcome(start, peer, record, bytes)).toThrow(refused);
  });
});

describe('an outcome', () => {
  it('ends staging of its version', () => {
    const staging = admitProposal(start, fence, proposed(3, 0).proposal).state;
    expect(take(staging, voided(3))).toMatchObject({ discarded: 3, state: { staging: null } });
  });

  it('is kept for peers: the newest committed one, and those after it', () => {
    const state = take(take(member, voided(3)).state, voided(2)).state;
    expect(state.outcomes.map(({ version }) => version)).toEqual([1, 2, 3]);
    const next = take(vote(state, proposed(4, 1)), committed(4, 1)).state;
    expect(next.outcomes.map(({ version }) => version)).toEqual([4]);
    expect(take(next, voided(3))).toEqual({ state: next, action: 'none', discarded: null });
  });

  it('that contradicts one taken before is refused (S1)', () => {
    const state = take(member, voided(2)).state;
    const digest = mappingOf(5).digest();
    for (const outcome of [
      voided(1),
      committed(1, 0, { digest, mapping: committed(5, 0).record.mapping }),
      committed(2, 1),
      committed(3, 2),
      committed(3, 0, { members: others }),
      committed(3, 0, { voided: [1, 2] }),
    ]) {
      expect(() => take(state, outcome)).toThrow(contradicted);
    }
    const adopted = adopt(joining, committed(3, 2, { members: others })).state;
    expect(() => adopt(adopted, committed(5, 2, { members: others }))).toThrow(contradicted);
  });
});

describe('a member that a version does not list', () => {
  it('switches to it first where it has voted for it, and then stops', () => {
    const leave = { members: others };
    const { state, action } = take(vote(member, proposed(2, 1, leave)), committed(2, 1, leave));
    expect(action).toBe('switch');
    expect(state.standing).toBe('serving');
    const switched = recordSwitch(state, 2);
    expect(recordActivated(switched, 1).standing).toBe('serving');
    expect(recordActivated(switched, 2).standing).toBe('stopped');
  });

  it('stops at once where it has not, and keeps its word', () => {
    const open = vote(member, proposed(2, 1));
    const { state, action } = take(open, committed(3, 1, { members: others }));
    expect(action).toBe('stop');
    expect(state).toMatchObject({ standing: 'stopped', mappingVersion: 1, vote: { version: 2 } });
    expect(state.outcomes.map(({ version }) => version)).toEqual([3]);
    const { record, bytes } = committed(3, 1, { members: others });
    expect(applyPeerOutcome(member, peer, record, bytes).action).toBe('stop');
  });

  it('goes on refusing whom it has cut, by whose version it routes still', () => {
    const cut = recordCut(member, fence, peer);
    const { state } = take(cut, committed(2, 1, { members: [otherPeer] }));
    expect(state.standing).toBe('stopped');
    expect(recordRetired(state, fence, 1).cuts).toEqual([peer]);
  });

  it('returns no more under its incarnation', () => {
    const { state } = take(member, committed(2, 1, { members: others }));
    const { proposal } = proposed(3, 2);
    expect(() => admitProposal(state, fence, proposal)).toThrow(coded('ISOBAR_ENGINE_STOPPED'));
    expect(take(state, committed(3, 2)).action).toBe('none');
    expect(() => adopt(state, committed(3, 2, { members: others }))).toThrow(
      coded('ISOBAR_ENGINE_ADOPT_REFUSED'),
    );
  });

  it('stops also while it is leaving with an earlier version', () => {
    const leave = { members: others };
    const leaving = take(vote(member, proposed(2, 1, leave)), committed(2, 1, leave)).state;
    expect(take(leaving, committed(3, 2, leave)).action).toBe('stop');
    expect(() => adopt(leaving, committed(3, 2, leave))).toThrow(
      coded('ISOBAR_ENGINE_ADOPT_REFUSED'),
    );
  });
});

describe('a joining engine', () => {
  const without = { members: others };

  it('adopts the newest version as its base and routes nothing by it', () => {
    const { state, action } = adopt(joining, committed(5, 4, without));
    expect(action).toBe('adopt');
    expect(state).toMatchObject({
      standing: 'joining',
      committed: { version: 5 },
      mappingVersion: 0,
      switchingTo: null,
      activatedVersion: 5,
      retiredUpTo: 5,
    });
    expect(adopt(state, committed(5, 4, without)).action).toBe('none');
    expect(adopt(state, committed(6, 5, without)).state.committed.version).toBe(6);
  });

  it('is not moved by outcomes that do not concern it', () => {
    expect(take(joining, committed(5, 4, without))).toEqual({
      state: raiseFence(joining, fence),
      action: 'none',
      discarded: null,
    });
  });

  it('votes on the version that lists it, and routes once that is committed', () => {
    const { state } = adopt(joining, committed(5, 4, without));
    const listed = take(vote(state, proposed(6, 5)), committed(6, 5));
    expect(listed).toMatchObject({ action: 'switch', state: { standing: 'serving' } });
    expect(activate(listed.state, 6)).toMatchObject({ mappingVersion: 6, standing: 'serving' });
    // A member from now on: a version without it stops it.
    expect(take(activate(listed.state, 6), committed(7, 6, without)).action).toBe('stop');
  });

  it('routes by no version without it, though that has the number and digest of its vote', () => {
    const open = vote(adopt(joining, committed(5, 4, without)).state, proposed(6, 5));
    const other = committed(6, 5, without);
    expect(applyPeerOutcome(open, peer, other.record, other.bytes)).toMatchObject({
      action: 'discard',
      discarded: 6,
      state: { vote: null, standing: 'joining', switchingTo: null, committed: { version: 5 } },
    });
    expect(adopt(open, other)).toMatchObject({
      action: 'adopt',
      discarded: 6,
      state: { vote: null, standing: 'joining', committed: { version: 6 } },
    });
  });

  it('is released from a vote by a later record that names its version void', () => {
    const open = vote(adopt(joining, committed(5, 4, without)).state, proposed(6, 5));
    const later = committed(7, 5, { ...without, voided: [6] });
    expect(adopt(open, later)).toMatchObject({
      action: 'adopt',
      discarded: 6,
      state: { vote: null, standing: 'joining', committed: { version: 7 } },
    });
    expect(take(open, later)).toMatchObject({ action: 'discard', state: { vote: null } });
  });

  it('stops where it can not know whether it was a member (S6: nobody guesses)', () => {
    const open = vote(adopt(joining, committed(5, 4, without)).state, proposed(6, 5));
    for (const later of [committed(7, 6, without), committed(9, 8, without)]) {
      expect(adopt(open, later)).toMatchObject({ action: 'stop', state: { standing: 'stopped' } });
    }
    expect(adopt(open, committed(9, 8, without)).state.vote?.version).toBe(6);
  });

  it('gives up staging that a later record overtakes', () => {
    const base = adopt(joining, committed(5, 4, without)).state;
    const staging = admitProposal(base, fence, proposed(6, 5).proposal).state;
    expect(adopt(staging, committed(7, 5, without))).toMatchObject({
      action: 'adopt',
      discarded: 6,
      state: { staging: null, votedUpTo: 7 },
    });
  });

  it('adopts nothing that is void, lists it, or is older than its vote', () => {
    const refused = (field: string) =>
      expect.objectContaining({
        code: 'ISOBAR_ENGINE_ADOPT_REFUSED',
        fields: expect.objectContaining({ field }),
      });
    expect(() => adopt(joining, voided(5))).toThrow(refused('outcome'));
    expect(() => adopt(joining, committed(5, 4))).toThrow(refused('members'));
    expect(() => adopt(member, committed(5, 4, without))).toThrow(refused('standing'));
    const open = vote(adopt(joining, committed(5, 4, without)).state, proposed(9, 5));
    expect(() => adopt(open, committed(7, 5, without))).toThrow(refused('vote'));
  });
});

describe('an engine of a new group whose record exists', () => {
  it('adopts it, and serves its start mapping until a version lists it', () => {
    const { state, action } = adopt(start, committed(5, 4, { members: others }));
    expect(action).toBe('adopt');
    expect(state).toMatchObject({
      standing: 'serving',
      mappingVersion: 0,
      activatedVersion: 0,
      retiredUpTo: 0,
      switchingTo: null,
    });
    const listed = take(vote(state, proposed(6, 5)), committed(6, 5)).state;
    expect(activate(listed, 6)).toMatchObject({ mappingVersion: 6, standing: 'serving' });
  });

  it('is not stopped by versions that never listed it', () => {
    const { state } = adopt(start, committed(5, 4, { members: others }));
    expect(take(state, committed(6, 5, { members: others }))).toMatchObject({
      action: 'none',
      state: { standing: 'serving' },
    });
  });
});
