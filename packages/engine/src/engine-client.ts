import { connect, type Socket } from 'node:net';
import { decode, type EngineState, encode, IsobarError, type LoadSample } from '@isobar/protocol';
import { type EngineAddress, formatEngineAddress } from './address.js';
import {
  type EngineCommandMessage,
  type EngineHello,
  type EngineMessage,
  engineMessageSchema,
} from './engine-messages.js';
import { encodeFrame, FrameReader } from './frame.js';
import { type AgentIdentity, portVersions } from './greeting.js';

export interface EngineClientOptions {
  readonly address: EngineAddress;
  readonly identity: AgentIdentity;
  readonly onHello: (hello: EngineHello) => void;
  readonly onLoad: (sample: LoadSample) => void;
  readonly onProgress: (version: number, staged: number, total: number) => void;
  readonly onActivated: (state: EngineState) => void;
  /** The engine's state is another than before, though nothing was asked of it. */
  readonly onChanged: (state: EngineState) => void;
  /** Agent `by` has connected later; this one dials no more. If it was served, `onLost` comes first. */
  readonly onReplaced: (by: string) => void;
  /**
   * The engine does not serve this agent, with the engine's code; told once for each code until
   * an engine does. It is dialled again.
   */
  readonly onRefused: (error: IsobarError) => void;
  /** The connection is gone, after a hello; it is dialled again. */
  readonly onLost: () => void;
  /** Told of what can't be read, and once per outage that nobody listens. */
  readonly onError: (error: IsobarError) => void;
  /** Wait between two attempts to connect. @default 200 */
  readonly redialMs?: number;
  /** Wait after a refusal. @default 5,000 */
  readonly refusedRedialMs?: number;
  /** An engine that has not said hello this long after the connection is left. @default 5,000 */
  readonly helloDeadlineMs?: number;
}

export type CommandOutcome =
  | { readonly ok: true; readonly state: EngineState }
  /**
   * The engine's own refusal, `explicit`; otherwise ISOBAR_ENGINE_DISCONNECTED,
   * ISOBAR_ENGINE_TIMEOUT or ISOBAR_ENGINE_BUSY, and nothing is known of the command's effect.
   */
  | { readonly ok: false; readonly explicit: boolean; readonly error: IsobarError };

type Refused = Extract<EngineMessage, { readonly kind: 'refused' }>;
type Replaced = Extract<EngineMessage, { readonly kind: 'replaced' }>;
type Settle = (outcome: CommandOutcome) => void;

/** Commands under way at once. */
const pendingMax = 64;
/** Codes of refusals that are told before an engine serves this agent. */
const refusalsToldMax = 16;

/** The agent's end of the port: dials its engine, and again whenever the engine is gone. */
export class EngineClient {
  readonly #options: EngineClientOptions;
  readonly #pending = new Map<number, Settle>();
  #socket: Socket | null = null;
  #greeted = false;
  #redial: NodeJS.Timeout | null = null;
  #helloDeadline: NodeJS.Timeout | null = null;
  #outageTold = false;
  #stopped = true;
  #replacedBy: string | null = null;
  #refusal: IsobarError | null = null;
  readonly #refusalsTold = new Set<string>();
  #nextId = 0;

  constructor(options: EngineClientOptions) {
    this.#options = options;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#replacedBy = null;
    this.#dial();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#redial !== null) clearTimeout(this.#redial);
    this.#socket?.destroy();
  }

  /** Leaves the connection and dials again: everything begins anew, with a hello. */
  reset(): void {
    this.#socket?.destroy();
  }

  /**
   * Tells the outcome once, in the order in which the engine's messages came: a state told by
   * one of them is never older than the state before it.
   */
  command(command: EngineCommandMessage, timeoutMs: number, settle: Settle): void {
    const socket = this.#socket;
    if (socket === null || !this.#greeted) {
      settle(unknownEffect(this.#disconnected()));
      return;
    }
    if (this.#pending.size >= pendingMax) {
      const text = `${pendingMax} commands are already with the engine`;
      settle(unknownEffect(new IsobarError('ISOBAR_ENGINE_BUSY', text, { pendingMax })));
      return;
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const deadline = setTimeout(() => {
      const text = `the engine has not answered ${command.kind} within ${timeoutMs} ms`;
      const fields = { command: command.kind, timeoutMs };
      this.#settle(id, unknownEffect(new IsobarError('ISOBAR_ENGINE_TIMEOUT', text, fields)));
    }, timeoutMs);
    this.#pending.set(id, (outcome) => {
      clearTimeout(deadline);
      settle(outcome);
    });
    socket.write(encodeFrame(encode({ schema: 1, id, command })));
  }

  #settle(id: number, outcome: CommandOutcome): void {
    const settle = this.#pending.get(id);
    this.#pending.delete(id);
    settle?.(outcome);
  }

