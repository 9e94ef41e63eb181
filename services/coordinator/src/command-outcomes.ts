import { type CommandRequest, type ControlRecord, IsobarError } from '@isobar/protocol';

interface Waiting {
  readonly id: string;
  readonly settle: (request: CommandRequest | null) => void;
  readonly fail: (error: IsobarError) => void;
}

/** Beyond it nobody is kept waiting: the answer is that it is running. */
const waitingMax = 1_024;

/** Those who wait for what becomes of a command. */
export class CommandOutcomes {
  readonly #waiting = new Set<Waiting>();

  /**
   * The command as it is kept once it is done; null where it is not by then.
   * @throws IsobarError ISOBAR_COORDINATOR_DEPOSED where this leadership ends first
   */
  async settled(id: string, waitMs: number): Promise<CommandRequest | null> {
    if (waitMs === 0 || this.#waiting.size >= waitingMax) return null;
    let timer: NodeJS.Timeout | undefined;
    let waiting: Waiting | undefined;
    try {
      return await new Promise((resolve, reject) => {
        waiting = { id, settle: resolve, fail: reject };
        this.#waiting.add(waiting);
        timer = setTimeout(() => resolve(null), waitMs);
      });
    } finally {
      clearTimeout(timer);
      if (waiting !== undefined) this.#waiting.delete(waiting);
    }
  }

  /** The record was written. */
  onControl({ requests }: ControlRecord): void {
    for (const { id, settle } of [...this.#waiting]) {
      const request = requests.find((candidate) => candidate.id === id);
      // Forgotten for newer ones: it had been done.
      if (request === undefined || request.outcome !== null) settle(request ?? null);
    }
  }

  onDeposed(why: string): void {
    const text = `the leadership ended (${why}): the next leader tells, asked with the same request id`;
    for (const { fail } of [...this.#waiting]) {
      fail(new IsobarError('ISOBAR_COORDINATOR_DEPOSED', text, { inDoubt: true }));
    }
  }
}
