import { connect } from 'node:net';
import { IsobarError } from '@isobar/protocol';
import { FrameSocket } from './frame-socket.js';
import { bytesPerExpert } from './model-shape.js';
import { encodeGreeting, type PeerGreeting } from './peer-greeting.js';

const questionBytes = 4;

/*
 * Weights on their way from rank to rank: on a connection of their own, so that a forward pass
 * never waits behind them. A question is layer u16, expert u16; the answer is the expert's
 * bytes, or empty where the rank does not hold it.
 */

/** This rank's weights for a peer, null where it does not hold that expert. */
export type WeightSource = (layer: number, expert: number) => Float64Array | null;

/**
 * The answer to a peer's question for weights.
 * @throws IsobarError ISOBAR_ENGINE_PEER_MALFORMED
 */
export function answerWeights(question: Uint8Array, source: WeightSource): Uint8Array {
  if (question.byteLength !== questionBytes) {
    const text = `a peer's question for weights has ${question.byteLength} bytes`;
    throw new IsobarError('ISOBAR_ENGINE_PEER_MALFORMED', text, { field: 'question' });
  }
  const view = new DataView(question.buffer, question.byteOffset, questionBytes);
  const weights = source(view.getUint16(0, true), view.getUint16(2, true));
  if (weights === null) return new Uint8Array(0);
  return new Uint8Array(weights.buffer, weights.byteOffset, bytesPerExpert);
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
  greeting: PeerGreeting,
  fetches: readonly Fetch[],
  signal: AbortSignal,
  onFetched: (fetch: Fetch) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const link = new WeightLink(socketPath, greeting);
  const abort = () => link.close(new Error('staging was abandoned', { cause: signal.reason }));
  signal.addEventListener('abort', abort);
  try {
    for (const fetch of fetches) {
      await link.fetch(fetch);
      await onFetched(fetch);
    }
  } finally {
    signal.removeEventListener('abort', abort);
    link.close(new Error('all weights have been fetched'));
  }
}

class WeightLink {
  readonly #socket: FrameSocket;
  #failure: Error | null = null;
  #waiting: { resolve: (body: Uint8Array) => void; reject: (cause: Error) => void } | null = null;

  constructor(path: string, greeting: PeerGreeting) {
    this.#socket = new FrameSocket(connect(path), {
      onFrame: (body) => this.#waiting?.resolve(body),
      onClosed: (cause) => {
        this.#failure = cause;
        this.#waiting?.reject(cause);
      },
    });
    this.#socket.send(encodeGreeting({ ...greeting, purpose: 'weights' }));
  }

  async fetch({ layer, expert, into }: WeightFetch): Promise<void> {
    const question = Buffer.alloc(questionBytes);
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
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      this.#waiting = { resolve, reject };
      this.#socket.send(question);
    });
  }

  close(cause: Error): void {
    this.#socket.close(cause);
  }
}
