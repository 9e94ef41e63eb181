import { ExpertMapping } from '@isobar/eplb';
import { type MapRecord, wholeMapping } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { explainVersion, isOfVersion, planOfReason } from '../src/explain-version.js';

const base = ExpertMapping.contiguous({
  numLayers: 1,
  numLogicalExperts: 4,
  numRanks: 2,
  numPhysicalExperts: 4,
});
const mapping = base.apply({ layers: Int32Array.of(0), rows: Int32Array.of(2, 1, 0, 3) });
const fence = { term: 3, nonce: '0'.repeat(16) };
const committed: MapRecord = {
  schema: 1,
  outcome: 'committed',
  version: 7,
  fence,
  reason: 'plan 01234567: balancedness 0.700 to 0.900 predicted, 2 moves; wave 1 of 1',
  change: 'rebalance',
  base: { version: 6, digest: base.digest() },
  digest: mapping.digest(),
  members: [{ rank: 0, incarnation: '1'.repeat(16) }],
  mapping: wholeMapping(mapping),
  voided: [],
};
const askedBy = {
  id: 'one',
  command: 'rebalance',
  requester: { verified: true, account: 'operators', user: 'alice', host: null },
};
const events = [
  { at: 1, kind: 'plan', id: '01234567', bytes: 20 },
  { at: 2, kind: 'decided', version: 7, askedBy },
  {
    at: 3,
    kind: 'swap-finished',
    version: 7,
    preparingMs: 5,
    totalMs: 9,
    votes: { yes: 2, needed: 2 },
  },
  { at: 4, kind: 'rebalance-measured', plan: '01234567', measured: { before: 0.7, after: 0.88 } },
];

describe('the story of a version', () => {
  it('is told from its record, the one before, and what events are kept', () => {
    const answer = explainVersion({ record: committed, base, bytesPerExpert: 10, events });
    expect(answer).toMatchObject({
      version: 7,
      term: 3,
      moves: 2,
      bytes: 20,
      askedBy,
      plan: { id: '01234567' },
      measured: { balancedness: { before: 0.7, after: 0.88 }, stepMillis: null },
      durations: { preparingMs: 5, totalMs: 9 },
      votes: { yes: 2, needed: 2 },
    });
  });

  it('leaves out what no event and no record tells', () => {
    const alone = explainVersion({ record: committed, base: null, bytesPerExpert: 10, events: [] });
    const nothing = { moves: null, askedBy: null, plan: null, measured: null, durations: null };
    expect(alone).toMatchObject({ ...nothing, votes: null, digest: mapping.digest() });
    const record: MapRecord = {
      schema: 1,
      outcome: 'void',
      version: 8,
      fence,
      reason: 'cancelled',
    };
    const voided = explainVersion({ record, base, bytesPerExpert: 10, events: [] });
    expect(voided).toMatchObject({ outcome: 'void', change: null, digest: null, members: [] });
  });

  it('takes no event of another version or plan for its own', () => {
    const plan = planOfReason(committed.reason);
    expect(plan).toBe('01234567');
    expect(events.every((event) => isOfVersion(event, 7, plan))).toBe(true);
    expect(isOfVersion({ at: 1, kind: 'decided', version: 6 }, 7, plan)).toBe(false);
    expect(isOfVersion({ at: 1, kind: 'plan', id: '76543210' }, 7, plan)).toBe(false);
    expect(planOfReason('rolled back to version 3')).toBeNull();
  });
});
