import type { SwapPhase } from './swap-phase.js';

/** Whom a fault strikes; chosen when it strikes, by the part that each process has then. */
export type Victim =
  | 'leader'
  | 'standby'
  | 'agent'
  | 'engine'
  /** An agent and its engine at once. */
  | 'machine'
  /** The nats-server that leads the stream of the records. */
  | 'stream-leader'
  | 'stream-follower'
  | 'every-server';

/**
 * kill: SIGKILL, and a new process once the fault has shown, as a platform would start one.
 * kill-for-good: SIGKILL, and no new process. pause: SIGSTOP for longer than the lease, then
 * SIGCONT. partition: the processes of the victim's node lose the network that the others share.
 * disk-full: the victim's store can't be written.
 */
export type FaultKind = 'kill' | 'kill-for-good' | 'pause' | 'partition' | 'disk-full';

export interface ChaosCase {
  readonly name: string;
  readonly victim: Victim;
  readonly fault: FaultKind;
  readonly phase: SwapPhase;
  readonly activation: 'two-table' | 'in-place';
}
