import type { CoordinatorState } from '@isobar/protocol';

/** What the one that leads, or is about to, is at. */
export const leaderPhases = [
  'taking over',
  'idle',
  'preparing',
  'deciding',
  'activating',
  'retiring',
  'discarding',
] as const;
export type LeaderPhase = (typeof leaderPhases)[number];

/** Null for a coordinator that stands by. */
export function phaseOf({ role }: CoordinatorState): LeaderPhase | null {
  switch (role.kind) {
    case 'standby':
    case 'stopped':
      return null;
    case 'reading':
    case 'taking-over':
    case 'taking-control':
      return 'taking over';
    case 'leading':
      return role.leader.swap.open?.phase ?? 'idle';
  }
}
