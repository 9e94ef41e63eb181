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
 * next swap that all follow, a store that went back when an operator sets the mode again; any other is
 * open for as long as its event is looked at.
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
  if (event.kind === 'control') return alarm === 'store-behind' && event.mode !== 'observe';
  if (event.kind !== 'swap-finished') return false;
  if (alarm === 'slow-phase') return event.version === raised.version;
  return missingRanks.has(alarm) && event.outcome === 'committed';
}
