import { encodeMapRecord, IsobarError, type KnownOutcome, type MapRecord } from '@isobar/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerLink } from '../src/peer-link.js';
import { outcomeKinds, PeerOutcomes } from '../src/peer-outcomes.js';
import { fakeLink } from './fake-link.js';

const fence = { term: 1, nonce: 'aaaaaaaaaaaaaaaa' };
const asked = [Uint8Array.of(outcomeKinds.question)];

function voided(version: number): KnownOutcome {
  const record = encodeMapRecord({ schema: 1, outcome: 'void', version, fence, reason: 'test' });
  return { version, outcome: 'void', record };
}

describe('outcomes between peers', () => {
  const ignorant = fakeLink(1, { committedVersion: 1 });
  const knowing = fakeLink(2, { committedVersion: 2 });
  let awaited: number | null;
  let leaderHeard: boolean;
  let known: KnownOutcome[];
  let taken: { from: number; record: MapRecord }[];
  let refused: { rank: number; code: string }[];
  let outcomes: PeerOutcomes;

  beforeEach(() => {
    awaited = 2;
    leaderHeard = true;
    known = [];
    taken = [];
    refused = [];
    for (const { sent } of [ignorant, knowing]) sent.length = 0;
    outcomes = new PeerOutcomes({
      links: () => [ignorant.link, knowing.link],
      outcomes: () => known,
      awaited: () => awaited,
      isLeaderHeard: () => leaderHeard,
      take: (from, record) => {
        if (record.version === 13) throw new IsobarError('ISOBAR_ENGINE_NOT_STAGED', 'never');
        taken.push({ from: from.rank, record });
      },
      onRefused: (error, { rank }: PeerLink) => refused.push({ rank, code: error.code }),
    });
  });

  it('are asked of those that know the version voted for, while a leader is heard', () => {
    outcomes.tick();
    expect([ignorant.sent, knowing.sent]).toEqual([[], asked]);
  });

  it('are asked of everybody where no leader is heard, and by nobody who waits for none', () => {
    awaited = null;
    leaderHeard = false;
    outcomes.tick();
    expect([ignorant.sent, knowing.sent]).toEqual([[], []]);
    awaited = 3;
    outcomes.tick();
    expect([ignorant.sent, knowing.sent]).toEqual([asked, asked]);
  });

  it('are told as they are known, and taken in the order of their versions', () => {
    known = [voided(5), voided(4)];
    outcomes.receive(ignorant.link, asked[0] ?? new Uint8Array(0));
    const [told = new Uint8Array(0)] = ignorant.sent;
    outcomes.receive(knowing.link, told);
    expect(taken).toMatchObject([
      { from: 2, record: { version: 4, outcome: 'void' } },
      { from: 2, record: { version: 5, outcome: 'void' } },
    ]);
  });

  it('that this engine refuses are told of, and the next is taken all the same', () => {
    known = [voided(13), voided(14)];
    outcomes.receive(ignorant.link, asked[0] ?? new Uint8Array(0));
    outcomes.receive(knowing.link, ignorant.sent[0] ?? new Uint8Array(0));
    expect(refused).toEqual([{ rank: 2, code: 'ISOBAR_ENGINE_NOT_STAGED' }]);
    expect(taken).toMatchObject([{ record: { version: 14 } }]);
  });

  it('whose record is of another version are malformed', () => {
    known = [{ ...voided(5), version: 6 }];
    outcomes.receive(ignorant.link, asked[0] ?? new Uint8Array(0));
    const told = ignorant.sent[0] ?? new Uint8Array(0);
    const malformed = expect.objectContaining({ code: 'ISOBAR_PROTOCOL_MALFORMED' });
    expect(() => outcomes.receive(knowing.link, told)).toThrow(malformed);
    expect(() => outcomes.receive(knowing.link, told.subarray(0, 9))).toThrow(malformed);
    expect(taken).toEqual([]);
  });
});
