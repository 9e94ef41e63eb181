import type { Bus, BusHandler, CommandEndpoint, StoredRecord } from '@isobar/bus';
import { IsobarError } from '@isobar/protocol';

interface Subscription {
  readonly pattern: string;
  readonly tokens: readonly string[];
  readonly handle: BusHandler;
}

type Respond = (payload: Uint8Array) => void;

/** A bus within the process, for many of its users: what a NATS server and its store do, without either. */
export class MemoryBus {
  readonly connected = true;
  readonly maxPayloadBytes = 1_048_576;
  readonly server = 'memory';
  readonly records = new Map<string, StoredRecord>();
  readonly events: { readonly subject: string; readonly payload: Uint8Array }[] = [];
  endpoints: readonly CommandEndpoint[] = [];
  /** What handlers threw: with a real bus, an error that is told as a bug. */
  readonly failures: unknown[] = [];
  /** Newest messages by subject. */
  readonly published = new Map<string, Uint8Array[]>();
  readonly #subscriptions = new Set<Subscription>();
  #revision = 0;

  /** As the services know it. */
  get bus(): Bus {
    return this as unknown as Bus;
  }

  /** Patterns that somebody listens on. */
  get patterns(): string[] {
    return [...new Set([...this.#subscriptions].map(({ pattern }) => pattern))];
  }

  /** Subjects of which no message fits, with how many have been refused. */
  readonly tooLarge = new Map<string, number>();

  publish(subject: string, payload: Uint8Array): boolean {
    const refused = this.tooLarge.get(subject);
    if (refused !== undefined) {
      this.tooLarge.set(subject, refused + 1);
      throw failed('ISOBAR_BUS_PAYLOAD_TOO_LARGE', subject);
    }
    const kept = this.published.get(subject) ?? [];
    this.published.set(subject, [...kept, payload].slice(-keptMax));
    this.inject(subject, payload, () => undefined);
    return true;
  }

  /** As from a client that may publish anywhere. */
  inject(subject: string, payload: Uint8Array, respond: Respond): number {
    const tokens = subject.split('.');
    const heard = [...this.#subscriptions].filter((of) => matches(of.tokens, tokens));
    for (const { handle } of heard) this.#hand(handle, subject, payload, respond);
    return heard.length;
  }

  #hand(handle: BusHandler, subject: string, payload: Uint8Array, respond: Respond): void {
    const message = {
      subject,
      payload,
      respond: (answer: Uint8Array) => {
        respond(answer);
        return true;
      },
    };
    try {
      const handled = handle(message);
      if (handled instanceof Promise) handled.catch((cause) => this.failures.push(cause));
    } catch (cause) {
      this.failures.push(cause);
    }
  }

  subscribe(pattern: string, handle: BusHandler): { unsubscribe(): void } {
    const subscription = { pattern, tokens: pattern.split('.'), handle };
    this.#subscriptions.add(subscription);
    return { unsubscribe: () => this.#subscriptions.delete(subscription) };
  }

  /** What the attacker answers in a process's place, null where it leaves the answer to it. */
  answerInstead: (subject: string) => Uint8Array | null = () => null;

  request(subject: string, payload: Uint8Array): Promise<Uint8Array> {
    const forged = this.answerInstead(subject);
    if (forged !== null) return Promise.resolve(forged);
    const kept = this.published.get(subject) ?? [];
    this.published.set(subject, [...kept, payload].slice(-keptMax));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(failed('ISOBAR_BUS_TIMEOUT', subject)), 1_000);
      const respond = (answer: Uint8Array) => {
        clearTimeout(timer);
        const answers = this.published.get(`answer to ${subject}`) ?? [];
        this.published.set(`answer to ${subject}`, [...answers, answer].slice(-keptMax));
        resolve(answer);
      };
      if (this.inject(subject, payload, respond) > 0) return;
      clearTimeout(timer);
      reject(failed('ISOBAR_BUS_NO_RESPONDERS', subject));
    });
  }

  openRecords(): Promise<unknown> {
    return Promise.resolve({
      get: (key: string) => Promise.resolve(this.records.get(key) ?? null),
      keys: (prefix: string) =>
        Promise.resolve([...this.records.keys()].filter((key) => key.startsWith(prefix))),
      getAll: (keys: readonly string[]) =>
        Promise.resolve(keys.flatMap((key) => this.records.get(key) ?? [])),
      purge: (key: string) => {
        this.records.delete(key);
        return Promise.resolve();
      },
      compareAndSet: (key: string, value: Uint8Array, expected: number) =>
        Promise.resolve(this.#set(key, value, expected)),
      createOnce: (key: string, value: Uint8Array) => {
        const result = this.#set(key, value, 0);
        if (result.kind === 'set') return Promise.resolve({ kind: 'created' });
        return Promise.resolve({ kind: 'exists', value: this.records.get(key)?.value });
      },
    });
  }

  #set(key: string, value: Uint8Array, expected: number) {
    if ((this.records.get(key)?.revision ?? 0) !== expected) return { kind: 'conflict' } as const;
    this.#revision += 1;
    this.records.set(key, { key, value, revision: this.#revision });
    return { kind: 'set', revision: this.#revision } as const;
  }

  openEventStream(): Promise<unknown> {
    return Promise.resolve({
      ensure: () => Promise.resolve(),
      append: (subject: string, payload: Uint8Array) => {
        this.events.push({ subject, payload });
        if (this.events.length > eventsMax) this.events.shift();
        return Promise.resolve();
      },
      read: async function* () {},
    });
  }

  serveCommands(_: unknown, endpoints: readonly CommandEndpoint[]): Promise<unknown> {
    this.endpoints = endpoints;
    return Promise.resolve({ stop: () => Promise.resolve() });
  }

  leaveServer(): Promise<void> {
    return Promise.resolve();
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }
}

const keptMax = 4;
const eventsMax = 4_096;

function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  if (pattern.length !== subject.length) return false;
  return pattern.every((token, index) => token === '*' || token === subject[index]);
}

function failed(code: string, subject: string): IsobarError {
  return new IsobarError(code, `${subject}: ${code}`, { subject });
}
