import type { Bus, BusMessage } from '@isobar/bus';
import {
  decode,
  decodeMapRecord,
  decodeProposal,
  type Fence,
  leaderRecordSchema,
  type MapRecord,
  outcomeMessageSchema,
  prepareSchema,
  type RankReport,
  rankReportSchema,
  recordsBucket,
  retireSchema,
  type SwapState,
  subjectsOf,
  swapStateSchema,
} from '@isobar/protocol';
import { z } from 'zod';
import { awaitServer } from './await-server.js';
import { NotSeenError } from './not-seen-error.js';
import { laterPhase, type SeenPhase } from './swap-phase.js';

const eventSchema = z.looseObject({ at: z.number(), kind: z.string() });
export type AuditEvent = z.infer<typeof eventSchema>;

export interface Heartbeat {
  /** On `performance`'s clock. */
  readonly atMs: number;
  readonly state: SwapState;
}

/**
 * Everything that a deployment tells on its bus, heard by every server: what one that is killed or
 * paused keeps back comes by another.
 */
export class ClusterWatch {
  readonly deployment: string;
  readonly heartbeats: Heartbeat[] = [];
  readonly events: AuditEvent[] = [];
  /** The newest of each rank. */
  readonly reports = new Map<number, RankReport>();
  /** Outcomes told to ranks, by version: two for one version would break rule S1. */
  readonly outcomes = new Map<number, Map<string, MapRecord>>();
  readonly #buses: Bus[];
  readonly #eventsSeen = new Set<string>();
  readonly #holders = new Map<string, string>();
  readonly #waiting = new Set<() => void>();
  #phase: SeenPhase | null = null;

  private constructor(deployment: string, buses: Bus[]) {
    this.deployment = deployment;
    this.#buses = buses;
    this.#listen();
  }

  static async connect(deployment: string, servers: readonly string[]): Promise<ClusterWatch> {
    const connected = servers.map((server, index) => awaitServer(server, `chaos watch ${index}`));
    const buses = await Promise.all(connected);
    const watch = new ClusterWatch(deployment, buses);
    await Promise.all(buses.map((bus) => bus.flush()));
    return watch;
  }

