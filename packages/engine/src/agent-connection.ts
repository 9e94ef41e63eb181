import type { Socket } from 'node:net';
import { decode, encode, IsobarError } from '@isobar/protocol';
import {
  type EngineMessage,
  type EngineRequest,
  engineRequestSchema,
  messageCharactersMax,
} from './engine-messages.js';
import { encodeFrame, FrameReader, frameBytesMax } from './frame.js';
import { type AgentGreeting, agentGreetingSchema, greetingBytesMax } from './greeting.js';

export interface AgentConnectionOptions {
  /** Connections that came later have higher numbers. */
  readonly number: number;
  /** Who has not greeted by then is refused. */
  readonly greetingDeadlineMs: number;
  readonly onGreeting: (connection: AgentConnection, greeting: AgentGreeting) => void;
  readonly onRequest: (connection: AgentConnection, request: EngineRequest) => void;
  /** Nothing more is read from it, for what the agent has sent or has not; it is told why. */
  readonly onRefused: (connection: AgentConnection, error: IsobarError) => void;
  readonly onClosed: (connection: AgentConnection, error: Error | null) => void;
}

/** Unsent bytes above which the agent is taken for dead, and its connection ended. */
const backlogBytesMax = 64 * 1024 * 1024;
/** Who is no longer wanted has so long to read why. */
const goodbyeMs = 5_000;

/**
 * One connection that an agent has dialled, as its engine sees it. What came before the greeting,
 * and what comes after a goodbye, has no effect.
 */
export class AgentConnection {
  readonly #options: AgentConnectionOptions;
  readonly #socket: Socket;
  #timer: NodeJS.Timeout;
  #greeting: AgentGreeting | null = null;
  #leaving = false;

  constructor(socket: Socket, options: AgentConnectionOptions) {
    this.#options = options;
    this.#socket = socket;
    const { greetingDeadlineMs } = options;
    socket.setNoDelay(true);
    this.#timer = setTimeout(() => {
      const text = `no greeting came within ${greetingDeadlineMs} ms`;
      this.refuse(new IsobarError('ISOBAR_ENGINE_TIMEOUT', text, { greetingDeadlineMs }));
    }, greetingDeadlineMs);
    const reader = new FrameReader((body) => {
      this.#receive(body);
      reader.bytesMax = frameBytesMax;
    }, greetingBytesMax);
    socket.on('data', (chunk) => {
      if (!this.#leaving) this.#read(reader, chunk);
    });
    let failure: Error | null = null;
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => {
      clearTimeout(this.#timer);
      options.onClosed(this, failure);
    });
  }

  get number(): number {
    return this.#options.number;
  }

  /** The id of the agent's process, null before its greeting. */
  get agent(): string | null {
    return this.#greeting?.agent ?? null;
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  send(message: EngineMessage): void {
    if (!this.#socket.writable) return;
    this.#socket.write(encodeFrame(encode(message)));
    if (this.unsentBytes <= backlogBytesMax) return;
    this.#socket.destroy(new IsobarError('ISOBAR_ENGINE_AGENT_STALLED', 'the agent reads nothing'));
  }

  /** Says why the agent is not served, and ends the connection. */
  refuse(error: IsobarError): void {
    if (this.#leaving) return;
    const message = error.message.slice(0, messageCharactersMax);
    this.leave({ schema: 1, kind: 'refused', code: error.code, message });
    this.#options.onRefused(this, error);
  }

  /** The last message; what the agent still sends is read by nobody. */
  leave(message: EngineMessage): void {
    if (this.#leaving) return;
    this.send(message);
    this.#leaving = true;
    this.#socket.end();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket.destroy(), goodbyeMs);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(reader: FrameReader, chunk: Uint8Array): void {
    try {
      reader.push(chunk);
    } catch (error) {
      if (error instanceof IsobarError) this.refuse(error);
      else this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #receive(body: Uint8Array): void {
    if (this.#leaving) return;
    if (this.#greeting !== null) {
      this.#options.onRequest(this, decode('engine request', body, engineRequestSchema));
      return;
    }
    this.#greeting = decode('agent greeting', body, agentGreetingSchema);
    clearTimeout(this.#timer);
    this.#options.onGreeting(this, this.#greeting);
  }
}
