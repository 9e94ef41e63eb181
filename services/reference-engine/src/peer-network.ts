import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { encodeFrame, FrameReader } from '@isobar/engine';
import { IsobarError } from '@isobar/protocol';
import { decodeForwardFrame, type ForwardFrame } from './forward-frames.js';
import type { WeightSource } from './weight-transfer.js';
import { peerGreeting, readPeerGreeting, serveWeights } from './weight-transfer.js';

export interface PeerNetworkOptions {
  readonly rank: number;
  readonly numRanks: number;
  /** Unix socket of a rank. */
  readonly socketPath: (rank: number) => string;
  readonly weights: WeightSource;
  readonly onBroken: (rank: number, cause: unknown) => void;
}

interface Gathering {
  readonly frames: Map<number, ForwardFrame>;
  resolve: (() => void) | null;
}

/** Wait between two attempts to reach a peer that has not started yet. */
const redialMs = 50;

/** Connections of one rank with every other: one each for the forward pass, more for weights. */
export class PeerNetwork {
  readonly #options: PeerNetworkOptions;
  readonly #server: Server;
  readonly #peers = new Map<number, Socket>();
  readonly #accepted = new Set<Socket>();
  readonly #broken = new Set<number>();
  readonly #gatherings = new Map<string, Gathering>();
  #onConnected: (() => void) | null = null;
  #closing = false;

  constructor(options: PeerNetworkOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Peers whose connection has broken: their slots are masked. */
  get broken(): ReadonlySet<number> {
    return this.#broken;
  }

  /**
   * Listens, and waits until every other rank is connected.
   * @throws IsobarError ISOBAR_ENGINE_PEERS_MISSING naming them
   */
  async connect(deadlineMs: number): Promise<void> {
    const { rank, numRanks, socketPath } = this.#options;
    rmSync(socketPath(rank), { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(socketPath(rank), resolve);
    });
    const deadline = performance.now() + deadlineMs;
    const all = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#missing()), deadlineMs);
      this.#onConnected = () => {
        if (this.#peers.size < numRanks - 1) return;
        clearTimeout(timer);
        resolve();
      };
    });
    for (let peer = 0; peer < rank; peer += 1) this.#dial(peer, deadline);
    this.#onConnected?.();
    await all;
  }

  #missing(): IsobarError {
    const { rank, numRanks } = this.#options;
    const missing = Array.from({ length: numRanks }, (_, peer) => peer).filter(
      (peer) => peer !== rank && !this.#peers.has(peer),
    );
    const text = `ranks ${missing.join(', ')} have not connected in time`;
    return new IsobarError('ISOBAR_ENGINE_PEERS_MISSING', text, { ranks: missing });
  }

  #dial(peer: number, deadline: number): void {
    const socket = connect(this.#options.socketPath(peer));
    const retry = () => {
      if (!this.#closing && performance.now() < deadline) {
        setTimeout(() => this.#dial(peer, deadline), redialMs);
      }
    };
    socket.once('error', retry);
    socket.once('connect', () => {
      socket.off('error', retry);
      socket.write(encodeFrame(peerGreeting('forward', this.#options.rank)));
      this.#join(peer, socket, new FrameReader((body) => this.#receive(peer, body)));
    });
  }

  #accept(socket: Socket): void {
    this.#accepted.add(socket);
    socket.once('close', () => this.#accepted.delete(socket));
    const refuse = (error: unknown) => {
      socket.destroy();
      this.#options.onBroken(-1, error);
    };
    socket.on('error', refuse);
    let onBody = (body: Uint8Array) => {
      const { purpose, rank } = readPeerGreeting(body);
      if (purpose === 'weights') {
        onBody = serveWeights(socket, this.#options.weights);
        return;
      }
      onBody = (frame) => this.#receive(rank, frame);
      socket.off('error', refuse);
      socket.removeAllListeners('data');
      this.#join(rank, socket, reader);
    };
    const reader = new FrameReader((body) => onBody(body));
    socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        refuse(error);
      }
    });
  }

  #join(peer: number, socket: Socket, reader: FrameReader): void {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      try {
        reader.push(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    let failure: unknown = 'closed';
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => this.#onClosed(peer, failure));
    this.#peers.set(peer, socket);
    this.#onConnected?.();
  }

  #onClosed(peer: number, cause: unknown): void {
    if (this.#closing) return;
    this.#broken.add(peer);
    this.#peers.delete(peer);
    this.#options.onBroken(peer, cause);
    for (const gathering of this.#gatherings.values()) this.#settle(gathering);
  }

  send(peer: number, body: Uint8Array): void {
    this.#peers.get(peer)?.write(encodeFrame(body));
  }

  #receive(peer: number, body: Uint8Array): void {
    const frame = decodeForwardFrame(body);
    const gathering = this.#gathering(frame.kind, frame.step, frame.layer);
    gathering.frames.set(peer, frame);
    this.#settle(gathering);
  }

  #gathering(kind: string, step: number, layer: number): Gathering {
    const key = `${kind}.${step}.${layer}`;
    let gathering = this.#gatherings.get(key);
    if (gathering === undefined) {
      gathering = { frames: new Map(), resolve: null };
      this.#gatherings.set(key, gathering);
    }
    return gathering;
  }

  #settle(gathering: Gathering): void {
    for (const peer of this.#peers.keys()) if (!gathering.frames.has(peer)) return;
    gathering.resolve?.();
  }

  /** Frames of one kind, step and layer, from every peer whose connection stands. */
  async gather(
    kind: ForwardFrame['kind'],
    step: number,
    layer: number,
  ): Promise<ReadonlyMap<number, ForwardFrame>> {
    const gathering = this.#gathering(kind, step, layer);
    await new Promise<void>((resolve) => {
      gathering.resolve = resolve;
      this.#settle(gathering);
    });
    this.#gatherings.delete(`${kind}.${step}.${layer}`);
    return gathering.frames;
  }

  async close(): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // What peers still wait for is sent before the connection ends.
    for (const socket of this.#peers.values()) socket.end();
    for (const socket of this.#accepted) socket.destroySoon();
    await closed;
  }
}
