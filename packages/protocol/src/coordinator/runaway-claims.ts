import { sameFence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import { decodeMapRecord } from '../map-record.js';
import type { RankAnswer, RankReport } from '../messages.js';
import { persistentAheadMax, runaway, runawayAheadMax } from '../runaway.js';
import { type CoordinatorStep, toLease } from './coordinator-step.js';
import type { CoordinatorEvent, CoordinatorState, RunawayRank } from './coordinator-types.js';

/** What one message claims: each of it draws the next term, or the next version, after it. */
interface Claims {
  readonly terms: readonly number[];
  readonly versions: readonly number[];
}

/**
 * A leader follows what ranks tell of terms and versions: its next one is above them. So a rank must not
 * be able to drive either to where no next one is. What is further ahead of all that records tell than
 * any leaders can have come meanwhile is no rank's experience, and is not heard.
 * @returns the refusal, null where the event claims nothing of the kind
 */
export function refuseRunaway(
  state: CoordinatorState,
  event: CoordinatorEvent,
): IsobarError | null {
  if (state.role.kind !== 'leading' && state.role.kind !== 'taking-over') return null;
  const claims = claimsOf(event);
  if (claims === null) return null;
  return (
    runaway('term', Math.max(...claims.terms), state.lease.highestTerm, runawayAheadMax) ??
    runaway('version', Math.max(...claims.versions), highestVersion(state), runawayAheadMax)
  );
}

const followMsDefault = 60_000;
const followEveryMsDefault = 3_600_000;

/**
 * A rank that was really brought to such a term, by a message that no coordinator sent, refuses every
 * leader below it. So where its report has told the same term for long enough, the lease is claimed above
 * it, at most once in an hour.
 */
export function followPersistent(step: CoordinatorStep, event: CoordinatorEvent): void {
  if (event.kind !== 'report' || event.report.fence === null) return;
  const { nowMs } = step;
  const { fence, rank } = event.report;
  const { timings } = step.state.options;
  const { runawayFollowMs = followMsDefault, runawayFollowEveryMs = followEveryMsDefault } =
    timings;
  const { runaways, lease, runawayFollowedAtMs } = step.state;
  const ahead = fence.term - lease.highestTerm;
  if (ahead <= runawayAheadMax || ahead > persistentAheadMax) return;
  const known = runaways.get(rank);
  if (known === undefined || !sameFence(known.fence, fence)) {
    setRunaway(step, rank, { fence, sinceMs: nowMs });
    return;
  }
  const isDue = nowMs - runawayFollowedAtMs >= runawayFollowEveryMs;
  if (nowMs - known.sinceMs < runawayFollowMs || !isDue) return;
  step.state.runaways = new Map();
  step.state.runawayFollowedAtMs = nowMs;
  toLease(step, { kind: 'outranked', by: fence });
}

/** The rank tells a term that is believed: the other one was not its own. */
export function forgetRunaway(step: CoordinatorStep, event: CoordinatorEvent): void {
  if (event.kind !== 'report' || !step.state.runaways.has(event.report.rank)) return;
  setRunaway(step, event.report.rank, null);
}

function setRunaway(step: CoordinatorStep, rank: number, told: RunawayRank | null): void {
  const runaways = new Map(step.state.runaways);
  if (told === null) runaways.delete(rank);
  else runaways.set(rank, told);
  step.state.runaways = runaways;
}

function claimsOf(event: CoordinatorEvent): Claims | null {
  if (event.kind === 'report') return claimsOfReport(event.report);
  return event.kind === 'answer' ? claimsOfAnswer(event.answer) : null;
}

function claimsOfReport({ fence, votedUpTo = 0, engine }: RankReport): Claims {
  const terms = [0, fence?.term ?? 0];
  if (engine === null) return { terms, versions: [votedUpTo] };
  const { openVote, committedVersion, activatedVersion, mappingVersion } = engine;
  const ofEngine = [engine.votedUpTo, committedVersion, activatedVersion, mappingVersion];
  return { terms, versions: [votedUpTo, openVote ?? 0, ...ofEngine] };
}

function claimsOfAnswer({ fence, votedUpTo, outcomes, engine }: RankAnswer): Claims {
  const state = engine?.state ?? null;
  const known = [...outcomes, ...(state?.outcomes ?? [])];
  const ofEngine = state === null ? [] : [state.votedUpTo, state.committedVersion];
  return {
    terms: [fence?.term ?? 0, state?.fence?.term ?? 0, ...known.map(termOf)],
    versions: [
      votedUpTo,
      ...ofEngine,
      state?.vote?.version ?? 0,
      ...known.map(({ version }) => version),
    ],
  };
}

/** Of a record that can't be read nothing is known; what becomes of it is decided elsewhere. */
function termOf({ record }: { readonly record: Uint8Array }): number {
  try {
    return decodeMapRecord(record).fence.term;
  } catch (error) {
    if (error instanceof IsobarError) return 0;
    throw error;
  }
}

/** Largest version that this process, or a leader before it, has decided or proposed, by the records. */
function highestVersion({ role }: CoordinatorState): number {
  if (role.kind === 'taking-over') return Math.max(0, ...role.takeover.stored.keys());
  if (role.kind !== 'leading') return 0;
  const { newest, voided, open } = role.leader.swap;
  return Math.max(newest.version, voided.at(-1) ?? 0, open?.proposal.version ?? 0);
}
