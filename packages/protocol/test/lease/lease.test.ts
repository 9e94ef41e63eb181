import { initialLease, stepLease } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { Candidate, LeaseStore, run, timings } from './lease-world.js';

function pair() {
  const store = new LeaseStore();
  const a = new Candidate(store, 'a');
  const b = new Candidate(store, 'b');
  a.tick();
  b.tick();
  return { store, a, b };
}

describe('a candidate', () => {
  it('claims at once where there has never been a record', () => {
    const { store, a, b } = pair();
    expect(a.told).toEqual(['held 1']);
    expect(b.leads).toBe(false);
    expect(store.record).toMatchObject({ holder: 'a', fence: { term: 1 } });
  });

  it('waits while the holder renews, however long', () => {
    const { a, b } = pair();
    run([a, b], 120_000);
    expect(a.told).toEqual(['held 1']);
    expect(b.told).toEqual([]);
    expect(b.state.lastHolder).toBe('a');
  });

  it('claims a record that has not changed for leaseMs, under the next term', () => {
    const { a, b } = pair();
    run([a, b], 60_000);
    run([b], timings.leaseMs - timings.retryMs);
    expect(b.leads).toBe(false);
    run([b], timings.renewMs + 2 * timings.retryMs);
    expect(b.told).toEqual(['held 2']);
  });

  it('counts from the last change it has seen, and backwards is a change too', () => {
    const { store, a, b } = pair();
    const first = store.stored;
    run([a, b], 20_000);
    run([b], timings.leaseMs - 2 * timings.retryMs);
    store.goBack(first);
    run([b], timings.leaseMs - timings.retryMs);
    expect(b.leads).toBe(false);
    run([b], 2 * timings.retryMs);
    expect(b.told).toEqual(['held 2']);
  });

  it('takes a record that is gone for one that has changed', () => {
    const { store, a, b } = pair();
    run([a, b], 20_000);
    store.goBack(null);
    run([b], timings.leaseMs - timings.retryMs);
    expect(b.leads).toBe(false);
    run([b], 3 * timings.retryMs);
    expect(b.told).toEqual(['held 2']);
  });

  it('does not count time in which it could not read as proof', () => {
    const { a, b } = pair();
    run([a, b], 20_000);
    b.fate = 'failed';
    run([a, b], 60_000);
    b.fate = 'done';
    run([a, b], 60_000);
    expect(b.told).toEqual([]);
    expect(a.told).toEqual(['held 1']);
  });

  it('loses to the one whose write came first, and waits anew', () => {
    const { store, a, b } = pair();
    const c = new Candidate(store, 'c');
    run([a, b, c], 20_000);
    run([b, c], 30_000);
    expect([b.told, c.told]).toEqual([['held 2'], []]);
    run([b, c], 60_000);
    expect(c.told).toEqual([]);
  });

  it('claims under a term above any that it has been told of', () => {
    const { a } = pair();
    a.send({ kind: 'outranked', by: { term: 41, nonce: 'f'.repeat(16) } });
    expect(a.told).toEqual(['held 1', 'lost 1: outranked by term 41', 'held 42']);
  });

  it('does not claim what it can not read, and says so once', () => {
    const store = new LeaseStore();
    store.write(new TextEncoder().encode('no record'), 0);
    const a = new Candidate(store, 'a');
    run([a], 60_000);
    expect(a.told).toEqual(['unreadable: ISOBAR_PROTOCOL_MALFORMED']);
    expect(a.leads).toBe(false);
  });
});

describe('a claim in doubt', () => {
  it('that took place is settled by another write of the same process', () => {
    const store = new LeaseStore();
    const a = new Candidate(store, 'a');
    a.fate = 'lost';
    a.tick();
    expect(store.record).toMatchObject({ holder: 'a', fence: { term: 1 } });
    expect(a.leads).toBe(false);
    a.fate = 'done';
    run([a], 2 * timings.retryMs);
    // Never under the term of a write whose time is not known.
    expect(a.told).toEqual(['held 2']);
  });

  it('that did not take place, and lands late, leads nobody astray', () => {
    const store = new LeaseStore();
    const a = new Candidate(store, 'a');
    const b = new Candidate(store, 'b');
    a.fate = 'later';
    a.tick();
    b.tick();
    expect(b.told).toEqual(['held 1']);
    store.land();
    a.fate = 'done';
    run([a, b], 60_000);
    expect([a.told, b.told]).toEqual([[], ['held 1']]);
  });
});

