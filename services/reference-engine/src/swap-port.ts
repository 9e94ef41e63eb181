import type { EngineCommandMessage } from '@isobar/engine';
import type { ExpertMapping } from '@isobar/eplb';
import {
  abandonStaging,
  admitProposal,
  adoptBase,
  applyOutcome,
  applyPeerOutcome,
  applyProposal,
  assertOffered,
  decodeMapRecord,
  decodeProposal,
  type EngineState,
  type EngineSwapState,
  engineStateOf,
  IsobarError,
  initialEngineSwap,
  type MapRecord,
  type Member,
  mappingOfRecord,
  type OutcomeTaken,
  type Proposal,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
} from '@isobar/protocol';
import type { MembershipView } from './membership-view.js';
import type { Residency } from './residency.js';
import type { Stager } from './stager.js';
import type { SwapWork } from './swap-work.js';

export interface SwapPortOptions {
  readonly rank: number;
  readonly incarnation: string;
  readonly residency: Residency;
  readonly members: MembershipView;
  readonly stager: Pick<Stager, 'stage'>;
  readonly work: SwapWork;
  readonly currentStep: () => number;
  readonly brokenPeers: () => readonly Member[];
  /** A version is being followed: every token routed by an older one has been answered. */
  readonly onActivated: (state: EngineState) => void;
  /** Staging has ended without a vote, which may be long after it was given up: its buffers are free. */
  readonly onStagingFreed: (state: EngineState) => void;
  /** Outcomes or standing are others than before. */
  readonly onOutcome: () => void;
  readonly onCut: (member: Member) => void;
  /** Peers whose tokens can't be served any more: every version that they route by is retired. */
  readonly onLeft: (members: readonly Member[]) => void;
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
  /** Mapping of the newest committed version, on which the next proposal is made. */
  #committedMapping: ExpertMapping;
  /** False while this engine has no part in any mapping yet. */
  #hasMapping = true;
  #leaderHeardMs = Number.NEGATIVE_INFINITY;
  #isLeaving = false;

  constructor(options: SwapPortOptions) {
    this.#options = options;
    const { rank, incarnation, residency } = options;
    this.#committedMapping = residency.mapping;
    this.#swap = initialEngineSwap(rank, incarnation, residency.mapping.digest(), 'serving');
  }

  /** Joins a group that has gone on instead of serving the start mapping. To be called first. */
  join(): void {
    const { rank, incarnation, residency } = this.#options;
    this.#swap = initialEngineSwap(rank, incarnation, residency.mapping.digest(), 'joining');
    this.#hasMapping = false;
    residency.join();
  }

  /** Offers the first slots of every layer; the leader has the others emptied. */
  offer(slots: number): void {
    this.#options.residency.offer(slots);
  }

  /** Wants to leave the group: the agent, which is told so, has the leader let it go. */
  wantToLeave(): void {
    this.#isLeaving = true;
  }

  /** Nobody sends it a token any more, nor counts on what it holds. */
  get hasLeft(): boolean {
    const { standing, vote, retiredUpTo, committed } = this.#swap;
    if (standing === 'stopped') return retiredUpTo >= committed.version;
    return standing === 'joining' && vote === null;
  }

  /** What the guard knows. */
  get swap(): EngineSwapState {
    return this.#swap;
  }

  /** The version that this rank routes by. */
  get mappingVersion(): number {
    return this.#swap.mappingVersion;
  }

  /** Whether this rank may route tokens of its own. */
  get mayRoute(): boolean {
    return this.#hasMapping && this.#swap.standing === 'serving';
  }

  /**
   * Highest committed version whose weights this rank has staged. A joining engine has a say in
   * when the group switches from its yes vote on.
   */
  get readyVersion(): number {
    const { switchingTo, standing, vote, committed, mappingVersion } = this.#swap;
    if (switchingTo !== null) return switchingTo;
    if (standing !== 'joining') return mappingVersion;
    return vote === null ? Number.POSITIVE_INFINITY : committed.version;
  }

  /** When a leader's word was last taken, on `performance`'s clock. */
  get leaderHeardMs(): number {
    return this.#leaderHeardMs;
  }

  /** From the first staged byte of a version until its old buffers are free. */
  get swapOpen(): boolean {
    const { staging, vote, switchingTo, activatedVersion, retiredUpTo } = this.#swap;
    return (
      staging !== null || vote !== null || switchingTo !== null || retiredUpTo !== activatedVersion
    );
  }

  state(): EngineState {
    const { residency, currentStep, brokenPeers } = this.#options;
    const { mapping } = residency;
    return engineStateOf(this.#swap, {
      mappingDigest: mapping.digest(),
      physicalToLogical: mapping.physicalToLogical,
      brokenPeers: [...brokenPeers()],
      freeBuffers: residency.freeBuffers,
      step: currentStep(),
      ...(residency.offeredSlots < residency.ownSlots
        ? { offeredSlots: residency.offeredSlots }
        : {}),
      ...(this.#isLeaving ? { leaving: true } : {}),
    });
  }