  #disconnected(cause?: unknown): IsobarError {
    const address = formatEngineAddress(this.#options.address);
    const text = `no engine is connected at ${address}`;
    return new IsobarError('ISOBAR_ENGINE_DISCONNECTED', text, { address }, { cause });
  }

  #dial(): void {
    const socket = connect(this.#options.address);
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('connect', () => {
      const greeting = { schema: 1, kind: 'greeting', ...this.#options.identity, portVersions };
      socket.write(encodeFrame(encode(greeting)));
      const deadlineMs = this.#options.helloDeadlineMs ?? 5_000;
      this.#helloDeadline = setTimeout(() => {
        const text = `the engine has not said hello within ${deadlineMs} ms`;
        socket.destroy(new IsobarError('ISOBAR_ENGINE_TIMEOUT', text, { deadlineMs }));
      }, deadlineMs);
    });
    const reader = new FrameReader((body) => this.#receive(body));
    socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    let failure: unknown;
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => this.#onClose(failure));
  }

  #onClose(failure: unknown): void {
    const wasGreeted = this.#greeted;
    const refusal = this.#refusal;
    this.#socket = null;
    this.#greeted = false;
    this.#refusal = null;
    if (this.#helloDeadline !== null) clearTimeout(this.#helloDeadline);
    const outcome = unknownEffect(this.#disconnected(failure));
    for (const id of [...this.#pending.keys()]) this.#settle(id, outcome);
    if (this.#stopped) return;
    if (this.#replacedBy !== null) {
      this.#stopped = true;
      if (wasGreeted) this.#options.onLost();
      this.#options.onReplaced(this.#replacedBy);
      return;
    }
    if (wasGreeted) this.#options.onLost();
    if (refusal !== null) this.#tellRefusal(refusal);
    else this.#tellOutage(failure);
    const { redialMs = 200, refusedRedialMs = 5_000 } = this.#options;
    const waitMs = refusal === null ? redialMs : refusedRedialMs;
    this.#redial = setTimeout(() => this.#dial(), waitMs);
  }

  #tellOutage(failure: unknown): void {
    if (this.#outageTold) return;
    this.#outageTold = true;
    this.#options.onError(this.#disconnected(failure));
  }

  #tellRefusal(refusal: IsobarError): void {
    if (this.#refusalsTold.size >= refusalsToldMax || this.#refusalsTold.has(refusal.code)) return;
    this.#refusalsTold.add(refusal.code);
    this.#options.onRefused(refusal);
  }

  #receive(body: Uint8Array): void {
    const message = decode('engine message', body, engineMessageSchema);
    if (message.kind === 'hello') this.#onHello(message);
    else if (message.kind === 'refused') this.#onRefused(message);
    else if (message.kind === 'replaced') this.#onReplaced(message.by);
    // Before its hello an engine has nothing else to say that could be understood.
    else if (this.#greeted) this.#onMessage(message);
  }

  #onHello(hello: EngineHello): void {
    if (this.#helloDeadline !== null) clearTimeout(this.#helloDeadline);
    this.#greeted = true;
    this.#outageTold = false;
    this.#refusalsTold.clear();
    this.#options.onHello(hello);
  }

  #onRefused({ code, message }: Refused): void {
    this.#refusal = new IsobarError(code, message);
    this.#socket?.destroy();
  }

  #onReplaced(by: string): void {
    this.#replacedBy = by;
    this.#socket?.destroy();
  }

  #onMessage(message: Exclude<EngineMessage, EngineHello | Refused | Replaced>): void {
    switch (message.kind) {
      case 'load':
        this.#options.onLoad(message.sample);
        return;
      case 'progress':
        this.#options.onProgress(message.version, message.staged, message.total);
        return;
      case 'activated':
        this.#options.onActivated(message.state);
        return;
      case 'changed':
        this.#options.onChanged(message.state);
        return;
      case 'result':
        this.#settle(message.id, message.ok ? message : refusal(message));
        return;
      case 'stopping':
        this.#socket?.end();
        return;
    }
  }
}

function unknownEffect(error: IsobarError): CommandOutcome {
  return { ok: false, explicit: false, error };
}

function refusal(result: { readonly code: string; readonly message: string }): CommandOutcome {
  return { ok: false, explicit: true, error: new IsobarError(result.code, result.message) };
}