describe('a holder', () => {
  it('leads on through renewals in doubt that took place', () => {
    const { a, b } = pair();
    for (let round = 0; round < 5; round += 1) {
      run([a, b], timings.renewMs - timings.retryMs);
      a.fate = 'lost';
      run([a, b], timings.retryMs + 500);
      a.fate = 'done';
      run([a, b], 2 * timings.retryMs);
    }
    expect(a.told).toEqual(['held 1']);
    expect(b.told).toEqual([]);
  });

  it('steps down renewDeadlineMs after the start of its last successful write', () => {
    const { a } = pair();
    a.fate = 'failed';
    a.sleep(timings.renewDeadlineMs - 1);
    a.tick();
    expect(a.leads).toBe(true);
    a.sleep(1);
    a.tick();
    expect(a.told).toEqual(['held 1', 'lost 1: not renewed within 10000 ms']);
  });

  it('counts from the start of a write, not from its answer', () => {
    const options = { holder: 'a', nonce: '0'.repeat(16), timings };
    const asked = stepLease(initialLease(options), { kind: 'tick' }, 0);
    const read = { kind: 'leader-read', token: 1, stored: null } as const;
    const claiming = stepLease(asked.state, read, 0);
    const result = { kind: 'set', revision: 1 } as const;
    const written = { kind: 'leader-written', token: 2, result } as const;
    const held = stepLease(claiming.state, written, 3_000);
    expect(held.effects).toMatchObject([{ kind: 'lease-held' }]);
    const later = stepLease(held.state, { kind: 'tick' }, timings.renewDeadlineMs);
    expect(later.effects[0]).toMatchObject({ kind: 'lease-lost' });
    const tooLate = stepLease(claiming.state, written, timings.renewDeadlineMs);
    expect(tooLate.effects.map(({ kind }) => kind)).toEqual(['read-leader']);
  });

  it('that wakes from a pause does nothing before it has stepped down', () => {
    const { store, a, b } = pair();
    run([a, b], 20_000);
    a.sleep(60_000);
    run([b], 60_000);
    expect(b.told).toEqual(['held 2']);
    const before = store.stored;
    a.send({ kind: 'outranked', by: { term: 2, nonce: 'f'.repeat(16) } });
    expect(a.told).toEqual(['held 1', 'lost 1: not renewed within 10000 ms']);
    expect(store.stored).toBe(before);
    run([a, b], 60_000);
    expect(a.told).toHaveLength(2);
  });

  it('whose pause nobody noticed leads again at once, under a new term', () => {
    const { a } = pair();
    a.sleep(60_000);
    a.tick();
    expect(a.told).toEqual(['held 1', 'lost 1: not renewed within 10000 ms', 'held 2']);
  });

  it('steps down where another has written the record', () => {
    const { store, a } = pair();
    const { bytes, revision } = store.stored ?? { bytes: new Uint8Array(0), revision: 0 };
    const text = Buffer.from(bytes).toString('latin1').replace('holder\xa1a', 'holder\xa1x');
    const other = Buffer.from(text, 'latin1');
    other[other.indexOf('nonce') + 6] = 0x66;
    expect(store.write(other, revision)).not.toBeNull();
    run([a], timings.renewMs + 100);
    expect(a.told).toEqual(['held 1', 'lost 1: another has written the leader record']);
  });

  it('writes its record again where the store has gone back to an earlier renewal', () => {
    const { store, a, b } = pair();
    run([a, b], 2_000);
    const early = store.stored;
    run([a, b], 10_000);
    store.goBack(early);
    run([a, b], 60_000);
    expect(a.told).toEqual(['held 1']);
    expect(b.told).toEqual([]);
  });

  it('never writes the same bytes twice', () => {
    const { store, a } = pair();
    const seen = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      run([a], timings.renewMs);
      seen.add(Buffer.from(store.stored?.bytes ?? []).toString('hex'));
    }
    expect(seen.size).toBe(20);
  });
});

describe('a lease that is given up', () => {
  it('is claimed by another without waiting', () => {
    const { store, a, b } = pair();
    run([a, b], 20_000);
    a.send({ kind: 'release' });
    expect(a.told.slice(1)).toEqual(['lost 1: it is being stopped', 'released']);
    expect(store.record?.holder).toBeNull();
    run([b], timings.retryMs);
    expect(b.told).toEqual(['held 2']);
  });

  it('for others to try is left alone for leaseMs, and claimed again if nobody has', () => {
    const { a } = pair();
    a.send({ kind: 'yield' });
    run([a], timings.leaseMs - timings.retryMs);
    expect(a.told).toEqual(['held 1', 'lost 1: it can not lead as things are']);
    run([a], 2 * timings.retryMs);
    expect(a.told.at(-1)).toBe('held 2');
  });

  it('by a process that does not hold it is no write', () => {
    const { store, b } = pair();
    const before = store.stored;
    b.send({ kind: 'release' });
    expect(b.told).toEqual(['released']);
    expect(store.stored).toBe(before);
  });
});

describe('clocks', () => {
  it('may differ by less than leaseMs to renewDeadlineMs before two hold the lease', () => {
    for (const [rateOfHolder, rateOfOther] of [
      [0.85, 1.2],
      [1.2, 0.85],
    ] as const) {
      const { a, b } = pair();
      a.rate = rateOfHolder;
      b.rate = rateOfOther;
      run([a, b], 30_000);
      a.fate = 'failed';
      run([a, b], 60_000, () => {
        expect(a.leads && b.leads).toBe(false);
        return b.leads;
      });
      expect(b.leads).toBe(true);
    }
  });
});
