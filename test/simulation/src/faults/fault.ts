import type { LeaderPhase } from '../phases.js';
import type { World } from '../world.js';

/** Something that goes wrong, once. It may set off others later, or end by itself. */
export interface Fault {
  readonly name: string;
  /** The phase that it is for, where it makes sense in one alone. */
  readonly phase?: LeaderPhase;
  readonly strike: (world: World, faults: FaultClock) => void;
}

/** What a fault may do about time: nothing that it begins outlasts the healing. */
export interface FaultClock {
  /** Ends what a fault has begun: after so long, or at the healing. */
  readonly later: (delayMs: number, end: () => void) => void;
  /** What goes wrong next, unless all is healed by then. */
  readonly next: (delayMs: number, strike: () => void) => void;
}

/** When a fault strikes: at a time, or a little after a leader has entered a phase. */
export interface PlannedFault {
  readonly fault: Fault;
  readonly notBeforeMs: number;
  readonly phase: LeaderPhase | null;
  readonly delayMs: number;
}
