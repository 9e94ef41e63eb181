import type { ChaosCase, FaultKind, Victim } from './chaos-case.js';
import { swapPhases } from './swap-phase.js';

const bothWays = ['two-table', 'in-place'] as const;

/** Signals: every victim in every phase; what engines see of it, both ways of activating. */
const signals: readonly ChaosCase[] = (
  [
    ['leader', bothWays],
    ['agent', bothWays],
    ['engine', bothWays],
    ['machine', bothWays],
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

/** An engine that does not return: it is removed, and its experts are brought back. */
const removals = bothWays.flatMap((activation) =>
  swapPhases.map((phase) => caseOf('engine', 'kill-for-good', phase, activation)),
);

/** All servers at once: nothing is decided meanwhile, and inference goes on (rule L2). */
const withoutServers = (['kill', 'pause'] as const).flatMap((fault) =>
  swapPhases.map((phase) => caseOf('every-server', fault, phase, 'two-table')),
);

/** Whole nodes lose the network. */
const partitions = (['leader', 'standby', 'stream-leader', 'agent'] as const).flatMap((victim) =>
  swapPhases.map((phase) => caseOf(victim, 'partition', phase, 'two-table')),
);

const fullDisks = (['stream-leader', 'stream-follower', 'every-server'] as const).flatMap(
  (victim) =>
    (['preparing', 'deciding', 'retiring'] as const).map((phase) =>
      caseOf(victim, 'disk-full', phase, 'in-place'),
    ),
);

export const chaosCases: readonly ChaosCase[] = [
  ...signals,
  ...removals,
  ...withoutServers,
  ...partitions,
  ...fullDisks,
];
