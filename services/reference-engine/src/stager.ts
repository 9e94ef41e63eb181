import { setTimeout as delay } from 'node:timers/promises';
import { decodeTransfers, IsobarError, type Proposal } from '@isobar/protocol';
import { type Checkpoint, weightDigest } from './checkpoint.js';
import { corruptsStaging, damage, type Faults } from './faults.js';
import { bytesPerExpert } from './model-shape.js';
import type { IncomingExpert } from './residency.js';
import type { SwapWork } from './swap-work.js';
import { fetchWeights } from './weight-transfer.js';

export interface StagerOptions {
  readonly rank: number;
  readonly checkpoint: Checkpoint;
  readonly socketPath: (rank: number) => string;
  readonly work: SwapWork;
  /** Most that this rank takes in, in bytes per second. */
  readonly bandwidthBytesPerSecond: number;
  readonly faults: Faults;
  readonly onProgress: (version: number, staged: number, total: number) => void;
}

const backingStore = -1;
/** Least time between two words on progress: they are for people. */
const progressIntervalMs = 100;

/** Brings a version's incoming experts into their buffers and verifies each (rule S5). */
export class Stager {
  readonly #options: StagerOptions;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(options: StagerOptions) {
    this.#options = options;
  }

  /**
   * @throws IsobarError ISOBAR_ENGINE_TRANSFER_FAILED, ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH;
   *   the signal's reason where staging is abandoned
   */
  async stage(
    proposal: Proposal,
    incoming: readonly IncomingExpert[],
    signal: AbortSignal,
  ): Promise<void> {
    const { version } = proposal;
    let staged = 0;
    const startedMs = performance.now();
    const onStaged = async (expert: IncomingExpert) => {
      this.#verify(version, expert, staged === 0);
      staged += 1;
      this.#tellProgress(version, staged, incoming.length);
      const dueMs =
        startedMs + (staged * bytesPerExpert * 1_000) / this.#options.bandwidthBytesPerSecond;
      const waitMs = Math.round(dueMs - performance.now());
      if (waitMs >= 1) await delay(waitMs, undefined, { signal });
    };
    for (const [source, experts] of this.#bySource(proposal, incoming)) {
      if (source === backingStore) await this.#readExperts(experts, signal, onStaged);
      else await this.#fetchExperts(source, experts, signal, onStaged);
    }
  }

  #tellProgress(version: number, staged: number, total: number): void {
    const nowMs = performance.now();
    if (staged < total && nowMs - this.#toldMs < progressIntervalMs) return;
    this.#toldMs = nowMs;
    this.#options.onProgress(version, staged, total);
  }

  #bySource(
    proposal: Proposal,
    incoming: readonly IncomingExpert[],
  ): Map<number, IncomingExpert[]> {
    const transfers = decodeTransfers(proposal.transfers, this.#options.rank);
    const sources = new Map(transfers.map((t) => [`${t.layer}.${t.slot}`, t]));
    const bySource = new Map<number, IncomingExpert[]>();
    for (const expert of incoming) {
      const transfer = sources.get(`${expert.layer}.${expert.slot}`);
      if (transfer?.expert !== expert.expert) {
        const text = `the proposal names no source for slot ${expert.slot} of layer ${expert.layer}`;
        const fields = { layer: expert.layer, slot: expert.slot, expert: expert.expert };
        throw new IsobarError('ISOBAR_ENGINE_TRANSFER_FAILED', text, fields);
      }
      const { sourceRank } = transfer;
      bySource.set(sourceRank, [...(bySource.get(sourceRank) ?? []), expert]);
    }
    return bySource;
  }

  async #readExperts(
    experts: readonly IncomingExpert[],
    signal: AbortSignal,
    onStaged: (expert: IncomingExpert) => Promise<void>,
  ): Promise<void> {
    for (const expert of experts) {
      signal.throwIfAborted();
      await this.#options.checkpoint.readExpert(expert.layer, expert.expert, expert.weights);
      await onStaged(expert);
    }
  }

  async #fetchExperts(
    source: number,
    experts: readonly IncomingExpert[],
    signal: AbortSignal,
    onStaged: (expert: IncomingExpert) => Promise<void>,
  ): Promise<void> {
    const { rank, socketPath } = this.#options;
    const fetches = experts.map((expert) => ({
      layer: expert.layer,
      expert: expert.expert,
      into: expert.weights,
      incoming: expert,
    }));
    await fetchWeights(socketPath(source), rank, fetches, signal, ({ incoming }) =>
      onStaged(incoming),
    );
  }

  #verify(version: number, expert: IncomingExpert, first: boolean): void {
    const { work, faults, checkpoint } = this.#options;
    const { weights, layer } = expert;
    if (first && corruptsStaging(faults, version)) damage(weights);
    const digest = work.measure(version, () =>
      weightDigest(new Uint8Array(weights.buffer, weights.byteOffset, bytesPerExpert)),
    );
    if (digest !== checkpoint.digest(layer, expert.expert)) {
      const text = `expert ${expert.expert} of layer ${layer} does not have the manifest's digest`;
      const fields = { layer, expert: expert.expert, digest };
      throw new IsobarError('ISOBAR_ENGINE_WEIGHT_DIGEST_MISMATCH', text, fields);
    }
    work.staged(version, bytesPerExpert);
    if (first && faults.wrongWeightsInVersion === version) damage(weights);
  }
}
