import type { ChaosCase, FaultKind, Victim } from './chaos-case.js';
import { swapPhases } from './swap-phase.js';

const bothWays = ['two-table', 'in-place'] as const;

/** Signals: every victim in every phase; what engines see of it, both ways of activating. */
const signals: readonly ChaosCase[] = (
  [
    ['leader', bothWays],
    ['agent', bothWays],
    ['engine', bothWays],
    ['standby', ['two-table']],
    ['stream-leader', ['two-table']],
    ['stream-follower', ['in-place']],
  ] as const
).flatMap(([victim, activations]) =>
  (['kill', 'pause'] as const).flatMap((fault) =>
    activations.flatMap((activation) =>
      swapPhases.map((phase) => caseOf(victim, fault, phase, activation)),
    ),
  ),
);

function caseOf(
  victim: Victim,
  fault: FaultKind,
  phase: ChaosCase['phase'],
  activation: ChaosCase['activation'],
): ChaosCase {
  return { name: [victim, fault, phase, activation].join('/'), victim, fault, phase, activation };
}

export const chaosCases: readonly ChaosCase[] = signals;
