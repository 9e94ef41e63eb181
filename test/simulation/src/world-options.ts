import type { Activation } from '@isobar/protocol';
import type { Machines } from './machines.js';

/** Faults of the shells, where a rule can't be broken in the machines themselves. */
export interface ShellFaults {
  /** Engines serve what came, whatever its digest. */
  readonly skipDigestCheck: boolean;
  /** Agents act on records that they read in the store (against S6). */
  readonly agentsReadStore: boolean;
  /** Two agents may have one disk open. */
  readonly shareDisks: boolean;
  /** A record that exists is written over. */
  readonly overwriteRecords: boolean;
  /** Engines compute no token of a version before they route by it themselves. */
  readonly serveAfterSwitch: boolean;
  /** In place: engines switch on their own, not with the step that all can follow. */
  readonly switchAlone: boolean;
  /** Engines say that they have activated while tokens of old versions are under way. */
  readonly activatedAtOnce: boolean;
  /** Agents take what comes on a connection that is no longer theirs, and second answers. */
  readonly hearEarlierConnections: boolean;
}

export const noShellFaults: ShellFaults = {
  skipDigestCheck: false,
  agentsReadStore: false,
  shareDisks: false,
  overwriteRecords: false,
  serveAfterSwitch: false,
  switchAlone: false,
  activatedAtOnce: false,
  hearEarlierConnections: false,
};

export interface WorldOptions {
  readonly machines: Machines;
  readonly seed: number;
  readonly numRanks: number;
  readonly numCoordinators: number;
  readonly faults?: ShellFaults;
  /** Ranks whose agents are of before single ranks were told: they hear what is sent to all. */
  readonly olderAgents?: readonly number[];
  /** Servers take messages that hold a layer and a few moves, and no more. @default false */
  readonly smallMessages?: boolean;
  /** Keep what happens as lines of text. */
  readonly transcript?: boolean;
  /** What dies is started again after a while. @default true */
  readonly supervised?: boolean;
  /** @default two-table */
  readonly activation?: Activation;
  /** Fastest of all clocks against the slowest, less one. */
  readonly clockDrift?: number;
  /** How much longer than 5 s agents wait between reports, and coordinators than 2.5 s. @default 1 */
  readonly tickStretch?: number;
}
