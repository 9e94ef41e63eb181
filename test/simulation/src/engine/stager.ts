import type { IsobarError, Proposal } from '@isobar/protocol';
import type { World } from '../world.js';
import type { CommandReply } from './engine-commands.js';
import { damaged, type IncomingExpert, weightsOf } from './expert-memory.js';
import type { SimulatedEngine } from './simulated-engine.js';

/** What may go wrong with an engine's stagings; set by the faults of a run. */
export interface StagingFaults {
  /** The next staging fails: a source is gone. */
  failNext: boolean;
  /** The next staging stands still for so long, 0: none. */
  stallNextMs: number;
  /** The next expert that comes has a bit gone over. */
  corruptNext: boolean;
  /** Peers get no weights from it, until its process ends. */
  givesNothing: boolean;
}

/** A version being brought in. */
interface Staging {
  readonly proposal: Proposal;
  readonly proposalBytes: Uint8Array;
  readonly incoming: readonly IncomingExpert[];
  /** Commands that wait for its end. */
  readonly replies: CommandReply[];
  ended: boolean;
}

const fetchMs = { perCommand: 20, perExpert: 60, spread: 400 };

/** Brings a version's experts into an engine's memory, one version at a time, and verifies them. */
export class Stager {
  readonly faults: StagingFaults = {
    failNext: false,
    stallNextMs: 0,
    corruptNext: false,
    givesNothing: false,
  };
  readonly #world: World;
  readonly #engine: SimulatedEngine;
  readonly #onStaged: (proposal: Proposal, proposalBytes: Uint8Array) => void;
  #staging: Staging | null = null;

  /** @param onStaged every expert is there, and whole: the guard may vote */
  constructor(
    world: World,
    engine: SimulatedEngine,
    onStaged: (proposal: Proposal, proposalBytes: Uint8Array) => void,
  ) {
    this.#world = world;
    this.#engine = engine;
    this.#onStaged = onStaged;
  }

  get version(): number | null {
    return this.#staging?.proposal.version ?? null;
  }

  /** The process is new: nothing is being staged. */
  reset(): void {
    this.#staging = null;
    this.faults.givesNothing = false;
  }

  /** A command for what is being staged already waits for its end. */
  join(reply: CommandReply): void {
    this.#staging?.replies.push(reply);
  }

  /**
   * Takes buffers for what the proposal brings, and begins to fill them.
   * @returns false where too few are spare
   */
  begin(proposal: Proposal, proposalBytes: Uint8Array, reply: CommandReply): boolean {
    const { reader, scheduler, random } = this.#world;
    const { memory, swap, process } = this.#engine;
    const base = this.#engine.mappingOf(swap.committed.version);
    const target = reader.target(base, proposalBytes);
    const mayUseReserve = proposal.change === 'evacuation';
    const incoming = memory.stage(proposal.version, target, mayUseReserve);
    if (incoming === null) return false;
    const staging = { proposal, proposalBytes, incoming, replies: [reply], ended: false };
    this.#staging = staging;
    const stallMs = this.faults.stallNextMs;
    this.faults.stallNextMs = 0;
    const fetchingMs = fetchMs.perCommand + incoming.length * fetchMs.perExpert;
    const tookMs = fetchingMs + random.next() * fetchMs.spread + stallMs;
    scheduler.toLife(process, tookMs, () => this.#finish(staging));
    return true;
  }

  #finish(staging: Staging): void {
    if (staging.ended) return;
    const failure = this.#bringIn(staging);
    if (failure !== null) {
      this.end(failure);
      return;
    }
    this.#staging = null;
    staging.ended = true;
    const { proposal, proposalBytes, replies } = staging;
    if (!this.#world.faults.serveAfterSwitch) this.#engine.memory.beginServing(proposal.version);
    this.#onStaged(proposal, proposalBytes);
    for (const reply of replies) reply({ ok: true, state: this.#engine.state() });
  }

  /** @returns why not, null where everything is there */
  #bringIn({ proposal, incoming }: Staging): IsobarError | null {
    const { machines, startMapping, faults, situations } = this.#world;
    const { rank, memory } = this.#engine;
    const refuse = (code: string, text: string) => new machines.IsobarError(code, text);
    if (this.faults.failNext) {
      this.faults.failNext = false;
      return refuse('ISOBAR_ENGINE_TRANSFER_FAILED', 'a source is gone');
    }
    const transfers = machines.decodeTransfers(proposal.transfers, rank);
    for (const { layer, slot, expert, buffer } of incoming) {
      const what = `expert ${expert} of layer ${layer} for slot ${slot}`;
      const transfer = transfers.find((one) => one.layer === layer && one.slot === slot);
      if (transfer?.expert !== expert) {
        return refuse('ISOBAR_ENGINE_TRANSFER_FAILED', `no source is named for ${what}`);
      }
      let weights = this.#fetch(transfer.sourceRank, layer, expert);
      if (weights === null) {
        const from = transfer.sourceRank;
        return refuse('ISOBAR_ENGINE_TRANSFER_FAILED', `rank ${from} does not give ${what}`);
      }
      if (this.faults.corruptNext) {
        this.faults.corruptNext = false;
        situations.count('staging corrupted');
        weights = damaged(weights);
      }
      if (weights !== weightsOf(startMapping, layer, expert) && !faults.skipDigestCheck) {
        return refuse('ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH', `${what} is damaged`);
      }
      memory.fill(buffer, weights);
    }
    return null;
  }

  /** Weights from a rank that is linked and has them, or from the backing store (−1). */
  #fetch(sourceRank: number, layer: number, expert: number): number | null {
    const { startMapping, engines, fabric } = this.#world;
    if (sourceRank < 0) return weightsOf(startMapping, layer, expert);
    for (const peer of engines) {
      const gives = peer.rank === sourceRank && peer.process.alive && !peer.process.paused;
      if (
        !gives ||
        peer.faults.givesNothing ||
        peer === this.#engine ||
        !fabric.isLinked(this.#engine, peer)
      )
        continue;
      const weights = peer.memory.weightsOfExpert(layer, expert);
      if (weights !== null) return weights;
    }
    return null;
  }

  /** It has failed or is no longer wanted: its buffers are free again, and no vote is given. */
  end(error: IsobarError): void {
    const staging = this.#staging;
    if (staging === null) return;
    this.#staging = null;
    staging.ended = true;
    const { version } = staging.proposal;
    this.#engine.memory.discard(version);
    this.#engine.port.abandon(version);
    const { code, message } = error;
    for (const reply of staging.replies) reply({ ok: false, code, message });
  }
}