  /** @throws IsobarError the guard's refusals, and those of staging */
  handle(command: EngineCommandMessage): void | Promise<void> {
    this.#become(raiseFence(this.#swap, command.fence));
    this.#leaderHeardMs = performance.now();
    switch (command.kind) {
      case 'query':
        return;
      case 'stage':
        return this.#stage(command);
      case 'activate':
      case 'discard': {
        const record = decodeMapRecord(command.record);
        const taken = applyOutcome(this.#swap, command.fence, record, command.record);
        return this.#take(record, taken);
      }
      case 'adopt': {
        const record = decodeMapRecord(command.record);
        const taken = adoptBase(this.#swap, command.fence, record, command.record);
        return this.#take(record, taken);
      }
      case 'cut':
        this.#become(recordCut(this.#swap, command.fence, command.member));
        return this.#options.onCut(command.member);
      case 'retire':
        return this.#retire(command);
    }
  }

  /** Takes the guard's next state, and ends staging that it has abandoned. */
  #become(state: EngineSwapState): void {
    this.#swap = state;
    const staging = this.#staging;
    if (staging === null || state.staging?.version === staging.version) return;
    const { version } = staging;
    const text = `staging of version ${version} is no longer wanted`;
    staging.abort.abort(new IsobarError('ISOBAR_ENGINE_STAGING_ABANDONED', text, { version }));
  }

  async #stage(command: Extract<EngineCommandMessage, { kind: 'stage' }>): Promise<void> {
    const proposal = decodeProposal(command.proposal);
    await this.#abandonedEnds();
    const { state, action } = admitProposal(this.#swap, command.fence, proposal);
    if (action === 'voted') this.#become(state);
    const staging =
      action === 'stage' ? this.#begin(state, proposal, command.proposal) : this.#staging;
    await staging?.done;
  }

  /** Transfers under way may still write into buffers that the next version is to have. */
  async #abandonedEnds(): Promise<void> {
    while (this.#staging?.abort.signal.aborted === true) {
      // What became of it is told by its own command.
      await this.#staging.done.catch(() => undefined);
    }
  }

  #begin(admitted: EngineSwapState, proposal: Proposal, proposalBytes: Uint8Array): Staging {
    const { rank, residency } = this.#options;
    const mapping = applyProposal(this.#committedMapping, proposal);
    const routed = this.#hasMapping ? [residency.mapping] : [];
    assertOffered(rank, residency.offeredSlots, mapping, [this.#committedMapping, ...routed]);
    this.#swap = admitted;
    const abort = new AbortController();
    const staging = { version: proposal.version, abort, done: Promise.resolve() };
    this.#staging = staging;
    staging.done = this.#fill(proposal, proposalBytes, mapping, abort.signal);
    return staging;
  }

  async #fill(
    proposal: Proposal,
    proposalBytes: Uint8Array,
    mapping: ExpertMapping,
    signal: AbortSignal,
  ): Promise<void> {
    const { residency, stager, work, members, onStagingFreed } = this.#options;
    const { version, change } = proposal;
    try {
      const incoming = work.measure(version, () => residency.stage(version, mapping, change));
      await stager.stage(proposal, incoming, signal);
      signal.throwIfAborted();
      this.#swap = recordVote(this.#swap, proposal, proposalBytes);
      residency.serve(version);
      members.expect(proposal.members);
    } catch (error) {
      residency.discard(version);
      this.#swap = abandonStaging(this.#swap, version);
      work.ended(version, 'void');
      onStagingFreed(this.state());
      throw error;
    } finally {
      this.#staging = null;
    }
  }

  /**
   * Takes an outcome that a peer has acted on (rule S6).
   * @returns whether it was of any consequence
   * @throws IsobarError the guard's refusals
   */
  takePeerOutcome(from: Member, record: MapRecord, recordBytes: Uint8Array): boolean {
    const taken = applyPeerOutcome(this.#swap, from, record, recordBytes);
    this.#take(record, taken);
    return taken.action !== 'none';
  }

  #take(record: MapRecord, { state, action, discarded }: OutcomeTaken): void {
    const { members } = this.#options;
    this.#become(state);
    if (discarded !== null && discarded !== this.#staging?.version) this.#discard(discarded);
    if (record.outcome === 'committed' && (action === 'switch' || action === 'adopt')) {
      this.#committedMapping = mappingOfRecord(record);
      if (action === 'switch') members.expect(record.members);
      else if (!this.#hasMapping) members.adopt(record.members);
    }
    if (action !== 'none') this.#options.onOutcome();
  }

  #discard(version: number): void {
    const { residency, work, members } = this.#options;
    members.expectNone();
    residency.discard(version);
    work.ended(version, 'void');
  }

  #retire(command: Extract<EngineCommandMessage, { kind: 'retire' }>): void {
    const { fence, version } = command;
    const { work, residency, members, onLeft, onOutcome } = this.#options;
    this.#become(recordRetired(this.#swap, fence, version));
    work.measure(version, () => residency.retire(version));
    work.ended(version, 'committed');
    onLeft(members.takeLeft());
    // One that was to leave may end now.
    onOutcome();
  }

  /**
   * Between two steps: switches where a version is committed, staged, and may be followed.
   * @param followUpTo highest version that may be followed: with in-place activation the
   *   smallest `readyVersion` that any rank carried in the step that has ended
   */
  switchBetweenSteps(followUpTo: number): void {
    const version = this.#swap.switchingTo;
    if (version === null || version > followUpTo) return;
    const { work, residency, members, currentStep, onActivated, onOutcome } = this.#options;
    work.measure(version, () => {
      residency.switchTo(version);
      members.switched();
      this.#hasMapping = true;
      // The step has ended: each of its tokens, routed by the old version, has been answered.
      this.#swap = recordActivated(recordSwitch(this.#swap, version), version);
      onActivated(this.state());
    });
    work.activated(version, currentStep() + 1);
    onOutcome();
  }
}
