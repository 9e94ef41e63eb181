import {
  decode,
  decodeKnownOutcome,
  encode,
  IsobarError,
  type KnownOutcome,
  knownOutcomesSchema,
  type MapRecord,
  type Member,
} from '@isobar/protocol';
import { z } from 'zod';
import type { PeerLink } from './peer-link.js';

/*
 * Outcomes told from peer to peer (rule S6), on the connections of the forward pass. A question
 * is the one byte 3; its answer is the byte 4 and a MessagePack map of the outcomes that the
 * peer has acted on.
 */

/** First byte of a frame. */
export const outcomeKinds = { question: 3, told: 4 } as const;

const toldSchema = z.object({ schema: z.literal(1), outcomes: knownOutcomesSchema });

export interface PeerOutcomesOptions {
  readonly links: () => readonly PeerLink[];
  /** What this engine has acted on or adopted. */
  readonly outcomes: () => readonly KnownOutcome[];
  /** The version of a vote that waits for its outcome, null where none does. */
  readonly awaited: () => number | null;
  /** Whether an agent is there and has brought a leader's word of late. */
  readonly isLeaderHeard: () => boolean;
  /** Takes what a peer tells. @throws IsobarError where this engine refuses it */
  readonly take: (from: Member, record: MapRecord, recordBytes: Uint8Array) => void;
  readonly onRefused: (error: IsobarError, link: PeerLink) => void;
}

/** Asks peers for outcomes that this engine waits for, and tells them those that it knows. */
export class PeerOutcomes {
  readonly #options: PeerOutcomesOptions;

  constructor(options: PeerOutcomesOptions) {
    this.#options = options;
  }

  /** Peers that have shown to know `version`, or a later one, as committed. */
  peersThatKnow(version: number): PeerLink[] {
    return this.#options.links().filter((link) => link.knownVersion >= version);
  }

  /** To be called now and then: asks where a vote waits longer than it should. */
  tick(): void {
    const { awaited, isLeaderHeard, links } = this.#options;
    const version = awaited();
    if (version === null) return;
    this.#ask(isLeaderHeard() ? this.peersThatKnow(version) : links());
  }

  /** Asks the peers that know `version`. */
  ask(version: number): void {
    this.#ask(this.peersThatKnow(version));
  }

  #ask(links: readonly PeerLink[]): void {
    for (const link of links) link.send(Uint8Array.of(outcomeKinds.question));
  }

  /** @throws IsobarError ISOBAR_PROTOCOL_MALFORMED where the frame can't be read */
  receive(link: PeerLink, body: Uint8Array): void {
    if (body[0] === outcomeKinds.question) {
      link.send(encodeTold(this.#options.outcomes()));
      return;
    }
    const { outcomes } = decode("a peer's outcomes", body.subarray(1), toldSchema);
    const records = outcomes.map((known) => ({ known, record: decodeKnownOutcome(known) }));
    records.sort((left, right) => left.known.version - right.known.version);
    for (const { known, record } of records) this.#take(link, record, known.record);
  }

  #take(link: PeerLink, record: MapRecord, recordBytes: Uint8Array): void {
    try {
      this.#options.take(link, record, recordBytes);
    } catch (error) {
      if (!(error instanceof IsobarError)) throw error;
      this.#options.onRefused(error, link);
    }
  }
}

function encodeTold(outcomes: readonly KnownOutcome[]): Uint8Array {
  const body = encode({ schema: 1, outcomes });
  const frame = new Uint8Array(1 + body.byteLength);
  frame[0] = outcomeKinds.told;
  frame.set(body, 1);
  return frame;
}
