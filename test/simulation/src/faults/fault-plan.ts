import type { Random } from '@isobar/trace';
import { type LeaderPhase, leaderPhases } from '../phases.js';
import { present } from '../present.js';
import { deadMemberHeard } from './dead-member-heard.js';
import { badStaging } from './engine-faults.js';
import type { Fault, PlannedFault } from './fault.js';
import {
  badWeather,
  busPartition,
  fabricPartition,
  leaderIsolated,
  movedElsewhere,
} from './network-faults.js';
import { cancellation } from './operator-faults.js';
import {
  answersLate,
  answersOutlived,
  badCommand,
  greetingsCross,
  portBroken,
} from './port-faults.js';
import {
  crash,
  groupRestart,
  machineLost,
  orderlyStop,
  pause,
  secondAgent,
  secondAgentOnDisk,
  victims,
} from './process-faults.js';
import { badStore, recordsLost, storeStall } from './store-faults.js';
import {
  claimLost,
  drainedGivesNothing,
  noUnheard,
  pausedHolder,
  replacedUnheard,
  secondAgentAfterVote,
  starterMoved,
  voidOvertaken,
} from './story-faults.js';

/** How many faults a run has, at least two. */
const faultCount = { least: 2, spread: 6 };

const fates = ['command-lost', 'answer-lost', 'answered-twice', 'agent-pauses'] as const;

/** Weights are relative. */
const kinds: ReadonlyArray<readonly [weight: number, draw: (random: Random) => Fault]> = [
  [10, (random) => crash(oneOf(random, victims), random.next() < 0.5 ? 0 : 1 + random.integer(6))],
  [4, (random) => crash('engine', random.integer(1))],
  [5, (random) => pause(oneOf(random, victims), pauseMs(random), random.integer(6))],
  [3, (random) => pause('leader', 10_000 + random.next() * 20_000, random.integer(6))],
  [4, (random) => busPartition(1_000 + random.next() * 40_000)],
  [3, (random) => leaderIsolated(1_000 + random.next() * 30_000)],
  [2, (random) => fabricPartition('one', 2_000 + random.next() * 60_000)],
  [1, (random) => fabricPartition('pair', 2_000 + random.next() * 40_000)],
  [1, (random) => fabricPartition('split', 2_000 + random.next() * 40_000)],
  [1, (random) => movedElsewhere(15_000 + random.next() * 60_000)],
  [3, (random) => badWeather(5_000 + random.next() * 60_000)],
  [3, (random) => storeStall(2_000 + random.next() * 25_000)],
  [4, (random) => recordsLost(random.integer(4), random.next() < 0.5)],
  [3, (random) => badStore(5_000 + random.next() * 80_000)],
  [2, () => claimLost],
  [1, () => voidOvertaken],
  [1, () => replacedUnheard],
  [1, () => noUnheard],
  [1, () => deadMemberHeard],
  [1, () => secondAgentAfterVote],
  [1, () => starterMoved],
  [2, () => drainedGivesNothing],
  [1, () => pausedHolder],
  [2, (random) => badStaging('fails', 1 + random.integer(2))],
  [1, (random) => badStaging('stalls', 1 + random.integer(2))],
  [1, (random) => badStaging('corrupts', 1 + random.integer(2))],
  [1, (random) => groupRestart(random.next() < 0.3)],
  [1, (random) => machineLost(20_000 + random.next() * 60_000)],
  [1, () => orderlyStop],
  [1, () => cancellation],
  [1, () => secondAgent],
  [1, () => portBroken],
  [1, () => greetingsCross],
  [2, (random) => badCommand(oneOf(random, fates), 1 + random.integer(3))],
  [1, (random) => answersLate(2_000 + random.next() * 18_000)],
  [1, () => answersOutlived],
  [1, () => secondAgentOnDisk],
];
const weights = kinds.reduce((sum, [weight]) => sum + weight, 0);

function oneOf<T>(random: Random, items: readonly T[]): T {
  return present(items[random.integer(items.length)]);
}

function pauseMs(random: Random): number {
  return random.next() < 0.5 ? random.next() * 3_000 : random.next() * 45_000;
}

function drawFault(random: Random): Fault {
  let at = random.next() * weights;
  for (const [weight, draw] of kinds) {
    at -= weight;
    if (at < 0) return draw(random);
  }
  return present(kinds[0])[1](random);
}

/** Phases pass quickly: most faults wait for one, so that each is struck. */
function drawPhase(random: Random): LeaderPhase | null {
  return random.next() < 0.3 ? null : oneOf(random, leaderPhases);
}

/** What goes wrong in a run between `fromMs` and `untilMs`. */
export function drawFaults(random: Random, fromMs: number, untilMs: number): PlannedFault[] {
  const count = faultCount.least + random.integer(faultCount.spread);
  return Array.from({ length: count }, () => {
    const fault = drawFault(random);
    const notBeforeMs = fromMs + random.next() * (untilMs - fromMs);
    const phase = fault.phase ?? drawPhase(random);
    // Within a phase, from at once to its middle: from a message's way to a staging's length.
    const delayMs = random.next() < 0.3 ? 0 : 10 ** (random.next() * 3.3);
    return { fault, notBeforeMs, phase, delayMs: fault.phase === undefined ? delayMs : 0 };
  });
}
