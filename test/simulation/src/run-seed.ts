import type { Activation } from '@isobar/protocol';
import { createRandom, type Random } from '@isobar/trace';
import { drawFaults } from './faults/fault-plan.js';
import { FaultSchedule } from './faults/fault-schedule.js';
import type { Machines } from './machines.js';
import type { Wish } from './processes/operator.js';
import { RuleViolation } from './rules/rule-violation.js';
import { unsettled } from './rules/settled.js';
import { World } from './world.js';
import type { ShellFaults } from './world-options.js';

export interface RunOptions {
  readonly machines: Machines;
  readonly seed: number;
  /** @default drawn: mostly 8, sometimes fewer */
  readonly numRanks?: number;
  /** @default drawn: mostly two-table */
  readonly activation?: Activation;
  readonly faults?: ShellFaults;
  readonly transcript?: boolean;
}

export interface RunResult {
  readonly seed: number;
  /** Null where no rule was broken. */
  readonly violation: { readonly rule: string; readonly text: string } | null;
  readonly situations: ReadonlyMap<string, number>;
  readonly virtualMs: number;
  readonly events: number;
  readonly faults: number;
  readonly swapsAsked: number;
  readonly transcript: readonly string[];
}

/** Virtual milliseconds: the course of every run. */
const course = {
  faultsFrom: 30_000,
  faultsUntil: 440_000,
  /** Faults whose phase has not come by then strike at once. */
  overdue: 460_000,
  heal: 500_000,
  end: 600_000,
  /** L1: after healing everything has settled within this. */
  settleWithin: 150_000,
  settlePoll: 2_000,
};
/** An engine that has not left by then stays. */
const leaveDeadlineMs = 60_000;
const swapsAskedMin = 3;
/** After so long whoever asked asks again. */
const inDoubtMs = 9_000;

/** One run, decided by its seed alone: at least ten virtual minutes, three swaps, two faults. */
export function runSeed(options: RunOptions): RunResult {
  // Its own numbers, so that the course stays the same however the world uses its own.
  const random = createRandom(options.seed * 2 + 1);
  const numRanks = options.numRanks ?? drawRanks(random);
  const numCoordinators = random.next() < 0.7 ? 2 : 3;
  const activation = random.next() < 0.75 ? 'two-table' : 'in-place';
  // By numbers of their own: what they say changes nothing else that is drawn.
  const conditions = createRandom(-1 - options.seed);
  const olderAgents = drawOlderAgents(conditions, numRanks);
  const smallMessages = conditions.next() < 0.25;
  // How often ticks come in a deadline is nothing that a rule may rest on.
  const tickStretch = 1 + conditions.next();
  const world = new World({
    machines: options.machines,
    seed: options.seed * 2,
    numRanks,
    numCoordinators,
    clockDrift: random.next() < 0.5 ? 0.001 : 0.05,
    activation: options.activation ?? activation,
    olderAgents,
    smallMessages,
    tickStretch,
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    ...(options.transcript === undefined ? {} : { transcript: options.transcript }),
  });
  const run = new Run(world, random);
  let violation: RunResult['violation'] = null;
  try {
    run.play();
  } catch (error) {
    violation = describeFailure(error);
    world.log(() => `BROKEN ${violation?.text}`);
  }
  return {
    seed: options.seed,
    violation,
    situations: world.situations.counts,
    virtualMs: world.scheduler.nowMs,
    events: world.scheduler.eventsRun,
    faults: run.faultsStruck,
    swapsAsked: run.swapsAsked,
    transcript: world.transcript,
  };
}

function drawRanks(random: Random): number {
  return random.next() < 0.7 ? 8 : 3 + random.integer(4);
}

/** In one run of four a group is halfway between two versions. */
function drawOlderAgents(random: Random, numRanks: number): number[] {
  if (random.next() < 0.75) return [];
  return Array.from({ length: numRanks }, (_, rank) => rank).filter(() => random.next() < 0.5);
}

