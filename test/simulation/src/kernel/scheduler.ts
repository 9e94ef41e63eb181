import { EventQueue, type QueuedEvent } from './event-queue.js';
import type { VirtualProcess } from './virtual-process.js';

interface ScheduledEvent extends QueuedEvent {
  /** Null: it happens to the world, and nobody's death or pause stops it. */
  readonly process: VirtualProcess | null;
  /** The life that it is for; `anyLife` for what finds whoever runs by then. */
  readonly life: number;
  readonly run: () => void;
}

const anyLife = -1;

export interface SchedulerHooks {
  /** After every event, with all that it caused done. */
  readonly afterEvent: () => void;
  readonly onCrash: (process: VirtualProcess) => void;
}

/** Virtual time: runs what is queued, in order, and lets processes die or stand still. */
export class Scheduler {
  readonly #queue = new EventQueue<ScheduledEvent>();
  #hooks: SchedulerHooks = { afterEvent: () => {}, onCrash: () => {} };
  #order = 0;
  nowMs = 0;
  eventsRun = 0;

  setHooks(hooks: SchedulerHooks): void {
    this.#hooks = hooks;
  }

  /** After so many virtual milliseconds, to the world itself. */
  after(delayMs: number, run: () => void): void {
    this.#push(delayMs, null, anyLife, run);
  }

  /** After so many virtual milliseconds, to this life of the process. */
  toLife(process: VirtualProcess, delayMs: number, run: () => void): void {
    this.#push(delayMs, process, process.life, run);
  }

  /** After so many virtual milliseconds, to whichever life of the process there is then. */
  toAny(process: VirtualProcess, delayMs: number, run: () => void): void {
    this.#push(delayMs, process, anyLife, run);
  }

  /** A timer of the process, by its own clock. */
  timer(process: VirtualProcess, localDelayMs: number, run: () => void): void {
    this.#push(localDelayMs / process.clockRate, process, process.life, run);
  }

  #push(delayMs: number, process: VirtualProcess | null, life: number, run: () => void): void {
    this.#order += 1;
    this.#queue.push({ atMs: this.nowMs + delayMs, order: this.#order, process, life, run });
  }

  /** Runs one event, if there is one up to `untilMs`. */
  step(untilMs: number): boolean {
    const next = this.#queue.peek();
    if (next === undefined || next.atMs > untilMs) {
      this.nowMs = untilMs;
      return false;
    }
    this.#queue.pop();
    this.nowMs = next.atMs;
    const { process } = next;
    if (process === null) next.run();
    else if (!this.#deliver(process, next)) return true;
    this.eventsRun += 1;
    this.#hooks.afterEvent();
    return true;
  }

  #deliver(process: VirtualProcess, event: ScheduledEvent): boolean {
    if (!process.alive || (event.life !== anyLife && event.life !== process.life)) return false;
    if (process.paused) {
      process.held.push(event);
      return false;
    }
    event.run();
    return true;
  }

  /** Does a step's effects one by one; the process may die or stand still between two of them. */
  perform<E>(
    process: VirtualProcess,
    effects: readonly E[],
    performOne: (effect: E) => void,
  ): void {
    const { life } = process;
    for (let index = 0; index < effects.length; index += 1) {
      const effect = effects[index];
      if (process.interruption !== null && this.#interrupt(process)) {
        if (process.life !== life || !process.alive) return;
        const rest = effects.slice(index);
        process.held.unshift({ life, run: () => this.perform(process, rest, performOne) });
        return;
      }
      if (effect !== undefined) performOne(effect);
      if (process.life !== life || !process.alive) return;
    }
  }

  /** Strikes the process if its moment has come. */
  #interrupt(process: VirtualProcess): boolean {
    const { interruption } = process;
    if (interruption === null) return false;
    interruption.effectsLeft -= 1;
    if (interruption.effectsLeft > 0) return false;
    process.interruption = null;
    if (interruption.pauseMs === null) this.crash(process);
    else this.pause(process, interruption.pauseMs);
    return true;
  }

  /** A process that was dead runs from now on. */
  start(process: VirtualProcess): void {
    process.life += 1;
    process.alive = true;
    process.paused = false;
    process.held = [];
    process.interruption = null;
  }

  crash(process: VirtualProcess): void {
    if (!process.alive) return;
    process.alive = false;
    process.life += 1;
    process.paused = false;
    process.held = [];
    process.interruption = null;
    this.#hooks.onCrash(process);
  }

  /** Stands still; what comes meanwhile waits, in order. */
  pause(process: VirtualProcess, pauseMs: number): void {
    if (!process.alive || process.paused) return;
    process.paused = true;
    const { life } = process;
    this.after(pauseMs, () => {
      if (process.alive && process.life === life) this.resume(process);
    });
  }

  resume(process: VirtualProcess): void {
    process.paused = false;
    for (;;) {
      const next = process.held.shift();
      if (next === undefined) return;
      if (next.life === anyLife || next.life === process.life) next.run();
      this.#hooks.afterEvent();
      if (process.paused || !process.alive) return;
    }
  }
}
