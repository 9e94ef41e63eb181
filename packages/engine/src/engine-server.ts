import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import {
  type EngineDescription,
  type EngineState,
  IsobarError,
  type LoadSample,
} from '@isobar/protocol';
import type { EngineAddress } from './address.js';
import { AgentConnection } from './agent-connection.js';
import {
  type EngineCommandMessage,
  type EngineRequest,
  messageCharactersMax,
} from './engine-messages.js';
import { type AgentGreeting, admitAgent } from './greeting.js';

export interface EngineServerOptions {
  readonly address: EngineAddress;
  readonly hello: () => { readonly description: EngineDescription; readonly state: EngineState };
  /**
   * Carries a command out. The answer is the state at the moment it is sent, so that states
   * reach the agent in the order in which they were; an IsobarError that it throws is the
   * refusal. Commands are handed over as they come, the next before one has ended.
   */
  readonly handle: (command: EngineCommandMessage) => void | Promise<void>;
  /**
   * Told of agents' connections that broke, and of agents that were refused or replaced; of one
   * that is refused again and again for the same reason once, until another is served.
   */
  readonly onError: (error: IsobarError) => void;
  /** Who has not greeted so long after it connected is refused. @default 5,000 */
  readonly greetingDeadlineMs?: number;
}

/** Unsent bytes above which load samples are left out: the next carries their counts too. */
const loadBacklogBytesMax = 1024 * 1024;
/** Connections that have not greeted yet or are being ended; beyond, the oldest is cut. */
const strangersMax = 16;

/**
 * The engine's end of the port. It serves one agent, of those that it admits the one that connected
 * last; an engine without an agent serves on (rule L2).
 */
export class EngineServer {
  readonly #options: EngineServerOptions;
  readonly #server: Server;
  /** Not greeted yet, refused, or replaced. */
  readonly #strangers = new Set<AgentConnection>();
  #agent: AgentConnection | null = null;
  #accepted = 0;
  #refusalTold = '';

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
    if ((this.#agent?.unsentBytes ?? 0) > loadBacklogBytesMax) return;
    this.#agent?.send({ schema: 1, kind: 'load', sample });
  }

  sendProgress(version: number, staged: number, total: number): void {
    this.#agent?.send({ schema: 1, kind: 'progress', version, staged, total });
  }

  sendActivated(state: EngineState): void {
    this.#agent?.send({ schema: 1, kind: 'activated', state });
  }

  /** Tells that broken peers, standing or outcomes have changed without the agent's doing. */
  sendChanged(state: EngineState): void {
    this.#agent?.send({ schema: 1, kind: 'changed', state });
  }

  /** Says goodbye to the agent and listens no more. */
  async close(): Promise<void> {
    this.#agent?.leave({ schema: 1, kind: 'stopping' });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const stranger of this.#strangers) stranger.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#accepted += 1;
    const connection = new AgentConnection(socket, {
      number: this.#accepted,
      greetingDeadlineMs: this.#options.greetingDeadlineMs ?? 5_000,
      onGreeting: (greeted, greeting) => this.#onGreeting(greeted, greeting),
      onRequest: (asking, request) => this.#onRequest(asking, request),
      onRefused: (refused, error) => this.#onRefused(refused, error),
      onClosed: (closed, error) => this.#onClosed(closed, error),
    });
    this.#estrange(connection);
  }

  #estrange(connection: AgentConnection): void {
    this.#strangers.add(connection);
    const [oldest] = this.#strangers;
    if (this.#strangers.size > strangersMax) oldest?.destroy();
  }

  /** @throws IsobarError the refusal */
  #onGreeting(connection: AgentConnection, greeting: AgentGreeting): void {
    const { description, state } = this.#options.hello();
    const portVersion = admitAgent(greeting, description);
    const serving = this.#agent;
    // The newest agent wins (rule S3), by when it connected: greetings may come in another order.
    if (serving !== null && serving.number > connection.number) {
      this.#replace(connection, serving);
      return;
    }
    this.#strangers.delete(connection);
    this.#agent = connection;
    this.#refusalTold = '';
    if (serving !== null) this.#replace(serving, connection);
    connection.send({ schema: 1, kind: 'hello', portVersion, description, state });
  }

  #replace(older: AgentConnection, newer: AgentConnection): void {
    const { agent } = older;
    const by = newer.agent;
    this.#estrange(older);
    if (by === null) return;
    older.leave({ schema: 1, kind: 'replaced', by });
    if (agent === by) return;
    const text = `agent ${by} connected later than agent ${agent}, and is served instead`;
    this.#options.onError(new IsobarError('ISOBAR_AGENT_REPLACED', text, { agent, by }));
  }

  #onRefused(connection: AgentConnection, error: IsobarError): void {
    if (this.#agent === connection) {
      this.#agent = null;
      this.#estrange(connection);
    }
    const told = `${error.code} ${error.message}`;
    if (told === this.#refusalTold) return;
    this.#refusalTold = told;
    this.#options.onError(error);
  }

  #onClosed(connection: AgentConnection, cause: Error | null): void {
    const isStranger = this.#strangers.delete(connection);
    if (this.#agent === connection) this.#agent = null;
    // Whose connection breaks before it has a say is nobody that this engine serves.
    if (cause === null || isStranger) return;
    const text = `the agent's connection has ended: ${cause.message}`;
    this.#options.onError(new IsobarError('ISOBAR_ENGINE_DISCONNECTED', text, {}, { cause }));
  }

  #onRequest(connection: AgentConnection, { id, command }: EngineRequest): void {
    const result = { schema: 1, kind: 'result', id } as const;
    const answer = () =>
      connection.send({ ...result, ok: true, state: this.#options.hello().state });
    const refuse = (cause: unknown) => {
      const known = cause instanceof IsobarError ? cause : internal(command.kind, cause);
      if (known !== cause) this.#options.onError(known);
      const message = known.message.slice(0, messageCharactersMax);
      connection.send({ ...result, ok: false, code: known.code, message });
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
