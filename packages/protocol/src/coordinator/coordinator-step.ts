import type { Draft } from '../draft.js';
import type { Fence } from '../fence.js';
import type { IsobarError } from '../isobar-error.js';
import { stepLease } from '../lease/lease.js';
import type { LeaseEffect, LeaseEvent } from '../lease/lease-types.js';
import type {
  CoordinatorAlarm,
  CoordinatorEffect,
  CoordinatorEvent,
  CoordinatorState,
} from './coordinator-types.js';
import { refuseAll } from './operations.js';

/** A step under way: the state so far, and what it has brought about. */
export interface CoordinatorStep {
  readonly state: Draft<CoordinatorState>;
  readonly effects: CoordinatorEffect[];
  readonly nowMs: number;
}

export type EventOf<Kind extends CoordinatorEvent['kind']> = Extract<
  CoordinatorEvent,
  { readonly kind: Kind }
>;

export function toLease(step: CoordinatorStep, event: LeaseEvent): void {
  const { state: lease, effects } = stepLease(step.state.lease, event, step.nowMs);
  step.state.lease = lease;
  for (const effect of effects) onLeaseEffect(step, effect);
}

function onLeaseEffect(step: CoordinatorStep, effect: LeaseEffect): void {
  switch (effect.kind) {
    case 'read-leader':
    case 'write-leader':
      step.effects.push(effect);
      return;
    case 'lease-held':
      enterReading(step, effect.fence, step.nowMs);
      step.effects.push({ kind: 'claimed', fence: effect.fence });
      return;
    case 'lease-lost':
      depose(step, effect.fence, effect.why);
      return;
    case 'lease-released':
      step.state.role = { kind: 'stopped' };
      step.effects.push({ kind: 'released' });
      return;
    case 'leader-unreadable':
      alarm(step, 'leader-unreadable', effect.error);
      return;
  }
}

/** Begins to lead, or begins anew under the same fence: nothing is known but the lease. */
export function enterReading(step: CoordinatorStep, fence: Fence, readAtMs: number): void {
  const role = { kind: 'reading', fence, pending: null, readAtMs } as const;
  step.state.role = role;
  step.state.writer = null;
}

function depose(step: CoordinatorStep, fence: Fence, why: string): void {
  step.effects.push(...refuseAll(step.state, why), { kind: 'deposed', fence, why });
  step.state.role = { kind: 'standby' };
  step.state.writer = null;
  step.state.creating = new Map();
  step.state.operations = [];
  step.state.taken = new Map();
}

/**
 * It can't lead as things are: another may, and this one tries again later. What is in its way may
 * last: it is told once.
 */
export function giveWay(step: CoordinatorStep, error: IsobarError): void {
  if (step.state.cannotLeadTold !== error.message) alarm(step, 'cannot-lead', error);
  step.state.cannotLeadTold = error.message;
  toLease(step, { kind: 'yield' });
}

function alarm(step: CoordinatorStep, kind: CoordinatorAlarm, error: IsobarError): void {
  const fields = { code: error.code, reason: error.message, ...error.fields };
  step.effects.push({ kind: 'alarm', alarm: kind, fields });
}
