import type { AuditEvent } from '@isobar/protocol';
import { describe, expect, it } from 'vitest';
import { openAlarms } from '../src/alarms.js';

const event = (at: number, kind: string, fields: Record<string, unknown> = {}): AuditEvent => ({
  kind,
  at,
  ...fields,
});
const names = (...events: AuditEvent[]) => openAlarms(events).map(({ alarm }) => alarm);

describe('an alarm', () => {
  it("of a version is over with that version's swap, and with no other's", () => {
    const slow = event(1, 'alarm', { alarm: 'slow-phase', version: 8 });
    expect(names(slow, event(2, 'swap-finished', { version: 7 }))).toEqual(['slow-phase']);
    expect(names(slow, event(2, 'swap-finished', { version: 8 }))).toEqual([]);
  });

  it('of a takeover is over when somebody leads; a store that went back is not', () => {
    const cannot = event(1, 'alarm', { alarm: 'cannot-lead' });
    const behind = event(2, 'alarm', { alarm: 'store-behind' });
    expect(names(cannot, behind, event(3, 'leading'))).toEqual(['store-behind']);
    expect(names(event(0, 'leading'), cannot)).toEqual(['cannot-lead']);
  });

  it('that is raised again is open once, as it was last raised', () => {
    const first = event(1, 'alarm', { alarm: 'degraded' });
    const again = event(9, 'alarm', { alarm: 'degraded' });
    expect(openAlarms([first, again])).toMatchObject([{ alarm: 'degraded', atMs: 9 }]);
    expect(names(again, event(10, 'swap-finished', { outcome: 'void' }))).toEqual(['degraded']);
    expect(names(again, event(10, 'swap-finished', { outcome: 'committed' }))).toEqual([]);
  });

  it('whose end is told is over with that, and no other alarm is', () => {
    const refused = event(1, 'alarm', { alarm: 'messages-refused' });
    const behind = event(2, 'alarm', { alarm: 'store-behind' });
    const cleared = event(3, 'alarm-cleared', { alarm: 'messages-refused' });
    expect(names(refused, behind, cleared)).toEqual(['store-behind']);
  });

  it('of members that say nothing is over when they have voted', () => {
    const silent = event(1, 'alarm', { alarm: 'members-silent', members: [] });
    expect(names(silent, event(2, 'swap-finished', { outcome: 'void' }))).toEqual([
      'members-silent',
    ]);
    expect(names(silent, event(2, 'swap-finished', { outcome: 'committed' }))).toEqual([]);
  });

  it('of a store that went back is over when an operator sets the mode, not with a swap', () => {
    const behind = event(1, 'alarm', { alarm: 'store-behind', version: 39 });
    const finished = event(2, 'swap-finished', { version: 39, outcome: 'committed' });
    const observing = event(3, 'control', { mode: 'observe' });
    expect(names(behind, finished, observing)).toEqual(['store-behind']);
    expect(names(behind, event(4, 'control', { mode: 'automatic' }))).toEqual([]);
  });

  it('of unproven deaths is over when an operator has vouched for all of them', () => {
    const members = [
      { rank: 2, incarnation: 'a9' },
      { rank: 3, incarnation: 'b5' },
    ];
    const unproven = event(1, 'alarm', { alarm: 'death-unproven', members });
    const vouched = (count: number) => event(2, 'control', { dead: members.slice(0, count) });
    expect(names(unproven, vouched(1))).toEqual(['death-unproven']);
    expect(names(unproven, vouched(2))).toEqual([]);
    expect(names(event(1, 'alarm', { alarm: 'death-unproven' }), vouched(2))).toHaveLength(1);
  });
});
