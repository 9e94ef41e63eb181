import type { Socket } from 'node:net';
import { encodeFrame, FrameReader } from '@isobar/engine';

export interface FrameHandlers {
  /** What it throws ends the connection. */
  readonly onFrame: (body: Uint8Array) => void;
  /** Called once, as soon as nothing will come or go any more. */
  readonly onClosed: (cause: Error) => void;
}

/** Unsent bytes above which a peer is taken for gone: it reads nothing. */
const unsentBytesMax = 64 * 1024 * 1024;

/** A socket that carries frames. */
export class FrameSocket {
  readonly #socket: Socket;
  #handlers: FrameHandlers;
  #isOpen = true;

  constructor(socket: Socket, handlers: FrameHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.setNoDelay(true);
    const reader = new FrameReader((body) => {
      if (this.#isOpen) this.#handlers.onFrame(body);
    });
    socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.close(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on('error', (error) => this.close(error));
    socket.on('close', () => this.close(new Error('the connection was closed')));
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Hands the connection over, frames that have come already and are not read yet included. */
  handle(handlers: FrameHandlers): void {
    this.#handlers = handlers;
  }

  send(body: Uint8Array): void {
    if (!this.#isOpen) return;
    this.#socket.write(encodeFrame(body));
    if (this.#socket.writableLength > unsentBytesMax) {
      this.close(new Error(`${this.#socket.writableLength} bytes are unsent`));
    }
  }

  /** Resolves once all that was sent has left this process. */
  sent(): Promise<void> {
    return new Promise((resolve) => this.#socket.write(new Uint8Array(0), () => resolve()));
  }

  /** Closes once what is still to be sent has left; whatever comes meanwhile is handled. */
  end(): void {
    this.#socket.destroySoon();
  }

  /** Closes at once. */
  close(cause: Error): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket.destroy();
    this.#handlers.onClosed(cause);
  }
}
