import type { Fence } from '@isobar/protocol';

/** Phases of a swap as they can be seen from outside; `idle` between two swaps. */
export const swapPhases = [
  'preparing',
  'deciding',
  'activating',
  'retiring',
  'discarding',
  'idle',
] as const;
export type SwapPhase = (typeof swapPhases)[number];

/** Of one version under one leader, each later than those before it. */
const ageOfPhase: Readonly<Record<SwapPhase, number>> = {
  preparing: 0,
  deciding: 1,
  activating: 2,
  discarding: 2,
  retiring: 3,
  idle: 4,
};

/** The newest phase of the newest swap that has been seen. */
export interface SeenPhase {
  readonly fence: Fence;
  readonly version: number;
  readonly phase: SwapPhase;
}

/**
 * Takes in what a message shows. Messages are repeated, and come late by some servers: what is older
 * than what has been seen shows nothing.
 */
export function laterPhase(seen: SeenPhase | null, shown: SeenPhase): SeenPhase {
  return seen === null || compare(seen, shown) < 0 ? shown : seen;
}

function compare(left: SeenPhase, right: SeenPhase): number {
  if (left.fence.term !== right.fence.term) return left.fence.term - right.fence.term;
  if (left.version !== right.version) return left.version - right.version;
  return ageOfPhase[left.phase] - ageOfPhase[right.phase];
}
