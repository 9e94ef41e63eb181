import { EngineServer, parseEngineAddress } from '@isobar/engine';
import { ExpertMapping } from '@isobar/eplb';
import {
  admitProposal,
  adoptBase,
  applyOutcome,
  decodeMapRecord,
  decodeProposal,
  type EngineDescription,
  type EngineState,
  type EngineSwapState,
  engineStateOf,
  initialEngineSwap,
  mappingOfRecord,
  raiseFence,
  recordActivated,
  recordCut,
  recordRetired,
  recordSwitch,
  recordVote,
} from '@isobar/protocol';

export const numRanks = 3;
const shape = { numLayers: 2, numLogicalExperts: 6, numRanks, numPhysicalExperts: 9 };
export const startMapping = ExpertMapping.contiguous(shape);

function descriptionOf(deployment: string, rank: number): EngineDescription {
  return {
    deployment,
    rank,
    numRanks,
    incarnation: String(rank + 1).repeat(16),
    process: null,
    engine: 'imagined 1',
    modelRevision: 'r1',
    phase: 'mixed',
    modelLayerIds: Int32Array.of(0, 1),
    numLogicalExperts: shape.numLogicalExperts,
    slotOffsets: startMapping.slotOffsets,
    pinnedSlots: new Int32Array(0),
    bytesPerExpert: 64,
    spareBuffers: 8,
    reserveBuffers: 1,
    replicaChoice: 'uniform',
    activation: 'two-table',
    staging: 'one-sided',
    digestAlgorithm: 'sha256',
    ownBalancer: false,
  };
}

/** An engine with the protocol's guard behind the real port; its weights are imagined. */
export class ImaginedEngine {
  readonly #description: EngineDescription;
  swap: EngineSwapState;
  mapping = startMapping;
  #server: EngineServer | null = null;
  #step = 0;

  private constructor(deployment: string, rank: number) {
    this.#description = descriptionOf(deployment, rank);
    const { incarnation } = this.#description;
    this.swap = initialEngineSwap(rank, incarnation, startMapping.digest(), 'serving');
  }

  static async listen(deployment: string, rank: number, address: string): Promise<ImaginedEngine> {
    const engine = new ImaginedEngine(deployment, rank);
    engine.#server = await EngineServer.listen({
      address: parseEngineAddress(address),
      hello: () => ({ description: engine.#description, state: engine.#state() }),
      handle: (command) => engine.#handle(command),
      onError: () => undefined,
    });
    return engine;
  }

  #state(): EngineState {
    return engineStateOf(this.swap, {
      mappingDigest: this.mapping.digest(),
      physicalToLogical: this.mapping.physicalToLogical,
      brokenPeers: [],
      freeBuffers: 8,
      step: this.#step,
    });
  }

  #handle(command: Parameters<Parameters<typeof EngineServer.listen>[0]['handle']>[0]): void {
    const { fence } = command;
    switch (command.kind) {
      case 'query':
        this.swap = raiseFence(this.swap, fence);
        return;
      case 'stage': {
        const proposal = decodeProposal(command.proposal);
        const { state, action } = admitProposal(this.swap, fence, proposal);
        this.swap = action === 'voted' ? state : recordVote(state, proposal, command.proposal);
        return;
      }
      case 'activate':
      case 'discard': {
        const record = decodeMapRecord(command.record);
        this.swap = applyOutcome(this.swap, fence, record, command.record).state;
        const { switchingTo } = this.swap;
        if (switchingTo === null || record.outcome === 'void') return;
        this.mapping = mappingOfRecord(record);
        this.swap = recordActivated(recordSwitch(this.swap, switchingTo), switchingTo);
        return;
      }
      case 'adopt':
        this.swap = adoptBase(
          this.swap,
          fence,
          decodeMapRecord(command.record),
          command.record,
        ).state;
        return;
      case 'cut':
        this.swap = recordCut(this.swap, fence, command.member);
        return;
      case 'retire':
        this.swap = recordRetired(this.swap, fence, command.version);
        return;
    }
  }

  /** Tells loads, as an engine under traffic does. */
  serve(steps: number): void {
    this.#step += steps;
    const { rank, incarnation } = this.#description;
    const ownSlots =
      (startMapping.slotOffsets[rank + 1] ?? 0) - (startMapping.slotOffsets[rank] ?? 0);
    this.#server?.sendLoad({
      schema: 1,
      rank,
      incarnation,
      mappingVersion: this.swap.mappingVersion,
      firstStep: 0,
      lastStep: this.#step,
      destination: new Float64Array(shape.numLayers * ownSlots).fill(this.#step * (rank + 1)),
      stepMillis: { count: this.#step, sum: this.#step, max: 1 },
      layerMillis: new Float64Array(shape.numLayers).fill(this.#step / 4),
    });
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }
}
