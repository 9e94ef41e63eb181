import {
  admitProposal,
  applyOutcome,
  type EngineSwapState,
  encodeMapRecord,
  encodeProposal,
  type Fence,
  initialEngineSwap,
  type MapRecord,
  type Proposal,
  raiseFence,
  recordActivated,
  recordRetired,
  recordVote,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const incarnation = '0123456789abcdef';
const first: Fence = { term: 1, nonce: 'aaaaaaaaaaaaaaaa' };
const rival: Fence = { term: 1, nonce: 'bbbbbbbbbbbbbbbb' };
const second: Fence = { term: 2, nonce: 'bbbbbbbbbbbbbbbb' };
const startDigest = '0'.repeat(64);

function proposal(version: number, changes: Partial<Proposal> = {}): Proposal {
  return {
    schema: 1,
    version,
    base: { version: 0, digest: startDigest },
    digest: 'd'.repeat(64),
    members: [{ rank: 0, incarnation }],
    voided: [],
    change: 'rebalance',
    reason: 'test',
    layers: new Int32Array(0),
    rows: new Int32Array(0),
    transfers: new Int32Array(0),
    ...changes,
  };
}

function voted(version: number): EngineSwapState {
  const { state } = admitProposal(start, first, proposal(version));
  return recordVote(state, proposal(version), encodeProposal(proposal(version)));
}

function told(state: EngineSwapState, fence: Fence, record: MapRecord) {
  return applyOutcome(state, fence, record, encodeMapRecord(record));
}

function voidRecord(version: number): MapRecord {
  return { schema: 1, outcome: 'void', version, fence: first, reason: 'test' };
}

const coded = (code: string) => expect.objectContaining({ code });
const start = initialEngineSwap(0, incarnation, startDigest, 'serving');

describe('an engine, whatever its agent forgets', () => {
  it('refuses a lower term, and an equal one under another nonce (S3)', () => {
    const raised = raiseFence(start, first);
    expect(() => raiseFence(raised, rival)).toThrow(coded('ISOBAR_ENGINE_FENCED'));
    const later = raiseFence(raised, second);
    expect(later.fence).toEqual(second);
    for (const act of [
      () => admitProposal(later, first, proposal(1)),
      () => told(later, first, voidRecord(1)),
      () => recordRetired(later, first, 0),
    ]) {
      expect(act).toThrow(coded('ISOBAR_ENGINE_FENCED'));
    }
  });

  it('votes once for a version, and for none below it (S3)', () => {
    const state = voted(3);
    expect(admitProposal(state, second, proposal(3)).action).toBe('voted');
    const other = proposal(3, { digest: 'e'.repeat(64) });
    for (const late of [other, proposal(2)]) {
      expect(() => admitProposal(state, second, late)).toThrow(
        coded('ISOBAR_ENGINE_VERSION_DECIDED'),
      );
    }
    const decided = told(state, first, voidRecord(3)).state;
    expect(() => admitProposal(decided, first, proposal(3))).toThrow(
      coded('ISOBAR_ENGINE_VERSION_DECIDED'),
    );
  });

  it('keeps its vote until that version has an outcome (S6)', () => {
    const state = voted(3);
    expect(raiseFence(state, second).vote?.version).toBe(3);
    expect(told(state, first, voidRecord(2)).state.vote?.version).toBe(3);
    expect(() => admitProposal(state, second, proposal(4))).toThrow(
      coded('ISOBAR_ENGINE_SWAP_OPEN'),
    );
    expect(told(state, second, voidRecord(3))).toMatchObject({
      action: 'discard',
      state: { vote: null },
    });
  });

  it('votes only on what fits what it holds and is', () => {
    const base = { version: 1, digest: startDigest };
    expect(() => admitProposal(start, first, proposal(2, { base }))).toThrow(
      coded('ISOBAR_ENGINE_BASE_MISMATCH'),
    );
    const members = [{ rank: 0, incarnation: 'f'.repeat(16) }];
    expect(() => admitProposal(start, first, proposal(2, { members }))).toThrow(
      coded('ISOBAR_ENGINE_NOT_A_MEMBER'),
    );
  });

  it('frees nothing that it may still be serving (S4)', () => {
    expect(() => recordRetired(start, first, 1)).toThrow(coded('ISOBAR_ENGINE_NOT_ACTIVATED'));
    expect(recordRetired(recordActivated(start, 1), first, 1).retiredUpTo).toBe(1);
  });
});
