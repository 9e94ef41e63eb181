import {
  IsobarError,
  kindOfSubject,
  messageKinds,
  permissionsOf,
  RefusalCounter,
  RefusalEpisodes,
  refusalReasonOf,
  subjectsOf,
} from '@isobar/protocol';
import { describe, expect, it } from 'vitest';

const periodMs = 60_000;

function episodes() {
  const made = new RefusalEpisodes({ periodMs, patientWith: new Set(['fenced']) });
  const observe = (count: number, nowMs: number, reason = 'malformed') =>
    made.observe('rank 1', [{ kind: 'load', reason, count }], nowMs);
  return { made, observe };
}

describe('what is told of refusals', () => {
  it('is their beginning, a sum in each period, and their end', () => {
    const { made, observe } = episodes();
    expect(observe(1, 0)).toMatchObject([{ phase: 'began', since: 1, count: 1 }]);
    for (let count = 2; count <= 100_000; count += 1) expect(observe(count, 1)).toEqual([]);
    expect(made.tick(periodMs - 1)).toEqual([]);
    expect(made.tick(periodMs)).toMatchObject([{ phase: 'goes-on', since: 99_999 }]);
    expect(made.open).toHaveLength(1);
    expect(made.tick(2 * periodMs)).toMatchObject([{ phase: 'ended', count: 100_000 }]);
    expect(made.open).toEqual([]);
    expect(observe(100_000, 2 * periodMs)).toEqual([]);
    expect(observe(100_001, 2 * periodMs)).toMatchObject([{ phase: 'began', since: 1 }]);
  });

  it('is nothing of what any change of leader brings, unless it lasts', () => {
    const { made, observe } = episodes();
    expect(observe(3, 0, 'fenced')).toEqual([]);
    expect(made.tick(periodMs)).toEqual([]);
    expect(observe(4, periodMs, 'fenced')).toEqual([]);
    observe(400, periodMs + 1, 'fenced');
    expect(made.tick(2 * periodMs)).toMatchObject([{ phase: 'began', since: 397 }]);
    expect(made.tick(3 * periodMs)).toMatchObject([{ phase: 'ended' }]);
  });

  it('begins anew with a process that does', () => {
    const { made, observe } = episodes();
    observe(10, 0);
    made.tick(periodMs);
    expect(observe(2, periodMs)).toMatchObject([{ phase: 'began', since: 2, count: 2 }]);
  });
});

describe('counts of refusals', () => {
  it('are by kind and reason', () => {
    const counter = new RefusalCounter();
    counter.note('load', 'malformed');
    counter.note('vote', 'malformed');
    expect(counter.note('load', 'malformed')).toEqual({
      kind: 'load',
      reason: 'malformed',
      count: 2,
    });
    expect(counter.total).toBe(3);
  });

  it('take any other failure to be read for a malformed message', () => {
    expect(refusalReasonOf(new IsobarError('ISOBAR_PROTOCOL_MALFORMED', ''))).toBe('malformed');
    expect(refusalReasonOf(new IsobarError('ISOBAR_PROTOCOL_RUNAWAY', ''))).toBe('runaway');
  });
});

describe('the kind of a subject', () => {
  it('is known of every one that a process of the deployment sends or hears', () => {
    const roles = [
      { kind: 'agent', rank: 3 },
      { kind: 'coordinator', index: 0 },
    ] as const;
    const subjects = roles.flatMap((role) => {
      const { publish, subscribe, answer } = permissionsOf('prod', role);
      return [...publish, ...subscribe, ...answer];
    });
    const own = subjects.filter((subject) => !subject.startsWith('$'));
    expect(own.length).toBeGreaterThan(20);
    for (const subject of own) {
      const kind = kindOfSubject('prod', subject);
      expect(messageKinds).toContain(kind);
      expect({ subject, kind }).not.toMatchObject({ kind: 'other' });
    }
  });

  it('is another of what is not of the deployment', () => {
    expect(kindOfSubject('prod', subjectsOf('test').load(1))).toBe('other');
    expect(kindOfSubject('prod', '$KV.isobar-prod.map.3')).toBe('record');
    expect(kindOfSubject('prod', 'isobar.v1.prod.agent.3')).toBe('other');
  });
});
