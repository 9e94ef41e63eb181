import { setTimeout as delay } from 'node:timers/promises';
import {
  type AuditEvent,
  auditEventSchema,
  type ChangeAnswer,
  decode,
  IsobarError,
  subjectsOf,
} from '@isobar/protocol';
import { followChange } from '../commands/follow-change.js';
import { type CoordinatorClient, isLeaderless } from '../coordinator-client.js';
import { errorCodeOf, exitCodes } from '../exit-codes.js';
import { FullScreen } from '../terminal/full-screen.js';
import { onInterruption } from '../terminal/on-interruption.js';
import type { Paint } from '../terminal/paint.js';
import { renderTop } from './render-top.js';
import { initialTop, type TopState, withEvents, withKey, withStatus } from './top-state.js';

const historyAsked = 50;

export interface TopOptions {
  readonly deployment: string;
  readonly intervalMs: number;
  readonly paint: Paint;
}

/** One look, for `--once`. @throws IsobarError where nobody answers */
export async function lookOnce(client: CoordinatorClient, deployment: string): Promise<TopState> {
  const status = await client.ask('status', {});
  const events = await readEvents(client);
  const state = withStatus(initialTop(deployment, Date.now()), status, Date.now());
  return withEvents(state, events);
}

/** None where no event has been stored yet. */
async function readEvents(client: CoordinatorClient): Promise<readonly AuditEvent[]> {
  try {
    return (await client.ask('history', { last: historyAsked })).events;
  } catch (error) {
    if (errorCodeOf(error) === 'ISOBAR_BUS_NO_STREAM') return [];
    throw error;
  }
}

/** The live view: asks at intervals, one question at a time, and draws whatever has changed. */
export class TopView {
  readonly #client: CoordinatorClient;
  readonly #options: TopOptions;
  readonly #ended = new AbortController();
  readonly #screen: FullScreen;
  #state: TopState;
  /** What `y` would do now. */
  #asked: 'pause' | 'resume' | null = null;
  #exitCode: number = exitCodes.ok;

  constructor(client: CoordinatorClient, options: TopOptions) {
    this.#client = client;
    this.#options = options;
    this.#state = initialTop(options.deployment, Date.now());
    this.#screen = new FullScreen({
      onKey: (key) => this.#onKey(key),
      onResize: () => this.#draw(),
    });
  }

  /** @returns the exit code, once somebody has ended it */
  async run(): Promise<number> {
    const stopListening = onInterruption(() => this.#end(exitCodes.interrupted));
    const subject = subjectsOf(this.#options.deployment).event('>');
    const subscription = this.#client.bus.subscribe(subject, ({ payload }) =>
      this.#onEvent(payload),
    );
    try {
      await this.#refresh();
      return this.#exitCode;
    } finally {
      subscription.unsubscribe();
      stopListening();
      this.#screen.close();
    }
  }

  /** What no question of this view could be answered with. */
  onError({ code, message }: IsobarError): void {
    this.#say(`${code}: ${message}`);
  }

  async #refresh(): Promise<void> {
    const { signal } = this.#ended;
    let knowsHistory = false;
    while (!signal.aborted) {
      try {
        const status = await this.#client.ask('status', {});
        this.#set(withStatus(this.#state, status, Date.now()));
        if (!knowsHistory) {
          const seen = this.#state.events;
          const kept = await readEvents(this.#client);
          const latest = kept.at(-1)?.at ?? 0;
          const newer = seen.filter(({ at }) => at > latest);
          this.#set(withEvents({ ...this.#state, events: kept }, newer));
          knowsHistory = true;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#onFailure(error);
      }
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    const { signal } = this.#ended;
    await delay(this.#options.intervalMs, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** What a person can wait out is shown; anything else ends the view. */
  #onFailure(error: unknown): void {
    const { bus } = this.#client;
    let trouble: string;
    if (!bus.connected) trouble = 'no connection to NATS: connecting again';
    else if (isLeaderless(error)) trouble = `nobody leads: ${messageOf(error)}`;
    else if (error instanceof IsobarError) trouble = `${error.code}: ${error.message}`;
    else throw error;
    this.#set({ ...this.#state, trouble, nowMs: Date.now() });
  }

  #onEvent(payload: Uint8Array): void {
    const event = decode('event', payload, auditEventSchema);
    this.#set(withEvents(this.#state, [event]));
  }

  #onKey(key: string): void {
    if (key === 'q' || key === 'interrupt') {
      this.#end(key === 'q' ? exitCodes.ok : exitCodes.interrupted);
    } else if (this.#asked !== null) {
      this.#onAnswer(this.#asked, key);
    } else if (key === 'p') {
      this.#run(this.#askPause());
    } else {
      const page = Math.max(1, Math.floor(this.#screen.rows / 2));
      const next = withKey({ ...this.#state, prompt: null }, key, page);
      if (next !== null) this.#set(next);
    }
  }

  /** Shows what it would do before it asks, as any command that changes something. */
  async #askPause(): Promise<void> {
    const name = this.#state.status?.paused === true ? 'resume' : 'pause';
    const preview = await this.#client.ask(name, { dryRun: true });
    if (preview.outcome === 'would-be-refused') {
      this.#say(`${name} would be refused: ${preview.reason}`);
      return;
    }
    this.#asked = name;
    this.#say(`${name}: ${preview.reason}. Apply? [y/N]`);
  }

  #onAnswer(name: 'pause' | 'resume', key: string): void {
    this.#asked = null;
    if (key === 'y' || key === 'Y') this.#run(this.#apply(name));
    else this.#say('nothing was changed');
  }

  async #apply(name: 'pause' | 'resume'): Promise<void> {
    const requestId = `top-${crypto.randomUUID()}`;
    const options = { waitMsMax: 0, onRunning: () => undefined, signal: this.#ended.signal };
    const answer: ChangeAnswer = await followChange(this.#client, name, { requestId }, options);
    this.#say(`${name}: ${answer.outcome ?? 'running'}`);
  }

  #run(act: Promise<void>): void {
    act.catch((error: unknown) => this.#say(messageOf(error)));
  }

  #say(prompt: string): void {
    this.#set({ ...this.#state, prompt });
  }

  #end(exitCode: number): void {
    this.#exitCode = exitCode;
    this.#ended.abort();
  }

  #set(state: TopState): void {
    this.#state = state;
    this.#draw();
  }

  #draw(): void {
    const { columns, rows } = this.#screen;
    this.#screen.draw(renderTop(this.#state, { columns, rows }, this.#options.paint));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
