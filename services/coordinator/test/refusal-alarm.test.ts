import { RefusalAlarm } from '@isobar/coordinator';
import { describe, expect, it } from 'vitest';

const periodMs = 60_000;

describe('the alarm of refused messages', () => {
  it('is raised once for all that is refused, goes on with it, and is cleared', () => {
    const events: unknown[] = [];
    const alarm = new RefusalAlarm({
      periodMs,
      tell: (kind, fields) => events.push({ kind, ...fields }),
    });
    const hear = (count: number, nowMs: number) => {
      alarm.hear('rank 2', [{ kind: 'cut', reason: 'malformed', count }], nowMs);
      alarm.hear('coordinator', [{ kind: 'load', reason: 'fenced', count: 1 }], nowMs);
      alarm.tick(nowMs);
    };
    hear(5, 0);
    hear(9, 1_000);
    const told = { source: 'rank 2', kind: 'cut', reason: 'malformed' };
    const raised = { kind: 'alarm', alarm: 'messages-refused', more: 0 };
    expect(events).toEqual([{ ...raised, refused: [{ ...told, count: 5, since: 5 }] }]);
    hear(9, periodMs);
    expect(events[1]).toEqual({ ...raised, refused: [{ ...told, count: 9, since: 4 }] });
    hear(9, 2 * periodMs);
    hear(9, 3 * periodMs);
    expect(events.slice(2)).toEqual([{ kind: 'alarm-cleared', alarm: 'messages-refused' }]);
  });
});
