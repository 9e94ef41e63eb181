import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { EngineServer, parseEngineAddress } from '@isobar/engine';
import { ExpertMapping } from '@isobar/eplb';
import { type EngineDescription, IsobarError } from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { readTrace, type Trace } from '@isobar/trace';
import { Checkpoint } from './checkpoint.js';
import { ForwardPass, type StepEnd } from './forward-pass.js';
import { LoadCounter } from './load-counter.js';
import { bytesPerExpert } from './model-shape.js';
import { Pacer } from './pacer.js';
import { PeerNetwork } from './peer-network.js';
import { ReplicaRouter } from './replica-router.js';
import { Residency } from './residency.js';
import { ResultsWriter } from './results-file.js';
import type { EngineSettings } from './settings.js';
import { Stager } from './stager.js';
import { SwapPort } from './swap-port.js';
import { SwapWork } from './swap-work.js';

const peersDeadlineMs = 60_000;

/** One rank of the reference engine: serves its trace until the group is asked to stop. */
export class ReferenceEngine {
  readonly #settings: EngineSettings;
  readonly #logger: Logger;
  readonly #trace: Trace;
  readonly #checkpoint: Checkpoint;
  readonly #residency: Residency;
  readonly #work = new SwapWork();
  readonly #peers: PeerNetwork;
  readonly #port: SwapPort;
  readonly #counter: LoadCounter;
  readonly #forward: ForwardPass;
  readonly #description: EngineDescription;
  #server: EngineServer | null = null;
  #step = -1;
  #stopping = false;
  #loadToldMs = 0;

  private constructor(
    settings: EngineSettings,
    trace: Trace,
    checkpoint: Checkpoint,
    logger: Logger,
  ) {
    this.#settings = settings;
    this.#logger = logger;
    this.#trace = trace;
    this.#checkpoint = checkpoint;
    const { rank, numRanks } = settings;
    const startMapping = startMappingOf(settings, trace);
    const incarnation = randomBytes(8).toString('hex');
    this.#description = describe(settings, startMapping, checkpoint, incarnation);
    this.#residency = new Residency({ ...settings, startMapping });
    const socketPath = (peer: number) => join(settings.peerDirectory, `peer-${peer}.sock`);
    this.#peers = new PeerNetwork({
      rank,
      numRanks,
      socketPath,
      weights: (layer, expert) => this.#residency.weightsOfExpert(layer, expert),
      onBroken: (peer, cause) => logger.warn({ peer, cause }, 'peer connection broken'),
    });
    const stager = new Stager({
      rank,
      checkpoint,
      socketPath,
      work: this.#work,
      bandwidthBytesPerSecond: settings.stagingBytesPerSecond,
      faults: settings.faults,
      onProgress: (version, staged, total) => this.#server?.sendProgress(version, staged, total),
    });
    this.#port = new SwapPort({
      rank,
      incarnation,
      residency: this.#residency,
      stager,
      work: this.#work,
      currentStep: () => this.#step,
      onActivated: (state) => this.#server?.sendActivated(state),
    });
    this.#counter = new LoadCounter(rank, incarnation, startMapping);
    const { header } = trace;
    this.#forward = new ForwardPass({
      rank,
      numRanks,
      model: header,
      residency: this.#residency,
      peers: this.#peers,
      router: new ReplicaRouter(rank, header.numLayers, header.numExperts),
      counter: this.#counter,
      pacer: new Pacer(millisPerToken(settings, trace)),
    });
  }

  /** @throws IsobarError ISOBAR_ENGINE_CHECKPOINT, ISOBAR_ENGINE_SETTINGS; TraceError */
  static async load(settings: EngineSettings, logger: Logger): Promise<ReferenceEngine> {
    const trace = await readTrace(settings.trace);
    const checkpoint = await Checkpoint.open(settings.checkpointDirectory);
    assertFits(trace, checkpoint);
    const engine = new ReferenceEngine(settings, trace, checkpoint, logger);
    for (const { layer, expert, weights } of engine.#residency.startExperts()) {
      await checkpoint.readExpert(layer, expert, weights);
    }
    return engine;
  }

  /** Serves until `stop` is called at any rank of the group; resolves when all is written. */
  async run(): Promise<void> {
    const { rank, numRanks, resultsDirectory } = this.#settings;
    const results = await ResultsWriter.create(resultsDirectory, {
      rank,
      numRanks,
      ...this.#trace.header,
    });
    this.#server = await EngineServer.listen({
      address: parseEngineAddress(this.#settings.listen),
      hello: () => ({ description: this.#description, state: this.#port.state() }),
      handle: (command) => this.#port.handle(command),
      onError: (error) => this.#logger.warn({ err: error }, 'engine port'),
    });
    await this.#peers.connect(peersDeadlineMs);
    this.#logger.info({ rank, ...this.#trace.header }, 'serving');
    for (let ended = false; !ended; ) ended = await this.#runStep(results);
    await this.#peers.close();
    await this.#server.close();
    await results.close(this.#work.results());
    await this.#checkpoint.close();
  }

  /** Asks the whole group to stop after the step that begins next. */
  stop(): void {
    this.#stopping = true;
  }

  async #runStep(results: ResultsWriter): Promise<boolean> {
    const step = this.#step + 1;
    const traceStep = step % this.#trace.numSteps;
    const { mappingVersion } = this.#port;
    const swapOpenBefore = this.#port.swapOpen;
    const startedAtMs = Date.now();
    const startedMs = performance.now();
    const end = await this.#forward.run({
      step,
      traceStep,
      experts: this.#trace.tokens(traceStep),
      numTokens: this.#trace.numTokens(traceStep),
      mappingVersion,
      readyVersion: this.#port.readyVersion,
      stopping: this.#stopping,
    });
    this.#step = step;
    const swapOpen = swapOpenBefore || this.#port.swapOpen;
    // Counted into the step: a switch holds inference up as much as any layer does.
    this.#port.switchBetweenSteps(this.#followUpTo(end));
    const stepMillis = performance.now() - startedMs;
    this.#counter.stepEnded(mappingVersion, step, stepMillis);
    this.#tellLoads(end.stopping);
    const { numTokens, served, checksums } = end;
    await results.append({
      step,
      traceStep,
      numTokens,
      mappingVersion,
      swapOpen,
      startedAtMs,
      stepMillis,
      maskedRanks: this.#peers.broken.size,
      served,
      checksums,
    });
    return end.stopping;
  }

  #followUpTo(end: StepEnd): number {
    const { activation } = this.#settings;
    return activation === 'in-place' ? end.readyVersionOfAll : this.#port.readyVersion;
  }

  #tellLoads(last: boolean): void {
    const nowMs = performance.now();
    if (!last && nowMs - this.#loadToldMs < this.#settings.loadIntervalMs) return;
    this.#loadToldMs = nowMs;
    for (const sample of this.#counter.takeSamples()) this.#server?.sendLoad(sample);
  }
}

