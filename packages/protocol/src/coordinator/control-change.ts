import type { ControlRecord, Mode } from '../control-record.js';
import type { Member } from '../member.js';

/** What an operator may change in the record `control`. */
export type ControlChange =
  | { readonly kind: 'mode'; readonly mode: Mode }
  | { readonly kind: 'pause' }
  /** Ends a pause, and holds automatic balancing no longer. */
  | { readonly kind: 'resume' }
  /** Automatic balancing is held until resumed; not held where the reason is null. */
  | { readonly kind: 'hold'; readonly reason: string | null }
  | { readonly kind: 'drain'; readonly rank: number }
  | { readonly kind: 'undrain'; readonly rank: number }
  | { readonly kind: 'declare-dead'; readonly member: Member };

/** Deaths that are kept: those of engines which no record lists any more matter no longer. */
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
      const others = control.drained.filter((rank) => rank !== change.rank);
      return { ...control, drained: [...others, change.rank].sort((a, b) => a - b) };
    }
    case 'undrain':
      return { ...control, drained: control.drained.filter((rank) => rank !== change.rank) };
    case 'declare-dead': {
      const { rank, incarnation } = change.member;
      const others = control.dead.filter(
        (member) => member.rank !== rank || member.incarnation !== incarnation,
      );
      return { ...control, dead: [...others, change.member].slice(-deadMax) };
    }
  }
}

/**
 * What takes a change back that was made for a request which was then refused.
 * @param before the record as it was before the change
 */
export function undoOf(change: ControlChange, before: ControlRecord): ControlChange | null {
  if (change.kind === 'hold') return { kind: 'hold', reason: before.held };
  if (change.kind !== 'drain' || before.drained.includes(change.rank)) return null;
  return { kind: 'undrain', rank: change.rank };
}
