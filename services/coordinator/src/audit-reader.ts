import type { EventStream, StoredEvent } from '@isobar/bus';
import { type AuditEvent, auditEventSchema, decode, IsobarError } from '@isobar/protocol';

export type KeptEvent = AuditEvent & { readonly sequence: number };

export interface KeptEvents {
  /** Newest last. */
  readonly events: readonly KeptEvent[];
  readonly searched: number;
  readonly isComplete: boolean;
  /** Older ones are before it; null where there are none. */
  readonly next: number | null;
}

export interface EventSearch {
  /** All where absent. */
  readonly matches?: (event: KeptEvent) => boolean;
  /** Of events before this sequence. */
  readonly before?: number | undefined;
}

/** Events looked through for those that a question means. */
const searchedMax = 4_096;
/** Questions that read at the same time; each event is a question to the server. */
const readersMax = 4;

/** Reads events of the audit trail for operators' questions, within limits. */
export class AuditReader {
  readonly #stream: Pick<EventStream, 'read'>;
  readonly #bytesMax: number;
  #readers = 0;

  /** @param bytesMax of the events of one answer, as JSON */
  constructor(stream: Pick<EventStream, 'read'>, bytesMax: number) {
    this.#stream = stream;
    this.#bytesMax = bytesMax;
  }

  /**
   * The newest events, or of those that are looked through all that match.
   * @throws IsobarError ISOBAR_COORDINATOR_BUSY, those of `EventStream.read`
   */
  async newest(last: number, search: EventSearch = {}): Promise<KeptEvents> {
    if (this.#readers >= readersMax) {
      const text = `${this.#readers} questions read events already`;
      throw new IsobarError('ISOBAR_COORDINATOR_BUSY', text, { waiting: this.#readers });
    }
    this.#readers += 1;
    try {
      return await this.#read(last, search);
    } finally {
      this.#readers -= 1;
    }
  }

  async #read(last: number, { matches, before }: EventSearch): Promise<KeptEvents> {
    const found: KeptEvent[] = [];
    let searched = 0;
    let first = 0;
    const most = matches === undefined ? last : searchedMax;
    const range = { last: most, follow: false, ...(before === undefined ? {} : { before }) };
    for await (const stored of this.#stream.read(range)) {
      if (searched === 0) first = stored.sequence;
      searched += 1;
      const event = readEvent(stored);
      if (event !== null && (matches === undefined || matches(event))) found.push(event);
    }
    const fitting = this.#fitting(found.slice(-last));
    const sawAll = matches === undefined || searched < searchedMax || first <= 1;
    const isWhole = fitting.length === found.length;
    // One that fits into no answer is left out: the next question must come past it.
    const oldestTold = fitting[0] ?? found.at(-1);
    const oldest = isWhole ? first : (oldestTold?.sequence ?? first);
    const isAtEnd = isWhole && searched < most;
    return {
      events: fitting,
      searched,
      isComplete: sawAll && isWhole,
      next: isAtEnd || oldest <= 1 ? null : oldest,
    };
  }

  /** The newest that fit into one answer. */
  #fitting(events: readonly KeptEvent[]): readonly KeptEvent[] {
    let bytes = 0;
    const tooMany = events.findLastIndex((event) => {
      bytes += Buffer.byteLength(JSON.stringify(event));
      return bytes > this.#bytesMax;
    });
    return events.slice(tooMany + 1);
  }
}

/** Null where it is none: whoever may write events is not trusted to write good ones. */
function readEvent({ payload, sequence }: StoredEvent): KeptEvent | null {
  try {
    return { ...decode('event', payload, auditEventSchema), sequence };
  } catch (error) {
    if (error instanceof IsobarError) return null;
    throw error;
  }
}
