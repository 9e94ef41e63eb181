import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import {
  decode,
  type EngineDescription,
  type EngineState,
  encode,
  IsobarError,
  type LoadSample,
} from '@isobar/protocol';
import type { EngineAddress } from './address.js';
import {
  type EngineCommandMessage,
  type EngineMessage,
  engineRequestSchema,
} from './engine-messages.js';
import { encodeFrame, FrameReader } from './frame.js';

export interface EngineServerOptions {
  readonly address: EngineAddress;
  readonly hello: () => { readonly description: EngineDescription; readonly state: EngineState };
  /**
   * Carries a command out. The answer is the state at the moment it is sent, so that states
   * reach the agent in the order in which they were; an IsobarError that it throws is the
   * refusal. Commands are handed over as they come, the next before one has ended.
   */
  readonly handle: (command: EngineCommandMessage) => void | Promise<void>;
  /** Told of agents' connections that broke or were refused. */
  readonly onError: (error: IsobarError) => void;
}

/** Unsent bytes above which load samples are left out: the next carries their counts too. */
const loadBacklogBytesMax = 1024 * 1024;
/** Unsent bytes above which the agent is taken for dead, and its connection ended. */
const backlogBytesMax = 64 * 1024 * 1024;

/**
 * The engine's end of the port. It serves one agent, the one that connected last; an engine
 * without an agent serves on (rule L2).
 */
export class EngineServer {
  readonly #options: EngineServerOptions;
  readonly #server: Server;
  #agent: Socket | null = null;
  /** The agent before, until it has read that it is no longer wanted. */
  #replaced: Socket | null = null;

  private constructor(options: EngineServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @throws IsobarError ISOBAR_ENGINE_LISTEN */
  static async listen(options: EngineServerOptions): Promise<EngineServer> {
    const engine = new EngineServer(options);
    const { address } = options;
    // A socket file left by a process that was killed would refuse the address.
    if ('path' in address) rmSync(address.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      engine.#server.once('error', (cause) => {
        const text = `can't listen for agents: ${cause.message}`;
        reject(new IsobarError('ISOBAR_ENGINE_LISTEN', text, { ...address }, { cause }));
      });
      engine.#server.listen(address, resolve);
    });
    return engine;
  }

  get hasAgent(): boolean {
    return this.#agent !== null;
  }

  sendLoad(sample: LoadSample): void {
    if ((this.#agent?.writableLength ?? 0) > loadBacklogBytesMax) return;
    this.#tell({ schema: 1, kind: 'load', sample });
  }

  sendProgress(version: number, staged: number, total: number): void {
    this.#tell({ schema: 1, kind: 'progress', version, staged, total });
  }

  sendActivated(state: EngineState): void {
    this.#tell({ schema: 1, kind: 'activated', state });
  }

  /** Tells that broken peers, standing or outcomes have changed without the agent's doing. */
  sendChanged(state: EngineState): void {
    this.#tell({ schema: 1, kind: 'changed', state });
  }

  /** Says goodbye to the agent and listens no more. */
  async close(): Promise<void> {
    this.#tell({ schema: 1, kind: 'stopping' });
    this.#agent?.end();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#agent?.destroySoon();
    this.#replaced?.destroy();
    await closed;
  }

  #tell(message: EngineMessage): void {
    if (this.#agent !== null) this.#send(this.#agent, message);
  }

  #send(socket: Socket, message: EngineMessage): void {
    if (!socket.writable) return;
    socket.write(encodeFrame(encode(message)));
    if (socket.writableLength > backlogBytesMax) {
      this.#end(socket, new IsobarError('ISOBAR_ENGINE_AGENT_STALLED', 'the agent reads nothing'));
    }
  }

  #accept(socket: Socket): void {
    // The newest agent wins (rule S3): an older one may be a process that nobody watches.
    this.#replace();
    this.#agent = socket;
    socket.setNoDelay(true);
    const reader = new FrameReader((body) => this.#receive(socket, body));
    socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.#end(socket, error);
      }
    });
    socket.on('error', (error) => this.#end(socket, error));
    socket.on('close', () => {
      if (this.#agent === socket) this.#agent = null;
    });
    this.#send(socket, { schema: 1, kind: 'hello', ...this.#options.hello() });
  }

  #replace(): void {
    this.#replaced?.destroy();
    this.#replaced = this.#agent;
    this.#tell({ schema: 1, kind: 'replaced' });
    this.#agent?.destroySoon();
  }

  #end(socket: Socket, cause: unknown): void {
    const message = cause instanceof Error ? cause.message : String(cause);
    const text = `the agent's connection has ended: ${message}`;
    this.#options.onError(new IsobarError('ISOBAR_ENGINE_DISCONNECTED', text, {}, { cause }));
    socket.destroy();
  }

  #receive(socket: Socket, body: Uint8Array): void {
    // What an agent that has been replaced still had under way has no effect.
    if (this.#agent !== socket) return;
    const { id, command } = decode('engine request', body, engineRequestSchema);
    const answer = () => {
      const { state } = this.#options.hello();
      this.#send(socket, { schema: 1, kind: 'result', id, ok: true, state });
    };
    const refuse = (cause: unknown) => {
      const known = cause instanceof IsobarError ? cause : internal(command.kind, cause);
      if (known !== cause) this.#options.onError(known);
      const { code, message } = known;
      this.#send(socket, {
        schema: 1,
        kind: 'result',
        id,
        ok: false,
        code,
        message: message.slice(0, 2_000),
      });
    };
    try {
      const handled = this.#options.handle(command);
      if (handled instanceof Promise) handled.then(answer, refuse);
      else answer();
    } catch (cause) {
      refuse(cause);
    }
  }
}

function internal(command: string, cause: unknown): IsobarError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const text = `the engine failed at ${command}: ${message}`;
  return new IsobarError('ISOBAR_ENGINE_FAILED', text, { command }, { cause });
}
