import { type Member, sameMember } from '@isobar/protocol';
import type { ForwardFrame } from './forward-frames.js';
import type { FrameSocket } from './frame-socket.js';
import type { PeerGreeting } from './peer-greeting.js';

/** What carries a link's frames. */
export type LinkSocket = Pick<FrameSocket, 'isOpen' | 'send' | 'sent' | 'close'>;

/** The connection for the forward pass with one engine process, once both have greeted. */
export class PeerLink {
  readonly greeting: PeerGreeting;
  readonly #socket: LinkSocket;
  #knownVersion: number;
  #routedVersion = -1;

  constructor(greeting: PeerGreeting, socket: LinkSocket) {
    this.greeting = greeting;
    this.#socket = socket;
    this.#knownVersion = greeting.committedVersion;
  }

  /** Newest version that the peer has shown to know as committed. */
  get knownVersion(): number {
    return this.#knownVersion;
  }

  /** Version of the newest tokens that it has sent, −1 where it has sent none. */
  get routedVersion(): number {
    return this.#routedVersion;
  }

  /** Whether it is known to take steps of its own. */
  get isActive(): boolean {
    const { standing, step } = this.greeting;
    return this.#routedVersion >= 0 || (standing === 'serving' && step >= 0);
  }

  /** Notes what a frame shows of the peer. */
  heard({ kind, mappingVersion, readyVersion }: ForwardFrame): void {
    const ready = Number.isFinite(readyVersion) ? readyVersion : 0;
    this.#knownVersion = Math.max(this.#knownVersion, mappingVersion, ready);
    if (kind === 'dispatch') this.#routedVersion = Math.max(this.#routedVersion, mappingVersion);
  }

  get rank(): number {
    return this.greeting.rank;
  }

  get incarnation(): string {
    return this.greeting.incarnation;
  }

  get isOpen(): boolean {
    return this.#socket.isOpen;
  }

  is(member: Member): boolean {
    return sameMember(member, this);
  }

  send(body: Uint8Array): void {
    this.#socket.send(body);
  }

  /** Resolves once all that was sent has left this process. */
  sent(): Promise<void> {
    return this.#socket.sent();
  }

  close(cause: Error): void {
    this.#socket.close(cause);
  }
}
