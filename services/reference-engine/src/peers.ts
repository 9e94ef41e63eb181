import { type IsobarError, includesMember, type Member } from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { type Dispatch, decodeForwardFrame, type Results } from './forward-frames.js';
import { type Beginning, GroupStart } from './group-start.js';
import type { MembershipView } from './membership-view.js';
import { refusalOf } from './peer-admission.js';
import type { PeerGreeting, PeerPurpose } from './peer-greeting.js';
import type { PeerLink } from './peer-link.js';
import { PeerNetwork } from './peer-network.js';
import { outcomeKinds, PeerOutcomes } from './peer-outcomes.js';
import { StepExchange } from './step-exchange.js';
import type { SwapPort } from './swap-port.js';
import type { WeightSource } from './weight-transfer.js';

export interface PeersOptions {
  readonly rank: number;
  readonly numRanks: number;
  readonly incarnation: string;
  readonly socketPath: (rank: number) => string;
  /** For an entirely new group to come together. */
  readonly startDeadlineMs: number;
  /** Peers are asked for an outcome when no leader's word has come for so long. */
  readonly askAfterMs: number;
  /** False in tests of what happens to an engine that is not told. */
  readonly asksForOutcomes: boolean;
  readonly members: MembershipView;
  readonly port: () => SwapPort;
  readonly weights: WeightSource;
  /** Serves tokens for which this rank's own step does not wait. */
  readonly serve: (dispatch: Dispatch) => Results;
  readonly hasAgent: () => boolean;
  /** Connections, what a peer has told, or what it routes by are others than before. */
  readonly onChanged: (what: 'connections' | 'outcome' | 'frame') => void;
  readonly logger: Logger;
}

/** How often it is looked whether a vote waits for an outcome that peers may know. */
const askIntervalMs = 500;

/** All that one engine has to do with the others of its group. */
export class Peers {
  readonly exchange: StepExchange<PeerLink>;
  readonly outcomes: PeerOutcomes;
  readonly #options: PeersOptions;
  readonly #network: PeerNetwork;
  #groupStart: GroupStart | null = null;
  #askTimer: NodeJS.Timeout | null = null;
  /** Last reason for which a connection did not come about, by peer: told once. */
  readonly #refusals = new Map<unknown, string>();

  constructor(options: PeersOptions) {
    this.#options = options;
    const { rank, numRanks, socketPath, weights, serve } = options;
    this.exchange = new StepExchange({ answer: serve });
    this.#network = new PeerNetwork({
      rank,
      numRanks,
      socketPath,
      weights,
      greeting: () => this.greeting('forward'),
      refusal: (peer, known) => refusalOf(peer, this.#ground(), known),
      onLink: (link) => this.#onLink(link),
      onFrame: (link, body) => this.#onFrame(link, body),
      onLost: (link, cause) => this.#onLost(link, cause),
      onRefused: (error) => this.#onRefused(error.fields.peer, error),
    });
    this.outcomes = new PeerOutcomes({
      links: () => this.#network.links,
      outcomes: () => this.#swap.outcomes,
      awaited: () => (options.asksForOutcomes ? (this.#swap.vote?.version ?? null) : null),
      isLeaderHeard: () => this.#isLeaderHeard(),
      take: (from, record, bytes) => {
        if (!options.port().takePeerOutcome(from, record, bytes)) return;
        const { version, outcome } = record;
        options.logger.info({ version, outcome }, 'outcome told by a peer');
        options.onChanged('outcome');
      },
      onRefused: (error, link) => this.#onRefused(link.rank, error),
    });
  }

  get #swap() {
    return this.#options.port().swap;
  }

  #ground() {
    const { standing, cuts } = this.#swap;
    return { standing, cuts, members: this.#options.members.recorded };
  }

