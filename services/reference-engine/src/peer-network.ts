import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { IsobarError } from '@isobar/protocol';
import { type FrameHandlers, FrameSocket } from './frame-socket.js';
import type { KnownIncarnations } from './peer-admission.js';
import {
  decodeGreeting,
  decodeGreetingReply,
  encodeGreeting,
  type PeerGreeting,
} from './peer-greeting.js';
import { PeerLink } from './peer-link.js';
import { answerWeights, type WeightSource } from './weight-transfer.js';

export interface PeerNetworkOptions {
  readonly rank: number;
  readonly numRanks: number;
  /** Unix socket of a rank. */
  readonly socketPath: (rank: number) => string;
  /** What this engine says of itself now. */
  readonly greeting: () => PeerGreeting;
  /** Why a peer is refused, null where it is welcome. */
  readonly refusal: (peer: PeerGreeting, known: KnownIncarnations) => string | null;
  readonly weights: WeightSource;
  readonly onLink: (link: PeerLink) => void;
  /** What it throws ends the connection. */
  readonly onFrame: (link: PeerLink, body: Uint8Array) => void;
  readonly onLost: (link: PeerLink, cause: Error) => void;
  /** Told of connections that did not come about. */
  readonly onRefused: (error: IsobarError) => void;
}

/** Wait between two attempts to reach a peer that does not listen. */
const redialMs = 100;
/** Wait before the next attempt to reach a peer that refuses, or is refused. */
const refusedRedialMs = 1_000;
/** A peer that has not greeted by then is dialled again. */
const greetingDeadlineMs = 2_000;
/** Incarnations of a rank whose order is kept. */
const incarnationsMetMax = 16;

/**
 * Connections of one rank with every other: one each for the forward pass, more for weights. The
 * higher rank dials the lower, again and again while it has no connection: a peer may restart.
 */
export class PeerNetwork {
  readonly #options: PeerNetworkOptions;
  readonly #server: Server;
  readonly #sockets = new Set<FrameSocket>();
  readonly #links = new Set<PeerLink>();
  readonly #redials = new Map<number, NodeJS.Timeout>();
  /** By rank, in the order in which they were first connected. */
  readonly #met = new Map<number, readonly string[]>();
  #closing = false;

  constructor(options: PeerNetworkOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Peers whose connections stand. */
  get links(): PeerLink[] {
    return [...this.#links];
  }

  /** Listens, and dials every lower rank. */
  async start(): Promise<void> {
    const { rank, socketPath } = this.#options;
    // A socket file left by a process that was killed would refuse the path.
    rmSync(socketPath(rank), { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const text = `can't listen for peers: ${cause.message}`;
        reject(new IsobarError('ISOBAR_ENGINE_LISTEN', text, { rank }, { cause }));
      });
      this.#server.listen(socketPath(rank), resolve);
    });
    for (let peer = 0; peer < rank; peer += 1) this.#dial(peer);
  }

  #dial(peer: number): void {
    if (this.#closing) return;
    const socket = this.#open(connect(this.#options.socketPath(peer)), {
      onFrame: (body) => this.#onReply(peer, socket, body),
      onClosed: (cause) => this.#redial(peer, isRefusal(cause) ? refusedRedialMs : redialMs),
    });
    socket.send(encodeGreeting(this.#options.greeting()));
  }

  #redial(peer: number, waitMs: number): void {
    if (this.#closing || this.#redials.has(peer)) return;
    const timer = setTimeout(() => {
      this.#redials.delete(peer);
      this.#dial(peer);
    }, waitMs);
    this.#redials.set(peer, timer);
  }

  #onReply(peer: number, socket: FrameSocket, body: Uint8Array): void {
    const reply = decodeGreetingReply(body);
    if (reply.kind === 'refused') {
      throw refused(peer, `rank ${peer} refuses this engine: ${reply.reason}`);
    }
    if (reply.rank !== peer) throw refused(peer, `rank ${reply.rank} listens for rank ${peer}`);
    const refusal = this.#refusalOf(reply);
    if (refusal !== null) throw refused(peer, `rank ${peer} is refused: ${refusal}`);
    this.#join(reply, socket);
  }

  #refusalOf(peer: PeerGreeting): string | null {
    const { rank, numRanks } = this.#options;
    if (peer.rank >= numRanks || peer.rank === rank) return `there is no peer ${peer.rank}`;
    const links = this.links.filter((link) => link.rank === peer.rank);
    return this.#options.refusal(peer, {
      met: this.#met.get(peer.rank) ?? [],
      connected: new Set(links.map((link) => link.incarnation)),
    });
  }

  /** A connection whose first frame must come in time. */
  #open(socket: Socket, handlers: FrameHandlers): FrameSocket {
    const deadline = setTimeout(() => {
      opened.close(new Error(`no greeting within ${greetingDeadlineMs} ms`));
    }, greetingDeadlineMs);
    const opened = new FrameSocket(socket, {
      onFrame: (body) => {
        clearTimeout(deadline);
        handlers.onFrame(body);
      },
      onClosed: (cause) => {
        clearTimeout(deadline);
        this.#sockets.delete(opened);
        if (cause instanceof IsobarError) this.#options.onRefused(cause);
        handlers.onClosed(cause);
      },
    });
    this.#sockets.add(opened);
    return opened;
  }

  #accept(socket: Socket): void {
    const accepted = this.#open(socket, {
      onFrame: (body) => this.#onGreeting(accepted, decodeGreeting(body)),
      onClosed: () => undefined,
    });
  }

  #onGreeting(socket: FrameSocket, peer: PeerGreeting): void {
    const refusal = this.#refusalOf(peer);
    if (refusal !== null) {
      if (peer.purpose === 'forward') {
        socket.send(encodeGreeting({ schema: 1, kind: 'refused', reason: refusal }));
      }
      socket.end();
      return;
    }
    if (peer.purpose === 'weights') {
      socket.handle({
        onFrame: (body) => socket.send(answerWeights(body, this.#options.weights)),
        onClosed: () => this.#sockets.delete(socket),
      });
      return;
    }
    socket.send(encodeGreeting(this.#options.greeting()));
    this.#join(peer, socket);
  }

  #join(peer: PeerGreeting, socket: FrameSocket): void {
    const { onLink, onFrame, onLost, rank } = this.#options;
    this.#meet(peer);
    // The dialler has lost the connection before, whether or not this side has noticed.
    for (const old of this.links) {
      if (old.is(peer)) old.close(new Error('the peer has connected anew'));
    }
    const link = new PeerLink(peer, socket);
    socket.handle({
      onFrame: (body) => onFrame(link, body),
      onClosed: (cause) => {
        this.#sockets.delete(socket);
        this.#links.delete(link);
        if (link.rank < rank) this.#redial(link.rank, redialMs);
        if (!this.#closing) onLost(link, cause);
      },
    });
    this.#links.add(link);
    onLink(link);
  }

  #meet({ rank, incarnation }: PeerGreeting): void {
    const met = this.#met.get(rank) ?? [];
    if (met.includes(incarnation)) return;
    this.#met.set(rank, [...met, incarnation].slice(-incarnationsMetMax));
  }

  /** Listens and dials no more, and ends every connection after what is still to be sent. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const timer of this.#redials.values()) clearTimeout(timer);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.end();
    await closed;
  }
}

const refusedCode = 'ISOBAR_ENGINE_PEER_REFUSED';

function refused(peer: number, reason: string): IsobarError {
  return new IsobarError(refusedCode, reason, { peer });
}

function isRefusal(cause: Error): boolean {
  return cause instanceof IsobarError && cause.code === refusedCode;
}
