import type { CommandRequest } from '../commands/command-request.js';
import { type ControlRecord, type Mode, requestsMax } from '../control-record.js';
import { type Member, membersWithout } from '../member.js';
import { withSlotLimit } from '../membership/offered-slots.js';
import { changedParameters, type ParameterChanges, type Parameters } from '../parameters.js';

/** What operators' commands change in the record `control`. */
export type ControlChange =
  | { readonly kind: 'mode'; readonly mode: Mode }
  | { readonly kind: 'pause' }
  /** Ends a pause, and holds automatic balancing no longer. */
  | { readonly kind: 'resume' }
  /** Automatic balancing is held until resumed; not held where the reason is null. */
  | { readonly kind: 'hold'; readonly reason: string | null }
  | { readonly kind: 'drain'; readonly ranks: readonly number[] }
  | { readonly kind: 'undrain'; readonly ranks: readonly number[] }
  /** Null takes the limit away. */
  | { readonly kind: 'limit-slots'; readonly rank: number; readonly slots: number | null }
  | { readonly kind: 'declare-dead'; readonly member: Member }
  | {
      readonly kind: 'parameters';
      readonly changes: ParameterChanges;
      /** As they were when the changes were checked: over others they may not go together. */
      readonly checkedOver: Parameters;
    }
  /** A command is taken, or what became of it is known. */
  | { readonly kind: 'note-request'; readonly request: CommandRequest }
  | { readonly kind: 'forget-request'; readonly id: string };

/** Declared deaths that are kept of engines which no record lists any more. */
const deadMax = 1_024;

export function changeControl(control: ControlRecord, change: ControlChange): ControlRecord {
  switch (change.kind) {
    case 'mode':
      return { ...control, mode: change.mode };
    case 'pause':
      return { ...control, paused: true };
    case 'resume':
      return { ...control, paused: false, held: null };
    case 'hold':
      return { ...control, held: change.reason };
    case 'drain': {
      const drained = [...new Set([...control.drained, ...change.ranks])];
      return { ...control, drained: drained.sort((a, b) => a - b) };
    }
    case 'undrain':
      return {
        ...control,
        drained: control.drained.filter((rank) => !change.ranks.includes(rank)),
      };
    case 'limit-slots': {
      const { rank, slots } = change;
      return { ...control, slotLimits: withSlotLimit(control.slotLimits, rank, slots) };
    }
    case 'declare-dead': {
      const { rank, incarnation } = change.member;
      const others = control.dead.filter(
        (member) => member.rank !== rank || member.incarnation !== incarnation,
      );
      return { ...control, dead: [...others, change.member] };
    }
    case 'parameters':
      return { ...control, parameters: changedParameters(control.parameters, change.changes) };
    case 'note-request':
      return { ...control, requests: withRequest(control.requests, change.request) };
    case 'forget-request':
      return { ...control, requests: control.requests.filter(({ id }) => id !== change.id) };
  }
}

/**
 * Without the oldest declared deaths beyond the limit.
 * @param needed members of whom a death still matters: none of theirs is forgotten
 */
export function forgetDeaths(control: ControlRecord, needed: readonly Member[]): ControlRecord {
  const surplus = control.dead.length - deadMax;
  if (surplus <= 0) return control;
  const forgotten = membersWithout(control.dead, needed).slice(0, surplus);
  return { ...control, dead: membersWithout(control.dead, forgotten) };
}

function withRequest(
  requests: readonly CommandRequest[],
  request: CommandRequest,
): CommandRequest[] {
  const at = requests.findIndex(({ id }) => id === request.id);
  if (at >= 0) return requests.map((other, index) => (index === at ? request : other));
  const oldest = requests.length < requestsMax ? -1 : requests.findIndex(isDone);
  return [...requests.filter((_, index) => index !== oldest), request];
}

/** What is running is never forgotten: it could be begun again. */
export function hasRoomForRequest({ requests }: ControlRecord): boolean {
  return requests.length < requestsMax || requests.some(isDone);
}

function isDone({ outcome }: CommandRequest): boolean {
  return outcome !== null;
}

/**
 * What takes a change back that was made for a request which was then refused.
 * @param before the record as it was before the change
 */
export function undoOf(change: ControlChange, before: ControlRecord): ControlChange[] {
  switch (change.kind) {
    case 'hold':
      return [{ kind: 'hold', reason: before.held }];
    case 'drain': {
      const ranks = change.ranks.filter((rank) => !before.drained.includes(rank));
      return ranks.length === 0 ? [] : [{ kind: 'undrain', ranks }];
    }
    case 'limit-slots': {
      const { rank } = change;
      const slots = before.slotLimits.find((limit) => limit.rank === rank)?.slots ?? null;
      return [{ kind: 'limit-slots', rank, slots }];
    }
    case 'note-request':
      return [{ kind: 'forget-request', id: change.request.id }];
    default:
      return [];
  }
}
