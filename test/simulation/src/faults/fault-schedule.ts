import type { LeaderPhase } from '../phases.js';
import type { World } from '../world.js';
import type { FaultClock, PlannedFault } from './fault.js';

interface Ending {
  readonly end: () => void;
  done: boolean;
}

/** Strikes planned faults when their time or phase comes, and ends them all at the healing. */
export class FaultSchedule implements FaultClock {
  readonly #world: World;
  #waiting: PlannedFault[] = [];
  readonly #endings: Ending[] = [];
  #healed = false;
  struck = 0;

  constructor(world: World, planned: readonly PlannedFault[]) {
    this.#world = world;
    for (const plan of planned) {
      if (plan.phase === null) world.scheduler.after(plan.notBeforeMs, () => this.#strike(plan));
      else this.#waiting.push(plan);
    }
  }

  /** A leader has entered a phase. */
  onPhase(phase: LeaderPhase): void {
    if (this.#waiting.length === 0) return;
    const { nowMs } = this.#world.scheduler;
    const due = this.#waiting.find((plan) => plan.phase === phase && plan.notBeforeMs <= nowMs);
    if (due === undefined) return;
    this.#waiting = this.#waiting.filter((plan) => plan !== due);
    this.#world.scheduler.after(due.delayMs, () => this.#strike(due));
  }

  #strike({ fault }: PlannedFault): void {
    if (this.#healed) return;
    this.struck += 1;
    this.#world.log(() => `FAULT: ${fault.name}`);
    fault.strike(this.#world, this);
  }

  /** Faults whose phase never came strike now, so that a run has as many as it planned. */
  strikeOverdue(): void {
    const overdue = this.#waiting;
    this.#waiting = [];
    for (const plan of overdue) this.#strike(plan);
  }

  later(delayMs: number, end: () => void): void {
    const ending: Ending = { end, done: false };
    this.#endings.push(ending);
    this.#world.scheduler.after(delayMs, () => finish(ending));
  }

  next(delayMs: number, strike: () => void): void {
    this.#world.scheduler.after(delayMs, () => {
      if (!this.#healed) strike();
    });
  }

  /** Nothing goes wrong any more, and what was broken is mended. */
  heal(): void {
    this.#healed = true;
    this.#waiting = [];
    for (const ending of this.#endings) finish(ending);
    for (const process of this.#world.processes) process.interruption = null;
  }
}

function finish(ending: Ending): void {
  if (ending.done) return;
  ending.done = true;
  ending.end();
}
