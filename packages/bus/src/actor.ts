import { IsobarError } from '@isobar/protocol';

export interface ActorOptions<State, Event, Effect> {
  readonly name: string;
  readonly initial: State;
  /** A pure machine: the same arguments always give the same result. */
  readonly step: (
    state: State,
    event: Event,
    nowMs: number,
  ) => { readonly state: State; readonly effects: readonly Effect[] };
  /**
   * Carries an effect out. Awaited before the next effect, and before the next event: what takes
   * long is started here and sends its result as an event.
   */
  readonly perform: (effect: Effect) => void | Promise<void>;
  /** The actor has stopped: its state may no longer match what it has done. */
  readonly onFailure: (error: IsobarError) => void;
  /** Monotonic clock. @default performance.now */
  readonly now?: () => number;
  /** Events that may wait. @default 1,024 */
  readonly mailboxMax?: number;
}

/** Handled events that are kept before their memory is freed. */
const compactedAt = 4_096;

/** A serial, bounded mailbox over a pure machine. */
export class Actor<State, Event, Effect> {
  readonly #options: ActorOptions<State, Event, Effect>;
  /** Those before `#next` have been handled: an array this long is not shifted one by one. */
  #mailbox: Event[] = [];
  #next = 0;
  #state: State;
  #dropped = 0;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(options: ActorOptions<State, Event, Effect>) {
    this.#options = options;
    this.#state = options.initial;
  }

  get state(): State {
    return this.#state;
  }

  /** Events refused because the mailbox was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Events that wait. */
  get waiting(): number {
    return this.#mailbox.length - this.#next;
  }

  /** @returns false where the actor has stopped or its mailbox is full: the event is dropped */
  send(event: Event): boolean {
    if (this.#stopped) return false;
    if (this.waiting >= (this.#options.mailboxMax ?? 1_024)) {
      this.#dropped += 1;
      return false;
    }
    this.#mailbox.push(event);
    this.#running ??= this.#run();
    return true;
  }

  /** Resolves once every event sent so far has been handled. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  /** Handles nothing further; an effect under way ends by itself. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#clear();
    await this.idle();
  }

  async #run(): Promise<void> {
    // The sender goes on first: an event never takes effect inside `send`.
    await Promise.resolve();
    for (let event = this.#take(); event !== undefined; event = this.#take()) {
      try {
        await this.#handle(event);
      } catch (cause) {
        this.#fail(cause);
      }
    }
    this.#running = null;
  }

  #take(): Event | undefined {
    const event = this.#mailbox[this.#next];
    this.#next += 1;
    if (this.#next >= this.#mailbox.length) this.#clear();
    else if (this.#next === compactedAt) {
      this.#mailbox = this.#mailbox.slice(compactedAt);
      this.#next = 0;
    }
    return event;
  }

  #clear(): void {
    this.#mailbox = [];
    this.#next = 0;
  }

  async #handle(event: Event): Promise<void> {
    const { step, perform, now = () => performance.now() } = this.#options;
    const { state, effects } = step(this.#state, event, now());
    this.#state = state;
    for (const effect of effects) {
      const performed = perform(effect);
      if (performed instanceof Promise) await performed;
      if (this.#stopped) return;
    }
  }

  #fail(cause: unknown): void {
    this.#stopped = true;
    this.#clear();
    const { name } = this.#options;
    const message = `actor ${name} has stopped: ${cause instanceof Error ? cause.message : String(cause)}`;
    const error = new IsobarError('ISOBAR_BUS_ACTOR_FAILED', message, { actor: name }, { cause });
    this.#options.onFailure(error);
  }
}
