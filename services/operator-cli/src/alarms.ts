import type { AuditEvent } from '@isobar/protocol';

/** An alarm that nothing seen since has ended. */
export interface OpenAlarm {
  readonly alarm: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly event: AuditEvent;
}

/** Alarms that were raised while nobody led; whoever leads has got over them. */
const beforeLeading: ReadonlySet<string> = new Set([
  'answers-missing',
  'cannot-lead',
  'death-unproven',
]);

/** A version that is committed has had the votes of all whom these missed. */
const missingRanks: ReadonlySet<string> = new Set(['degraded', 'members-silent']);

/**
 * Alarms are events. The end of a few is told, of most it is taken from what came after: a slow phase
 * ends with its version's swap, one of a takeover when somebody leads, one of missing ranks with the
 * next swap that all follow, one of a store that went back or of deaths when an operator has set the mode
 * or vouched for them; any other is open for as long as its event is looked at.
 * @param events in their order
 */
export function openAlarms(events: readonly AuditEvent[]): OpenAlarm[] {
  const newest = new Map<string, OpenAlarm>();
  for (const event of events) {
    if (event.kind === 'alarm') {
      const alarm = typeof event.alarm === 'string' ? event.alarm : 'alarm';
      newest.delete(alarm);
      newest.set(alarm, { alarm, atMs: event.at, event });
    }
    for (const [name, open] of newest) if (ends(event, open)) newest.delete(name);
  }
  return [...newest.values()];
}

function ends(event: AuditEvent, { alarm, event: raised }: OpenAlarm): boolean {
  if (event.kind === 'alarm-cleared') return event.alarm === alarm;
  if (event.kind === 'leading') return beforeLeading.has(alarm);
  if (event.kind === 'control') return endsByCommand(event, alarm, raised);
  if (event.kind !== 'swap-finished') return false;
  if (alarm === 'slow-phase') return event.version === raised.version;
  return missingRanks.has(alarm) && event.outcome === 'committed';
}

function endsByCommand(control: AuditEvent, alarm: string, raised: AuditEvent): boolean {
  if (alarm === 'store-behind') return control.mode !== 'observe';
  if (alarm !== 'death-unproven') return false;
  const declared = new Set(incarnationsOf(control.dead));
  const unproven = incarnationsOf(raised.members);
  return unproven.length > 0 && unproven.every((incarnation) => declared.has(incarnation));
}

/** Of the members that an event lists; one without is a rank whose engine is still unknown. */
function incarnationsOf(members: unknown): unknown[] {
  if (!Array.isArray(members)) return [];
  return members.map((member: unknown) =>
    typeof member === 'object' && member !== null && 'incarnation' in member
      ? member.incarnation
      : null,
  );
}
