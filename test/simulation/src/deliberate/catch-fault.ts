import * as machines from '@isobar/protocol';
import { runSeed } from '../run-seed.js';
import { noShellFaults } from '../world-options.js';
import type { DeliberateFault } from './deliberate-fault.js';
import { loadFaultyMachines } from './load-machines.js';

export interface CaughtFault {
  readonly name: string;
  /** The first seed that shows it, null where none does within the fault's bound. */
  readonly seed: number | null;
  /** The rule that it breaks there, and how. */
  readonly text: string;
}

/** Runs seeds with a deliberate fault until a rule breaks. */
export async function catchFault(fault: DeliberateFault): Promise<CaughtFault> {
  const { name, edits, numRanks, activation, seedsMax } = fault;
  const faulty = edits.length === 0 ? machines : await loadFaultyMachines(name, edits);
  const faults = { ...noShellFaults, ...fault.shell };
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const fixed = {
      ...(numRanks === undefined ? {} : { numRanks }),
      ...(activation === undefined ? {} : { activation }),
    };
    const { violation } = runSeed({ machines: faulty, seed, faults, ...fixed });
    if (violation !== null) return { name, seed, text: violation.text };
  }
  return { name, seed: null, text: `not caught within ${seedsMax} seeds` };
}