function describeFailure(error: unknown): { readonly rule: string; readonly text: string } {
  if (error instanceof RuleViolation) return { rule: error.rule, text: error.message };
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { rule: 'machine', text: `a machine or the world has thrown: ${text}` };
}

class Run {
  readonly #world: World;
  readonly #random: Random;
  readonly #schedule: FaultSchedule;
  swapsAsked = 0;
  /** A slot is withdrawn while the proposal that fills it is on its way. */
  #withdrawsOnTheWay = false;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    const planned = drawFaults(random, course.faultsFrom, course.faultsUntil);
    this.#schedule = new FaultSchedule(world, planned);
    world.onPhase = (phase) => {
      this.#schedule.onPhase(phase);
      if (phase === 'preparing') this.#withdrawWhatIsFilled();
    };
  }

  get faultsStruck(): number {
    return this.#schedule.struck;
  }

  play(): void {
    const { scheduler } = this.#world;
    this.#world.start();
    this.#planWishes();
    scheduler.after(course.overdue, () => this.#schedule.strikeOverdue());
    this.#runUntil(course.heal);
    this.#world.log(() => 'HEALED: nothing goes wrong from here on');
    this.#schedule.heal();
    this.#settle();
    this.#askOnceMore();
    if (scheduler.nowMs < course.end) this.#runUntil(course.end);
  }

  #runUntil(atMs: number): void {
    const { scheduler } = this.#world;
    while (scheduler.step(atMs));
  }

  #ask(wish: Wish): void {
    if (wish.kind === 'rebalance' || wish.kind === 'rollback') this.swapsAsked += 1;
    this.#world.operator.askTwice(wish, inDoubtMs);
  }

  /** What operators and planners want in this run. */
  #planWishes(): void {
    const random = this.#random;
    const { scheduler } = this.#world;
    const at = (wish: Wish, fromMs = 20_000) => {
      const span = course.heal - 30_000 - fromMs;
      scheduler.after(fromMs + random.next() * span, () => this.#ask(wish));
    };
    const rebalances = swapsAskedMin + random.integer(5);
    for (let count = 0; count < rebalances; count += 1) {
      at({ kind: 'rebalance', automatic: random.next() < 0.5 });
    }
    const rank = random.integer(this.#world.numRanks);
    if (random.next() < 0.25) at({ kind: 'rollback' }, 120_000);
    if (random.next() < 0.15) at({ kind: 'leave', rank }, 60_000);
    else if (random.next() < 0.2) {
      at({ kind: 'drain', rank }, 60_000);
      if (random.next() < 0.5) at({ kind: 'undrain', rank }, 250_000);
    }
    if (random.next() < 0.1) at({ kind: 'pause' });
    this.#planElasticity();
  }

  /** Ranks that offer fewer slots for a while, and such as leave by themselves. */
  #planElasticity(): void {
    const random = this.#random;
    const { scheduler, numRanks, offers } = this.#world;
    const between = (fromMs: number, untilMs: number, act: () => void) =>
      scheduler.after(fromMs + random.next() * (untilMs - fromMs), act);
    const rank = random.integer(numRanks);
    if (random.next() < 0.4) {
      const slots = random.next() < 0.8 ? 1 : 0;
      between(30_000, 300_000, () => this.#offer(rank, slots));
      if (random.next() < 0.6) between(300_000, course.heal, () => this.#offer(rank, null));
    } else if (random.next() < 0.1) {
      offers.set(rank, 1);
    } else if (random.next() < 0.15) {
      between(60_000, 300_000, () => this.#ask({ kind: 'limit-slots', rank, slots: 1 }));
      between(300_000, course.heal - 30_000, () => {
        this.#ask({ kind: 'limit-slots', rank, slots: null });
      });
    }
    this.#withdrawsOnTheWay = random.next() < 0.1;
    if (random.next() < 0.3) {
      const leaver = random.integer(numRanks);
      const byEngine = random.next() < 0.4;
      between(60_000, 440_000, () => this.#leave(leaver, byEngine));
    }
  }

  #offer(rank: number, slots: number | null): void {
    const { offers, engines } = this.#world;
    if (slots === null) offers.delete(rank);
    else offers.set(rank, slots);
    for (const engine of engines) {
      const runs = engine.rank === rank && engine.process.alive && !engine.process.paused;
      if (runs && engine.phase === 'running') engine.offer(slots);
    }
  }

  #withdrawWhatIsFilled(): void {
    const { operator, offers, scheduler } = this.#world;
    const role = operator.leader?.state.role;
    const mapping = role?.kind === 'leading' ? role.leader.mapping : null;
    const target = role?.kind === 'leading' ? role.leader.swap.open?.mapping : null;
    if (!this.#withdrawsOnTheWay || mapping === null || target == null) return;
    if (scheduler.nowMs > course.faultsUntil || offers.size > 0) return;
    const index = target.physicalToLogical.findIndex((expert, at) => {
      const slot = at % mapping.numPhysicalExperts;
      const isFirst = slot === mapping.slotOffsets[mapping.rankOfSlot(slot)];
      return expert >= 0 && !isFirst && expert !== mapping.physicalToLogical[at];
    });
    if (index < 0) return;
    this.#withdrawsOnTheWay = false;
    const rank = mapping.rankOfSlot(index % mapping.numPhysicalExperts);
    this.#offer(rank, 1);
    scheduler.after(60_000, () => this.#offer(rank, null));
  }

  #leave(rank: number, byEngine: boolean): void {
    const { agents, engines, scheduler, situations } = this.#world;
    if (!byEngine) {
      agents.find((agent) => agent.rank === rank)?.leave();
      return;
    }
    const engine = engines.find((one) => one.rank === rank && one.routes && !one.process.paused);
    if (engine === undefined) return;
    situations.count('told to leave: engine');
    const { life } = engine.process;
    engine.wantToLeave(true);
    scheduler.after(leaveDeadlineMs, () => {
      if (engine.process.alive && engine.process.life === life) engine.wantToLeave(false);
    });
  }

  #settle(): void {
    const { scheduler } = this.#world;
    const untilMs = scheduler.nowMs + course.settleWithin;
    for (;;) {
      const missing = unsettled(this.#world);
      if (missing === null) return;
      if (scheduler.nowMs >= untilMs) {
        throw new RuleViolation(
          'L1',
          `not settled ${course.settleWithin} ms after healing: ${missing}`,
        );
      }
      this.#runUntil(Math.min(untilMs, scheduler.nowMs + course.settlePoll));
    }
  }

  /** Liveness: what is asked for once all is well is done. */
  #askOnceMore(): void {
    const { operator } = this.#world;
    const accepted = operator.swapsAccepted;
    // What holds balancing up is lifted first.
    this.#ask({ kind: 'resume' });
    for (const rank of operator.leader?.control?.drained ?? []) {
      this.#ask({ kind: 'undrain', rank });
    }
    for (const { rank } of operator.leader?.control?.slotLimits ?? []) {
      this.#ask({ kind: 'limit-slots', rank, slots: null });
    }
    this.#ask({ kind: 'rebalance', automatic: false });
    const { scheduler } = this.#world;
    const untilMs = scheduler.nowMs + course.settleWithin;
    while (operator.swapsAccepted === accepted || unsettled(this.#world) !== null) {
      if (scheduler.nowMs >= untilMs) {
        const missing = unsettled(this.#world) ?? 'it was never accepted';
        throw new RuleViolation('L1', `a swap asked for after healing is not done: ${missing}`);
      }
      this.#runUntil(Math.min(untilMs, scheduler.nowMs + course.settlePoll));
    }
  }
}
