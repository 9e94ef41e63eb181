import type { Activation } from '@isobar/protocol';
import type { ShellFaults } from '../world-options.js';

/** One place of the built package, found exactly once, and what stands there instead. */
export interface TextEdit {
  /** Below packages/protocol/dist. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A fault that the simulator must catch: in the machines, or in what is around them. */
export interface DeliberateFault {
  readonly name: string;
  readonly edits: readonly TextEdit[];
  readonly shell?: Partial<ShellFaults>;
  /** How engines activate; drawn where absent. */
  readonly activation?: Activation;
  /** Seeds, from 1 on, within which it must be caught. */
  readonly seedsMax: number;
  /** Ranks of each run: few show some faults sooner. @default drawn */
  readonly numRanks?: number;
}
