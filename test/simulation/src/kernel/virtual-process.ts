/** Who may fail. A server is one of the three of the NATS cluster. */
export type ProcessKind = 'coordinator' | 'agent' | 'engine' | 'server';

/** Where in a step a process is struck: once so many of the step's effects are done. */
export interface Interruption {
  effectsLeft: number;
  /** Null: the process dies; else it stands still for this long, mid-step. */
  readonly pauseMs: number | null;
}

/** Something that waits for a process that stands still. */
export interface Held {
  readonly life: number;
  readonly run: () => void;
}

/**
 * A process of the world: it lives, dies and starts again, may stand still, and has a clock of its
 * own that runs a little too fast or too slow.
 */
export class VirtualProcess {
  readonly kind: ProcessKind;
  readonly index: number;
  readonly name: string;
  /** Drawn up at each start: what was meant for an earlier life never reaches a later one. */
  life = 0;
  alive = false;
  paused = false;
  held: Held[] = [];
  interruption: Interruption | null = null;
  /** Local milliseconds that pass in a virtual one. */
  readonly clockRate: number;
  readonly #clockOffsetMs: number;

  constructor(kind: ProcessKind, index: number, clockRate: number, clockOffsetMs: number) {
    this.kind = kind;
    this.index = index;
    this.name = `${kind} ${index}`;
    this.clockRate = clockRate;
    this.#clockOffsetMs = clockOffsetMs;
  }

  /** What the process reads on its monotonic clock. */
  localMs(nowMs: number): number {
    return this.#clockOffsetMs + nowMs * this.clockRate;
  }
}
