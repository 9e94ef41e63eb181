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
  /** Bytes that waiting events may have together, as their senders tell. @default 64 MiB */
  readonly mailboxBytesMax?: number;
}

/** As much as the largest message that a server can be set to take. */
const mailboxBytesDefault = 67_108_864;

interface Waiting<Event> {
  readonly event: Event;
  readonly bytes: number;
}

/** Handled events that are kept before their memory is freed. */
const compactedAt = 4_096;

/** A serial, bounded mailbox over a pure machine. */
export class Actor<State, Event, Effect> {
  readonly #options: ActorOptions<State, Event, Effect>;
  /** Those before `#next` have been handled: an array this long is not shifted one by one. */
  #mailbox: Waiting<Event>[] = [];
  #next = 0;
  #waitingBytes = 0;
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

  /** Bytes of the events that wait. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * @param bytes of the message that the event was read from; 0 for what this process says itself
   * @returns false where the actor has stopped or its mailbox is full: the event is dropped
   */
  send(event: Event, bytes = 0): boolean {
    if (this.#stopped) return false;
    if (this.#isFullFor(bytes)) {
      this.#dropped += 1;
      return false;
    }
    this.#mailbox.push({ event, bytes });
    this.#waitingBytes += bytes;
    this.#running ??= this.#run();
    return true;
  }

  #isFullFor(bytes: number): boolean {
    const { mailboxMax = 1_024, mailboxBytesMax = mailboxBytesDefault } = this.#options;
    if (this.waiting >= mailboxMax) return true;
    return bytes > 0 && this.#waitingBytes + bytes > mailboxBytesMax;
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
    const taken = this.#mailbox[this.#next];
    this.#next += 1;
    this.#waitingBytes -= taken?.bytes ?? 0;
    if (this.#next >= this.#mailbox.length) this.#clear();
    else if (this.#next === compactedAt) {
      this.#mailbox = this.#mailbox.slice(compactedAt);
      this.#next = 0;
    }
    return taken?.event;
  }

  #clear(): void {
    this.#mailbox = [];
    this.#next = 0;
    this.#waitingBytes = 0;
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
