import {
  adviceOn,
  IsobarError,
  kindOfSubject,
  type MessageKind,
  messageBytesMax,
  type RefusalCount,
  RefusalCounter,
  RefusalEpisodes,
  type RefusalTelling,
  refusalReasonOf,
} from '@isobar/protocol';

/** Where refusals are told; a logger of packages/telemetry is one. */
export interface RefusalLogger {
  warn(fields: Readonly<Record<string, unknown>>, text: string): void;
  info(fields: Readonly<Record<string, unknown>>, text: string): void;
}

export interface IntakeOptions {
  readonly deployment: string;
  readonly logger: RefusalLogger;
  /** Between two tellings of refusals that go on. @default 60,000 */
  readonly periodMs?: number;
  /** Monotonic clock. @default performance.now */
  readonly now?: () => number;
}

const source = 'self';

/**
 * Lets well-formed messages in. All that a process does not take, and all that the server does not
 * permit it, is counted here, dropped, and told: a sender of rubbish must not fill the log.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #counter = new RefusalCounter();
  readonly #episodes: RefusalEpisodes;
  /** By kind and reason, until it is told. */
  readonly #newest = new Map<string, IsobarError>();

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#episodes = new RefusalEpisodes({ periodMs: options.periodMs ?? 60_000 });
  }

  /** Messages refused so far. */
  get refused(): number {
    return this.#counter.total;
  }

  /** Of kinds and reasons that were refused lately, the totals. */
  recent(): RefusalCount[] {
    return this.#episodes.open.map(({ kind, reason, count }) => ({ kind, reason, count }));
  }

  /** @returns null where `read` refuses with an IsobarError; any other error is thrown on */
  read<T>(kind: MessageKind, payload: Uint8Array, read: () => T): T | null {
    try {
      assertSize(kind, payload);
      return read();
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      this.refuse(kind, error);
      return null;
    }
  }

  /** A message was not taken. */
  refuse(kind: MessageKind, error: IsobarError): void {
    const reason = refusalReasonOf(error);
    const total = this.#counter.note(kind, reason);
    this.#newest.set(`${kind} ${reason}`, error);
    this.#tell(this.#episodes.observe(source, [total], this.#nowMs()));
  }

  /** @returns whether it was a refusal; all else is for the caller to tell */
  takeBusError(error: IsobarError): boolean {
    const { code, fields } = error;
    if (code === 'ISOBAR_BUS_NO_INBOX') this.refuse('command', error);
    else if (code === 'ISOBAR_BUS_NOT_PERMITTED') {
      this.refuse(kindOfSubject(this.#options.deployment, String(fields.subject)), error);
    } else return false;
    return true;
  }

  /** To be called again and again: tells what goes on, and what has stopped. */
  tick(): void {
    this.#tell(this.#episodes.tick(this.#nowMs()));
  }

  #nowMs(): number {
    return this.#options.now?.() ?? performance.now();
  }

  #tell(tellings: readonly RefusalTelling[]): void {
    for (const { phase, kind, reason, since, count } of tellings) {
      const { logger } = this.#options;
      const fields = { message: kind, reason, since, count };
      if (phase === 'ended') {
        logger.info(fields, 'messages are refused no more');
        continue;
      }
      const key = `${kind} ${reason}`;
      const text = phase === 'began' ? 'message refused' : 'messages are still refused';
      logger.warn({ ...fields, todo: adviceOn(reason), err: this.#newest.get(key) }, text);
      this.#newest.delete(key);
    }
  }
}

function assertSize(kind: MessageKind, { byteLength: bytes }: Uint8Array): void {
  const bytesMax = messageBytesMax[kind] ?? Number.POSITIVE_INFINITY;
  if (bytes <= bytesMax) return;
  const text = `a message of the kind ${kind} has ${bytes} bytes, at most ${bytesMax} are taken`;
  throw new IsobarError('ISOBAR_PROTOCOL_TOO_LARGE', text, { field: '', bytes, bytesMax });
}
