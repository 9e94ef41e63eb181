import type { PeerGreeting } from './peer-greeting.js';

/** How an engine begins: with an entirely new group, or beside one that has gone on. */
export type Beginning = 'serving' | 'joining';

/** For connections that are still on their way when a peer has seen the group complete. */
const lateConnectionsMs = 2_000;

interface GreetedPeer {
  readonly greeting: PeerGreeting;
}

/**
 * Finds out how an engine begins. All ranks connected and none of them in a step when it greeted:
 * a new group, which serves its start mapping. A peer that had begun before: this engine joins.
 * So it does where the group is not complete in time: a joining engine can be listed without the
 * rest.
 */
export class GroupStart {
  /** Null where the engine is stopped before it is known. */
  readonly beginning: Promise<Beginning | null>;
  readonly #numRanks: number;
  readonly #peers = new Set<GreetedPeer>();
  #deadline: NodeJS.Timeout;
  #settle: ((beginning: Beginning | null) => void) | null = null;
  #hasBegun = false;

  constructor(numRanks: number, deadlineMs: number) {
    this.#numRanks = numRanks;
    this.beginning = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#deadline = setTimeout(() => this.#decide(this.#hasBegun), deadlineMs);
    this.#decideIfKnown();
  }

  #decide(isNewGroup: boolean): void {
    this.#end(isNewGroup ? 'serving' : 'joining');
  }

  #end(beginning: Beginning | null): void {
    clearTimeout(this.#deadline);
    this.#settle?.(beginning);
    this.#settle = null;
  }

  get isKnown(): boolean {
    return this.#settle === null;
  }

  connected(peer: GreetedPeer): void {
    this.#peers.add(peer);
    this.#decideIfKnown();
  }

  lost(peer: GreetedPeer): void {
    this.#peers.delete(peer);
  }

  /**
   * A peer sends tokens: it has seen the group complete, with this rank in it, whose own
   * connections may still be on their way.
   */
  tokensCame(): void {
    if (this.#hasBegun || this.#settle === null) return;
    this.#hasBegun = true;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#decide(true), lateConnectionsMs);
  }

  #decideIfKnown(): void {
    const greetings = [...this.#peers].map(({ greeting }) => greeting);
    const isOld = greetings.some(({ step, committedVersion }) => step >= 0 || committedVersion > 0);
    const isComplete = new Set(greetings.map(({ rank }) => rank)).size === this.#numRanks - 1;
    if (isComplete || (isOld && !this.#hasBegun)) {
      const isNew = !isOld && greetings.every(({ standing }) => standing !== 'joining');
      this.#decide(this.#hasBegun || isNew);
    }
  }

  /** The engine is to end. */
  stop(): void {
    this.#end(null);
  }
}
