import {
  type AuditEvent,
  type CommandQuestion,
  type ExplainAnswer,
  eventsAskedMax,
  type HistoryAnswer,
} from '@isobar/protocol';
import type { CommandTarget } from './command-target.js';
import { explainVersion, isOfVersion, planOfReason } from './explain-version.js';

export async function historyOf(
  target: CommandTarget,
  { last, of: version, before }: CommandQuestion<'history'>,
): Promise<HistoryAnswer> {
  const reader = target.audit();
  const kept =
    version === undefined
      ? await reader.newest(last, { before })
      : await reader.newest(last, { before, matches: (event) => event.version === version });
  return { ...kept, events: [...kept.events] };
}

/** @throws IsobarError ISOBAR_COORDINATOR_NO_VERSION, those of the bus */
export async function explainOf(
  target: CommandTarget,
  { version, before }: CommandQuestion<'explain'>,
): Promise<ExplainAnswer> {
  const { placements, bytesPerExpert } = target.leadership();
  const record = await placements.record(version);
  const base = await placements.mappingBefore(version);
  const plan = planOfReason(record.reason);
  const matches = (event: AuditEvent) => isOfVersion(event, version, plan);
  const { events, searched, next } = await target
    .audit()
    .newest(eventsAskedMax, { before, matches });
  return { ...explainVersion({ record, base, bytesPerExpert, events }), searched, next };
}
