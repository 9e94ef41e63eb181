import type { ExpertMapping } from '@isobar/eplb';
import {
  type AuditEvent,
  askedBySchema,
  type ExplainAnswer,
  gainSchema,
  type MapRecord,
  mappingOfRecord,
  votesSchema,
} from '@isobar/protocol';

const durationNames = [
  'preparingMs',
  'decidingMs',
  'activatingMs',
  'retiringMs',
  'discardingMs',
  'totalMs',
] as const;

/** What events tell of a version beside its record. */
export interface VersionSources {
  readonly record: MapRecord;
  /** The mapping that it was made on, null where that has no record any more. */
  readonly base: ExpertMapping | null;
  readonly bytesPerExpert: number;
  /** In their order. */
  readonly events: readonly AuditEvent[];
}

/** Whether an event is of a version, or of the plan that it was made by. */
export function isOfVersion(event: AuditEvent, version: number, plan: string | null): boolean {
  if (event.version === version) return true;
  return plan !== null && (event.plan === plan || (event.kind === 'plan' && event.id === plan));
}

/** The plan that a version says it was made by, null where it was made by none. */
export function planOfReason(reason: string): string | null {
  return /^plan ([0-9a-f]{8})\b/.exec(reason)?.[1] ?? null;
}

export function explainVersion(sources: VersionSources): ExplainAnswer {
  const { record, events } = sources;
  const isCommitted = record.outcome === 'committed';
  const plan = planOfReason(record.reason);
  const of = (kind: string) => events.findLast((event) => event.kind === kind) ?? null;
  return {
    version: record.version,
    outcome: record.outcome,
    reason: record.reason,
    term: record.fence.term,
    change: isCommitted ? record.change : null,
    digest: isCommitted ? record.digest : null,
    members: isCommitted ? [...record.members] : [],
    ...movesOf(sources),
    askedBy: askedBySchema.safeParse(of('decided')?.askedBy).data ?? null,
    plan: plan === null ? null : of('plan'),
    measured: measuredOf(plan === null ? null : of('rebalance-measured')),
    durations: durationsOf(of('swap-finished')),
    votes: votesSchema.safeParse(of('swap-finished')?.votes).data ?? null,
    events: [...events],
  };
}

function movesOf({ record, base, bytesPerExpert }: VersionSources): {
  readonly moves: number | null;
  readonly bytes: number | null;
} {
  if (record.outcome !== 'committed' || base === null) return { moves: null, bytes: null };
  const mapping = mappingOfRecord(record);
  if (!mapping.sameShape(base)) return { moves: null, bytes: null };
  const moves = base.numMoves(mapping);
  return { moves, bytes: moves * bytesPerExpert };
}

function measuredOf(event: AuditEvent | null): ExplainAnswer['measured'] {
  if (event === null) return null;
  const { data: balancedness = null } = gainSchema.safeParse(event.measured);
  const { data: stepMillis = null } = gainSchema.safeParse(event.stepMillis);
  return { balancedness, stepMillis };
}

function durationsOf(event: AuditEvent | null): ExplainAnswer['durations'] {
  if (event === null) return null;
  return Object.fromEntries(
    durationNames.flatMap((name) => {
      const value = event[name];
      return typeof value === 'number' ? [[name, value]] : [];
    }),
  );
}
