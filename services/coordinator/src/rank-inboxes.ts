/** What ranks send without being asked. */
export type RankMessageKind = 'vote' | 'report' | 'load';

export interface RankMessage {
  readonly kind: RankMessageKind;
  readonly subject: string;
  readonly payload: Uint8Array;
}

export interface RankInboxesOptions {
  /** Reads one message. */
  readonly read: (message: RankMessage) => void;
  /** Too many of its kind wait for their turn: it is not read. */
  readonly onDropped: (message: RankMessage) => void;
  readonly onFailure: (cause: unknown) => void;
}

/** Messages of one rank that may wait; of reports the newest says all. */
const waitingMax: Readonly<Record<RankMessageKind, number>> = { vote: 16, report: 1, load: 64 };

/** Reads the messages of ranks by turns, one of each: who sends many delays only his own. */
export class RankInboxes {
  readonly #options: RankInboxesOptions;
  readonly #waiting = new Map<number, RankMessage[]>();
  #turn: NodeJS.Immediate | null = null;

  constructor(options: RankInboxesOptions) {
    this.#options = options;
  }

  /** @param rank one of the deployment's */
  add(rank: number, message: RankMessage): void {
    const before = this.#waiting.get(rank) ?? [];
    const { kind } = message;
    const waiting = kind === 'report' ? before.filter((other) => other.kind !== kind) : before;
    if (waiting.filter((other) => other.kind === kind).length >= waitingMax[kind]) {
      this.#options.onDropped(message);
      return;
    }
    waiting.push(message);
    this.#waiting.set(rank, waiting);
    this.#turn ??= setImmediate(() => this.#takeTurns());
  }

  /** What waits is not read any more. */
  clear(): void {
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#turn = null;
    this.#waiting.clear();
  }

  /** One message of each rank; then whatever else the process has to do. */
  #takeTurns(): void {
    this.#turn = null;
    const { read, onFailure } = this.#options;
    for (const [rank, waiting] of [...this.#waiting]) {
      const message = waiting.shift();
      if (waiting.length === 0) this.#waiting.delete(rank);
      try {
        if (message !== undefined) read(message);
      } catch (cause) {
        onFailure(cause);
      }
    }
    if (this.#waiting.size > 0) this.#turn ??= setImmediate(() => this.#takeTurns());
  }
}
