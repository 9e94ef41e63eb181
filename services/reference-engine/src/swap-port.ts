import type { EngineCommandMessage } from '@isobar/engine';
import type { ExpertMapping } from '@isobar/eplb';
import {
  abandonStaging,
  admitProposal,
  adoptBase,
  applyOutcome,
  applyProposal,
  decodeMapRecord,
  decodeProposal,
  type EngineState,
  type EngineSwapState,
  engineStateOf,
  IsobarError,
  initialEngineSwap,
  type Proposal,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
} from '@isobar/protocol';
import type { Residency } from './residency.js';
import type { Stager } from './stager.js';
import type { SwapWork } from './swap-work.js';

export interface SwapPortOptions {
  readonly rank: number;
  readonly incarnation: string;
  readonly residency: Residency;
  readonly stager: Stager;
  readonly work: SwapWork;
  readonly currentStep: () => number;
  /** A version is being followed: every token routed by an older one has been answered. */
  readonly onActivated: (state: EngineState) => void;
}

interface Staging {
  readonly version: number;
  readonly abort: AbortController;
  done: Promise<void>;
}

/**
 * The engine's side of the swap: what the protocol's guard admits, done to weights and tables.
 * Commands come while a forward step runs; the switch itself waits for the step's end.
 */
export class SwapPort {
  readonly #options: SwapPortOptions;
  #swap: EngineSwapState;
  #staging: Staging | null = null;

  constructor(options: SwapPortOptions) {
    this.#options = options;
    const { rank, incarnation, residency } = options;
    this.#swap = initialEngineSwap(rank, incarnation, residency.mapping.digest(), 'serving');
  }

  /** The version that this rank routes by. */
  get mappingVersion(): number {
    return this.#swap.mappingVersion;
  }

  /** Highest committed version whose weights this rank has staged. */
  get readyVersion(): number {
    return this.#swap.committed.version;
  }

  /** From the first staged byte of a version until its old buffers are free. */
  get swapOpen(): boolean {
    const { staging, vote, committed, mappingVersion, activatedVersion, retiredUpTo } = this.#swap;
    return (
      staging !== null ||
      vote !== null ||
      committed.version !== mappingVersion ||
      retiredUpTo !== activatedVersion
    );
  }

  state(): EngineState {
    const { residency, currentStep } = this.#options;
    const { mapping } = residency;
    return engineStateOf(this.#swap, {
      mappingDigest: mapping.digest(),
      physicalToLogical: mapping.physicalToLogical,
      brokenPeers: [],
      freeBuffers: residency.freeBuffers,
      step: currentStep(),
    });
  }

  /** @throws IsobarError the guard's refusals, and those of staging */
  async handle(command: EngineCommandMessage): Promise<void> {
    switch (command.kind) {
      case 'query':
        this.#swap = raiseFence(this.#swap, command.fence);
        return;
      case 'stage':
        return this.#stage(command);
      case 'activate':
      case 'discard':
        return this.#applyOutcome(command);
      case 'adopt':
        this.#adopt(command);
        return;
      case 'cut':
        this.#swap = recordCut(this.#swap, command.fence, command.member);
        return;
      case 'retire':
        return this.#retire(command);
    }
  }

  async #stage(command: Extract<EngineCommandMessage, { kind: 'stage' }>): Promise<void> {
    const proposal = decodeProposal(command.proposal);
    const { state, action } = admitProposal(this.#swap, command.fence, proposal);
    if (action === 'voted') this.#swap = state;
    const staging =
      action === 'stage' ? this.#begin(state, proposal, command.proposal) : this.#staging;
    await staging?.done;
  }

  #begin(admitted: EngineSwapState, proposal: Proposal, proposalBytes: Uint8Array): Staging {
    const mapping = this.#target(admitted, proposal);
    this.#swap = admitted;
    const abort = new AbortController();
    const staging = { version: proposal.version, abort, done: Promise.resolve() };
    this.#staging = staging;
    staging.done = this.#fill(proposal, proposalBytes, mapping, abort.signal);
    return staging;
  }

  #target(admitted: EngineSwapState, proposal: Proposal): ExpertMapping {
    const { version } = admitted.committed;
    if (admitted.mappingVersion !== version) {
      const text = `rank ${admitted.rank} has not switched to version ${version} yet`;
      throw new IsobarError('ISOBAR_ENGINE_SWAP_OPEN', text, {
        rank: admitted.rank,
        open: version,
      });
    }
    return applyProposal(this.#options.residency.mapping, proposal);
  }

  async #fill(
    proposal: Proposal,
    proposalBytes: Uint8Array,
    mapping: ExpertMapping,
    signal: AbortSignal,
  ): Promise<void> {
    const { residency, stager, work } = this.#options;
    const { version } = proposal;
    try {
      const incoming = work.measure(version, () => residency.stage(version, mapping));
      await stager.stage(proposal, incoming, signal);
      signal.throwIfAborted();
      residency.serve(version);
      this.#swap = recordVote(this.#swap, proposal, proposalBytes);
    } catch (error) {
      residency.discard(version);
      this.#swap = abandonStaging(this.#swap, version);
      work.ended(version, 'void');
      throw error;
    } finally {
      this.#staging = null;
    }
  }

  #applyOutcome(command: Extract<EngineCommandMessage, { kind: 'activate' | 'discard' }>): void {
    const record = decodeMapRecord(command.record);
    const taken = applyOutcome(this.#swap, command.fence, record, command.record);
    this.#discard(taken.discarded);
    this.#swap = taken.state;
  }

  #adopt(command: Extract<EngineCommandMessage, { kind: 'adopt' }>): void {
    const record = decodeMapRecord(command.record);
    const taken = adoptBase(this.#swap, command.fence, record, command.record);
    this.#discard(taken.discarded);
    this.#swap = taken.state;
  }

  #discard(version: number | null): void {
    if (version === null) return;
    if (this.#staging?.version === version) {
      const text = `version ${version} was decided void while it was being staged`;
      this.#staging.abort.abort(
        new IsobarError('ISOBAR_ENGINE_STAGING_ABANDONED', text, { version }),
      );
    } else {
      this.#options.residency.discard(version);
      this.#options.work.ended(version, 'void');
    }
  }

  #retire(command: Extract<EngineCommandMessage, { kind: 'retire' }>): void {
    const { fence, version } = command;
    this.#swap = recordRetired(this.#swap, fence, version);
    const { work, residency } = this.#options;
    work.measure(version, () => residency.retire(version));
    work.ended(version, 'committed');
  }

  /**
   * Between two steps: switches where a version is committed, staged, and may be followed.
   * @param followUpTo highest version that may be followed: with in-place activation the
   *   smallest `readyVersion` that any rank carried in the step that has ended
   */
  switchBetweenSteps(followUpTo: number): void {
    const version = this.#swap.switchingTo;
    if (version === null || version > followUpTo) return;
    const { work, residency, currentStep, onActivated } = this.#options;
    work.measure(version, () => {
      residency.switchTo(version);
      // The step has ended: each of its tokens, routed by the old version, has been answered.
      this.#swap = recordActivated(recordSwitch(this.#swap, version), version);
      onActivated(this.state());
    });
    work.activated(version, currentStep() + 1);
  }
}
