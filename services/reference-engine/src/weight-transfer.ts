import { connect, type Socket } from 'node:net';
import { encodeFrame, FrameReader } from '@isobar/engine';
import { IsobarError } from '@isobar/protocol';
import { bytesPerExpert } from './model-shape.js';

/*
 * Weights on their way from rank to rank: on a connection of their own, so that a forward pass
 * never waits behind them. A question is layer u16, expert u16; the answer is the expert's
 * bytes, or empty where the rank does not hold it.
 */

/** This rank's weights for a peer, null where it does not hold that expert. */
export type WeightSource = (layer: number, expert: number) => Float64Array | null;

export type PeerPurpose = 'forward' | 'weights';

const purposes: readonly PeerPurpose[] = ['forward', 'weights'];
const greetingBytes = 4;

/** First frame of every connection between ranks. */
export function peerGreeting(purpose: PeerPurpose, rank: number): Uint8Array {
  const bytes = Buffer.alloc(greetingBytes);
  bytes.writeUInt8(purposes.indexOf(purpose), 0);
  bytes.writeUInt16LE(rank, 2);
  return bytes;
}

/** @throws IsobarError ISOBAR_ENGINE_PEER_MALFORMED */
export function readPeerGreeting(body: Uint8Array): {
  readonly purpose: PeerPurpose;
  readonly rank: number;
} {
  const purpose = purposes[body[0] ?? -1];
  if (body.byteLength !== greetingBytes || purpose === undefined) {
    const text = "a peer's greeting is malformed";
    throw new IsobarError('ISOBAR_ENGINE_PEER_MALFORMED', text, { field: 'greeting' });
  }
  return { purpose, rank: Buffer.from(body).readUInt16LE(2) };
}

/** Answers a peer's questions for weights. */
export function serveWeights(socket: Socket, source: WeightSource): (body: Uint8Array) => void {
  return (body) => {
    const question = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const weights = source(question.getUint16(0, true), question.getUint16(2, true));
    const bytes =
      weights === null
        ? new Uint8Array(0)
        : new Uint8Array(weights.buffer, weights.byteOffset, bytesPerExpert);
    socket.write(encodeFrame(bytes));
  };
}

export interface WeightFetch {
  readonly layer: number;
  readonly expert: number;
  readonly into: Float64Array;
}

/**
 * Fetches experts from one rank, one after the other.
 * @param onFetched awaited after each: paces the link
 * @throws IsobarError ISOBAR_ENGINE_TRANSFER_FAILED; the signal's reason where it aborts
 */
export async function fetchWeights<Fetch extends WeightFetch>(
  socketPath: string,
  rank: number,
  fetches: readonly Fetch[],
  signal: AbortSignal,
  onFetched: (fetch: Fetch) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const link = new WeightLink(socketPath, rank);
  const abort = () => link.close(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    for (const fetch of fetches) {
      await link.fetch(fetch);
      await onFetched(fetch);
    }
  } finally {
    signal.removeEventListener('abort', abort);
    link.close();
  }
}

class WeightLink {
  readonly #socket: Socket;
  #failure: unknown = null;
  #waiting: { resolve: (body: Uint8Array) => void; reject: (cause: unknown) => void } | null = null;

  constructor(path: string, rank: number) {
    this.#socket = connect(path);
    this.#socket.write(encodeFrame(peerGreeting('weights', rank)));
    const reader = new FrameReader((body) => this.#waiting?.resolve(body));
    this.#socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.close(error);
      }
    });
    this.#socket.on('error', (error) => {
      this.#failure ??= error;
    });
    this.#socket.on('close', () => this.#waiting?.reject(this.#failure));
  }

  async fetch({ layer, expert, into }: WeightFetch): Promise<void> {
    const question = Buffer.alloc(4);
    question.writeUInt16LE(layer, 0);
    question.writeUInt16LE(expert, 2);
    const fields = { layer, expert };
    const body = await this.#ask(question).catch((cause: unknown) => {
      const text = `expert ${expert} of layer ${layer} did not arrive`;
      throw new IsobarError('ISOBAR_ENGINE_TRANSFER_FAILED', text, fields, { cause });
    });
    if (body.byteLength !== bytesPerExpert) {
      const text = `the source does not hold expert ${expert} of layer ${layer}`;
      throw new IsobarError('ISOBAR_ENGINE_TRANSFER_FAILED', text, fields);
    }
    new Uint8Array(into.buffer, into.byteOffset, bytesPerExpert).set(body);
  }

  #ask(question: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(this.#failure);
        return;
      }
      this.#waiting = { resolve, reject };
      this.#socket.write(encodeFrame(question));
    });
  }

  close(cause?: unknown): void {
    this.#failure ??= cause ?? new Error('the connection was closed');
    this.#socket.destroy();
  }
}
