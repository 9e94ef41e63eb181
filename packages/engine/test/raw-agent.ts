import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type EngineMessage, encodeFrame, engineMessageSchema, FrameReader } from '@isobar/engine';
import { decode, encode } from '@isobar/protocol';

/** An agent that says what a test wants, byte by byte. */
export class RawAgent {
  readonly #socket: Socket;
  readonly #heard: EngineMessage[] = [];
  readonly #closed: Promise<unknown>;
  #onHeard: () => void = () => undefined;

  private constructor(path: string) {
    this.#socket = connect(path);
    this.#socket.on('error', () => undefined);
    this.#closed = new Promise((resolve) => this.#socket.once('close', resolve));
    const reader = new FrameReader((body) => {
      this.#heard.push(decode('engine message', body, engineMessageSchema));
      this.#onHeard();
    });
    this.#socket.on('data', (chunk) => reader.push(chunk));
  }

  static async connect(path: string): Promise<RawAgent> {
    const agent = new RawAgent(path);
    await once(agent.#socket, 'connect');
    return agent;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  say(message: Readonly<Record<string, unknown>>): void {
    this.write(encodeFrame(encode({ schema: 1, ...message })));
  }

  greet(fields: Readonly<Record<string, unknown>> = {}): void {
    const greeting = { deployment: 'test', rank: 0, agent: 'a'.repeat(16), portVersions: [1, 1] };
    this.say({ kind: 'greeting', ...greeting, ...fields });
  }

  /** Resolves with the first message heard of that kind. */
  async hears(kind: EngineMessage['kind']): Promise<EngineMessage> {
    for (;;) {
      const message = this.#heard.find((heard) => heard.kind === kind);
      if (message !== undefined) return message;
      await new Promise<void>((resolve) => {
        this.#onHeard = resolve;
      });
    }
  }

  /** Resolves with all that was heard once the engine has ended the connection. */
  async ended(): Promise<readonly EngineMessage[]> {
    await this.#closed;
    return this.#heard;
  }

  /** Reads nothing from now on. */
  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.destroy();
  }
}