  #isLeaderHeard(): boolean {
    const { hasAgent, port, askAfterMs } = this.#options;
    return hasAgent() && performance.now() - port().leaderHeardMs < askAfterMs;
  }

  greeting(purpose: PeerPurpose): PeerGreeting {
    const { rank, incarnation } = this.#options;
    const { standing, committed } = this.#swap;
    const { step } = this.exchange;
    const who = { schema: 1, kind: 'greeting', purpose, rank, incarnation } as const;
    return {
      ...who,
      standing: this.#groupStart?.isKnown === true ? standing : 'starting',
      step,
      committedVersion: committed.version,
    };
  }

  /**
   * Listens and dials, and finds out how this engine begins.
   * @returns null where it is stopped before that
   * @throws IsobarError ISOBAR_ENGINE_LISTEN
   */
  async start(): Promise<Beginning | null> {
    const { numRanks, startDeadlineMs } = this.#options;
    this.#groupStart = new GroupStart(numRanks, startDeadlineMs);
    await this.#network.start();
    const beginning = await this.#groupStart.beginning;
    this.#askTimer = setInterval(() => this.outcomes.tick(), askIntervalMs);
    return beginning;
  }

  stopStarting(): void {
    this.#groupStart?.stop();
  }

  #onLink(link: PeerLink): void {
    const { logger, members, onChanged } = this.#options;
    this.#refusals.delete(link.rank);
    const { rank, incarnation, standing, step } = link.greeting;
    logger.info({ peer: rank, incarnation, standing, step }, 'peer connected');
    if (standing === 'serving' || standing === 'starting') members.meet({ rank, incarnation });
    this.#groupStart?.connected(link);
    onChanged('connections');
  }

  #onLost(link: PeerLink, cause: Error): void {
    const { logger, onChanged } = this.#options;
    logger.warn({ peer: link.rank, why: cause.message }, 'peer connection broken');
    this.#groupStart?.lost(link);
    this.exchange.closed(link);
    onChanged('connections');
  }

  #onRefused(peer: unknown, error: IsobarError): void {
    if (this.#refusals.get(peer) === error.message) return;
    this.#refusals.set(peer, error.message);
    this.#options.logger.warn({ err: error, peer }, 'refused between peers');
  }

  #onFrame(link: PeerLink, body: Uint8Array): void {
    const kind = body[0];
    if (kind === outcomeKinds.question || kind === outcomeKinds.told) {
      this.outcomes.receive(link, body);
      return;
    }
    const frame = decodeForwardFrame(body);
    link.heard(frame);
    if (frame.kind === 'dispatch') this.#groupStart?.tokensCame();
    this.exchange.receive(link, frame);
    this.#options.onChanged('frame');
  }

  /** Members of this rank's mapping with which it has no connection now. */
  get broken(): Member[] {
    if (this.#swap.standing === 'stopped') return [];
    const { links } = this.#network;
    return this.#options.members.peers.filter((member) => !links.some((link) => link.is(member)));
  }

  /** Connections to all that take part in a step that begins now. */
  takingPart(): PeerLink[] {
    return this.#network.links.filter((link) => this.#options.members.takesPart(link));
  }

  /** By rank, the included connection to the member of the version routed by, or null. */
  linksByRank(): (PeerLink | null)[] {
    const { numRanks, members } = this.#options;
    const { present } = this.exchange;
    return Array.from({ length: numRanks }, (_, rank) => {
      const member = members.memberOf(rank);
      return (member && present.find((link) => link.is(member))) ?? null;
    });
  }

  /** Members of the version routed by that can't be reached in the step under way. */
  get numUnreachable(): number {
    const { present } = this.exchange;
    const { peers } = this.#options.members;
    return peers.filter((member) => !present.some((link) => link.is(member))).length;
  }

  /** Peers that take part and are known to take steps of their own. */
  get #active(): PeerLink[] {
    return this.takingPart().filter((link) => link.isActive);
  }

  /**
   * The version that an engine which takes no steps may follow, where all switch at the same one:
   * that of the first peer to have switched; any, where no peer takes steps either.
   */
  get versionOfActive(): number {
    const versions = this.#active.map((link) => link.routedVersion);
    return versions.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...versions);
  }

  /** Whether this engine knows at which step its peers are: one has sent it tokens. */
  get isStepKnown(): boolean {
    const active = this.#active;
    return active.length === 0 || active.some((link) => link.routedVersion >= 0);
  }

  /** Whether every peer in this step has shown to know that version as committed. */
  allKnow(version: number): boolean {
    const { present } = this.exchange;
    return present.length > 0 && present.every((link) => link.knownVersion >= version);
  }

  disconnect(members: readonly Member[], why: string): void {
    for (const link of this.#network.links) {
      if (includesMember(members, link)) link.close(new Error(why));
    }
  }

  async close(): Promise<void> {
    if (this.#askTimer !== null) clearInterval(this.#askTimer);
    this.stopStarting();
    await this.#network.close();
  }
}