function startMappingOf(settings: EngineSettings, trace: Trace): ExpertMapping {
  const { numRanks, numPhysicalExperts } = settings;
  const { numLayers, numExperts } = trace.header;
  return ExpertMapping.contiguous({
    numLayers,
    numLogicalExperts: numExperts,
    numRanks,
    numPhysicalExperts,
  });
}

function assertFits(trace: Trace, checkpoint: Checkpoint): void {
  const { numLayers, numExperts } = trace.header;
  if (checkpoint.numLayers === numLayers && checkpoint.numExperts === numExperts) return;
  const text = `the trace has ${numLayers} layers of ${numExperts} experts, the checkpoint ${checkpoint.numLayers} of ${checkpoint.numExperts}`;
  throw new IsobarError('ISOBAR_ENGINE_SETTINGS', text, { field: 'trace' });
}

function millisPerToken(settings: EngineSettings, trace: Trace): number {
  let tokens = 0;
  for (let step = 0; step < trace.numSteps; step += 1) tokens += trace.numTokens(step);
  const meanRankTokens = (tokens * trace.header.topK) / trace.numSteps / settings.numRanks;
  return settings.meanLayerMillis / meanRankTokens;
}

function describe(
  settings: EngineSettings,
  mapping: ExpertMapping,
  checkpoint: Checkpoint,
  incarnation: string,
): EngineDescription {
  const { deployment, rank, numRanks, spareBuffers, reserveBuffers, activation } = settings;
  return {
    deployment,
    rank,
    numRanks,
    incarnation,
    process: null,
    engine: 'isobar reference engine',
    modelRevision: checkpoint.modelRevision,
    phase: 'mixed',
    modelLayerIds: Int32Array.from({ length: mapping.numLayers }, (_, layer) => layer),
    numLogicalExperts: mapping.numLogicalExperts,
    slotOffsets: mapping.slotOffsets,
    pinnedSlots: new Int32Array(0),
    bytesPerExpert,
    spareBuffers,
    reserveBuffers,
    replicaChoice: 'uniform',
    activation,
    staging: 'one-sided',
    digestAlgorithm: 'sha256',
    ownBalancer: false,
  };
}