  #listen(): void {
    const subjects = subjectsOf(this.deployment);
    const records = `$KV.${recordsBucket(this.deployment)}`;
    const hear = <T>(
      subject: string,
      read: (payload: Uint8Array) => T,
      take: (message: T) => void,
    ) => {
      const readOnce = readingOnce(read);
      for (const bus of this.#buses) {
        bus.subscribe(subject, (message) => {
          take(readOnce(message));
          for (const wake of [...this.#waiting]) wake();
        });
      }
    };
    hear(subjects.swap('prepare'), readPrepare, ({ fence, version }) =>
      this.#show({ fence, version, phase: 'preparing' }),
    );
    // The write itself, before any server has acknowledged it.
    hear(`${records}.map.*`, decodeMapRecord, ({ fence, version }) =>
      this.#show({ fence, version, phase: 'deciding' }),
    );
    hear(subjects.swap('outcome'), readOutcome, (outcome) => this.#onOutcome(outcome));
    hear(subjects.swap('retire'), readerOf('retire', retireSchema), ({ fence, version }) =>
      this.#show({ fence, version, phase: 'retiring' }),
    );
    hear(subjects.swap('state'), readerOf('swap state', swapStateSchema), (state) => {
      const highest = this.leading?.state.fence.term ?? 0;
      if (state.fence.term < highest) return;
      this.heartbeats.push({ atMs: performance.now(), state });
      const { fence, open, decidedUpTo } = state;
      if (open === null) this.#show({ fence, version: decidedUpTo, phase: 'idle' });
    });
    hear(subjects.report('*'), readerOf('rank report', rankReportSchema), (report) => {
      this.reports.set(report.rank, report);
    });
    hear(subjects.event('>'), readerOf('event', eventSchema), (event) => this.#onEvent(event));
    hear(`${records}.leader`, readerOf('leader record', leaderRecordSchema), (record) => {
      if (record.holder !== null) this.#holders.set(keyOf(record.fence), record.holder);
    });
  }

  #onOutcome({ fence, record }: { readonly fence: Fence; readonly record: MapRecord }): void {
    const { version, outcome } = record;
    this.#show({ fence, version, phase: outcome === 'void' ? 'discarding' : 'activating' });
    const told = this.outcomes.get(version) ?? new Map<string, MapRecord>();
    told.set(outcome === 'void' ? 'void' : record.digest, record);
    this.outcomes.set(version, told);
  }

  #onEvent(event: AuditEvent): void {
    const text = JSON.stringify(event);
    if (this.#eventsSeen.has(text)) return;
    this.#eventsSeen.add(text);
    this.events.push(event);
  }

  #show(shown: SeenPhase): void {
    this.#phase = laterPhase(this.#phase, shown);
  }

  /** Newest phase of the newest swap. */
  get phase(): SeenPhase | null {
    return this.#phase;
  }

  /** Newest sign of life of the newest leader. */
  get leading(): Heartbeat | null {
    return this.heartbeats.at(-1) ?? null;
  }

  /** Name of the process that leads; null where its claim was not seen. */
  get holder(): string | null {
    const { leading } = this;
    return leading === null ? null : (this.#holders.get(keyOf(leading.state.fence)) ?? null);
  }

  /** Whether a version was told as committed that is above `after` and not above `upTo`. */
  committedBetween(after: number, upTo: number): boolean {
    for (const [version, told] of this.outcomes) {
      if (version > after && version <= upTo && !told.has('void')) return true;
    }
    return false;
  }

  /** Connections, one for each server. */
  get buses(): readonly Bus[] {
    return this.#buses;
  }

  /**
   * Asks `probe` now and after each message, until it gives something.
   * @throws NotSeenError saying what did not happen, and what was seen last
   */
  async until<T>(what: string, probe: () => T | null, deadlineMs: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    let wake: () => void = () => undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        timer = setTimeout(() => {
          reject(new NotSeenError(`not within ${deadlineMs} ms: ${what}; ${this.summary()}`));
        }, deadlineMs);
        wake = () => {
          try {
            const found = probe();
            if (found !== null) resolve(found);
          } catch (cause) {
            reject(cause);
          }
        };
        this.#waiting.add(wake);
        wake();
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(wake);
    }
  }

  /** One line on what has been seen last. */
  summary(): string {
    const { phase, leading, holder } = this;
    const ranks = [...this.reports.values()]
      .sort((left, right) => left.rank - right.rank)
      .map(({ rank, engine }) =>
        engine === null
          ? `${rank}: no engine`
          : `${rank}: ${engine.standing} at ${engine.mappingVersion}/${engine.committedVersion}/${engine.retiredUpTo}, ${engine.freeBuffers} free`,
      );
    const silentMs = leading === null ? null : Math.round(performance.now() - leading.atMs);
    return [
      `leader ${holder} of term ${leading?.state.fence.term}, last heard ${silentMs} ms ago`,
      `newest ${leading?.state.newest.version}, open ${leading?.state.open}`,
      `seen ${phase?.phase} of ${phase?.version}`,
      `ranks (routing by/committed/retired) ${ranks.join('; ')}`,
      `last events ${this.events
        .slice(-4)
        .map((event) => JSON.stringify(event))
        .join(' ')}`,
    ].join('; ');
  }

  async close(): Promise<void> {
    await Promise.all(this.#buses.map((bus) => bus.close()));
  }
}

/** What one server tells, the others tell too: of a subject, what is told again is read once. */
function readingOnce<T>(read: (payload: Uint8Array) => T): (message: BusMessage) => T {
  const newest = new Map<string, { readonly payload: Uint8Array; readonly message: T }>();
  return ({ subject, payload }) => {
    const last = newest.get(subject);
    if (last !== undefined && Buffer.compare(last.payload, payload) === 0) return last.message;
    const message = read(payload);
    newest.set(subject, { payload, message });
    return message;
  };
}

function readerOf<T>(what: string, schema: z.ZodType<T>): (payload: Uint8Array) => T {
  return (payload) => decode(what, payload, schema);
}

function readPrepare(payload: Uint8Array): { readonly fence: Fence; readonly version: number } {
  const { fence, proposal } = decode('prepare', payload, prepareSchema);
  return { fence, version: decodeProposal(proposal).version };
}

function readOutcome(payload: Uint8Array): { readonly fence: Fence; readonly record: MapRecord } {
  const { fence, record } = decode('outcome', payload, outcomeMessageSchema);
  return { fence, record: decodeMapRecord(record) };
}

function keyOf({ term, nonce }: Fence): string {
  return `${term}.${nonce}`;
}
