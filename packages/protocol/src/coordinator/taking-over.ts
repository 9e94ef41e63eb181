import { readDecidedVersion } from '../decided-version.js';
import type { Fence } from '../fence.js';
import { IsobarError } from '../isobar-error.js';
import type { LeaderEvent } from '../leader/leader.js';
import { isPending } from '../lease/lease-types.js';
import type { RankAnswer } from '../messages.js';
import type { Ground } from '../swap/ground.js';
import { stepTakeover } from '../swap/takeover.js';
import {
  initialTakeover,
  type TakeoverEffect,
  type TakeoverEvent,
  takeoverAnswer,
} from '../swap/takeover-state.js';
import {
  type CoordinatorStep,
  type EventOf,
  enterReading,
  giveWay,
  toLease,
} from './coordinator-step.js';
import { createRecord, toLeader } from './leading.js';
import {
  highestAbove,
  readable,
  readControl,
  readOutcome,
  type StoredControl,
} from './stored-records.js';
import { takeControl } from './taking-control.js';

/** Reads what the store has, once the lease is held. */
export function goOnReading(step: CoordinatorStep): void {
  const { role, nextToken: token, options } = step.state;
  const { nowMs } = step;
  if (role.kind !== 'reading' || nowMs < role.readAtMs) return;
  // There may be many records.
  if (isPending(role.pending, options.timings.lease.leaseMs, nowMs)) return;
  const pending = { token, startedAtMs: nowMs };
  step.state.role = { ...role, pending };
  step.state.nextToken = token + 1;
  step.effects.push({ kind: 'read-records', token });
}

export function onRecordsReadFailed(
  step: CoordinatorStep,
  event: EventOf<'records-read-failed'>,
): void {
  const { role, options } = step.state;
  if (role.kind !== 'reading' || role.pending?.token !== event.token) return;
  enterReading(step, role.fence, step.nowMs + options.timings.lease.retryMs);
}

export function onRecordsRead(step: CoordinatorStep, event: EventOf<'records-read'>): void {
  const { role, options } = step.state;
  if (role.kind !== 'reading' || role.pending?.token !== event.token) return;
  const read = readable(() => ({
    maps: event.maps.map(readDecidedVersion),
    control: readControl(event.control),
  }));
  if (read instanceof IsobarError) {
    giveWay(step, read);
    return;
  }
  const { fence } = role;
  const { maps, control } = read;
  const by = highestAbove(fence, maps, control);
  if (by !== null) {
    toLease(step, { kind: 'outranked', by });
    return;
  }
  const { cutAfterMs } = options.timings.leader;
  const dead = control?.record.dead ?? [];
  const takeover = initialTakeover(fence, options.configuredRanks, maps, { dead, cutAfterMs });
  const taking = { kind: 'taking-over', fence, takeover, control, askAtMs: step.nowMs } as const;
  step.state.role = taking;
  askRanks(step);
}

/** The takeover's tick: asks again those who have not answered. */
export function askRanks(step: CoordinatorStep): void {
  const { role, options } = step.state;
  if (role.kind !== 'taking-over' || step.nowMs < role.askAtMs) return;
  const askAtMs = step.nowMs + options.timings.askMs;
  step.state.role = { ...role, askAtMs };
  toTakeover(step, { kind: 'tick' });
}

export function onAnswer(step: CoordinatorStep, answer: RankAnswer): void {
  const { role } = step.state;
  if (role.kind === 'taking-over') toTakeover(step, takeoverAnswer(answer, role.takeover));
  else toLeader(step, { kind: 'answer', answer });
}

export function onRecordSettled(step: CoordinatorStep, event: EventOf<'record-settled'>): void {
  const { version, token, result } = event;
  if (step.state.creating.get(version)?.token !== token) return;
  const creating = new Map(step.state.creating);
  creating.delete(version);
  step.state.creating = creating;
  if (result.kind !== 'exists') {
    toTakeoverOrLeader(step, { kind: `record-${result.kind}`, version });
    return;
  }
  const existing = readOutcome(result.bytes);
  toTakeoverOrLeader(
    step,
    existing instanceof IsobarError
      ? { kind: 'unreadable', error: existing }
      : { kind: 'record-exists', existing },
  );
}

export function toTakeoverOrLeader(
  step: CoordinatorStep,
  event: TakeoverEvent & LeaderEvent,
): void {
  if (step.state.role.kind === 'taking-over') toTakeover(step, event);
  else toLeader(step, event);
}

function toTakeover(step: CoordinatorStep, event: TakeoverEvent): void {
  const { role } = step.state;
  if (role.kind !== 'taking-over') return;
  const { state: takeover, effects } = stepTakeover(role.takeover, event, step.nowMs);
  step.state.role = { ...role, takeover };
  for (const effect of effects) {
    // What follows the end of this role was meant for it.
    if (step.state.role.kind !== 'taking-over') return;
    onTakeoverEffect(step, effect, role.fence, role.control);
  }
}

/** Engines of a larger or smaller group than this process knows of are not for it to lead. */
function refuseGround(
  { length: configured }: readonly number[],
  { descriptions }: Ground,
): IsobarError | null {
  const other = descriptions.find(({ numRanks }) => numRanks !== configured);
  if (other === undefined) return null;
  const { rank, numRanks } = other;
  return new IsobarError(
    'ISOBAR_TOPOLOGY_RANKS',
    `the topology has ${configured} ranks; the engine of rank ${rank} is one of ${numRanks}`,
    { ranks: configured, numRanks, rank },
  );
}

function onTakeoverEffect(
  step: CoordinatorStep,
  effect: TakeoverEffect,
  fence: Fence,
  control: StoredControl | null,
): void {
  switch (effect.kind) {
    case 'ask':
      step.effects.push({ ...effect, fence });
      return;
    case 'create-record':
      createRecord(step, effect.version, effect.bytes);
      return;
    case 'outranked':
      toLease(step, effect);
      return;
    case 'failed':
      giveWay(step, effect.error);
      return;
    case 'complete': {
      const misfit = refuseGround(step.state.options.configuredRanks, effect.ground);
      if (misfit !== null) giveWay(step, misfit);
      else takeControl(step, fence, effect.ground, control);
      return;
    }
    default:
      step.effects.push(effect);
  }
}
