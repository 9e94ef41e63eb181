import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EngineServer, parseEngineAddress } from '@isobar/engine';
import type { EngineDescription } from '@isobar/protocol';
import type { Logger } from '@isobar/telemetry';
import { describeEngine } from './engine-description.js';
import { type EngineGround, loadGround } from './engine-ground.js';
import { ExpertServer, type OwnHead } from './expert-server.js';
import { dieAmidStep } from './faults.js';
import { ForwardPass, type Routing, type StepEnd } from './forward-pass.js';
import { LoadCounter } from './load-counter.js';
import { MembershipView } from './membership-view.js';
import { Pacer } from './pacer.js';
import { Peers } from './peers.js';
import { ReplicaRouter } from './replica-router.js';
import { Residency } from './residency.js';
import { ResultsWriter } from './results-file.js';
import { type EngineSettings, readOfferedSlots } from './settings.js';
import { Stager } from './stager.js';
import { SwapPort } from './swap-port.js';
import { SwapWork } from './swap-work.js';
import { WakeUp } from './wake-up.js';

/** Wait between two questions for an outcome without which a step can't go on. */
const askAgainMs = 200;

/**
 * One rank of the reference engine. It serves its trace until the group is asked to stop, if it
 * is one of a new group; else it answers its peers and its agent until a version lists it.
 */
export class ReferenceEngine {
  readonly #settings: EngineSettings;
  readonly #logger: Logger;
  readonly #ground: EngineGround;
  readonly #residency: Residency;
  readonly #work = new SwapWork();
  readonly #members: MembershipView;
  readonly #peers: Peers;
  readonly #port: SwapPort;
  readonly #counter: LoadCounter;
  readonly #forward: ForwardPass;
  readonly #description: EngineDescription;
  readonly #wakeUp = new WakeUp();
  #agents: EngineServer | null = null;
  /** The last step that has ended. */
  #step = -1;
  #stopping = false;
  #leaveTimer: NodeJS.Timeout | null = null;
  #isResting = false;
  #loadToldMs = 0;

  private constructor(settings: EngineSettings, ground: EngineGround, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
    this.#ground = ground;
    const { rank, numRanks, activation } = settings;
    const { checkpoint, startMapping } = ground;
    const { header } = ground.trace;
    const incarnation = randomBytes(8).toString('hex');
    this.#description = describeEngine(settings, startMapping, checkpoint, incarnation);
    this.#residency = new Residency({ ...settings, startMapping });
    this.#members = new MembershipView({ rank, incarnation });
    this.#counter = new LoadCounter(rank, incarnation, startMapping);
    const server = new ExpertServer({
      activation,
      residency: this.#residency,
      counter: this.#counter,
    });
    this.#peers = new Peers({
      rank,
      numRanks,
      incarnation,
      socketPath: (peer) => join(settings.peerDirectory, `peer-${peer}.sock`),
      startDeadlineMs: settings.groupDeadlineMs,
      askAfterMs: settings.askPeersAfterMs,
      asksForOutcomes: settings.faults.diesBefore === undefined,
      members: this.#members,
      port: () => this.#port,
      weights: (layer, expert) => this.#residency.weightsOfExpert(layer, expert),
      serve: (dispatch) => server.serve(dispatch, this.#ownHead()),
      hasAgent: () => this.#agents?.hasAgent === true,
      onChanged: (what) => this.#onPeersChanged(what),
      logger,
    });
    this.#port = new SwapPort({
      rank,
      incarnation,
      residency: this.#residency,
      members: this.#members,
      stager: new Stager({
        greeting: () => this.#peers.greeting('weights'),
        checkpoint,
        socketPath: (peer) => join(settings.peerDirectory, `peer-${peer}.sock`),
        work: this.#work,
        bandwidthBytesPerSecond: settings.stagingBytesPerSecond,
        faults: settings.faults,
        onProgress: (version, staged, total) => this.#agents?.sendProgress(version, staged, total),
      }),
      work: this.#work,
      currentStep: () => this.#step,
      brokenPeers: () => this.#peers.broken,
      onActivated: (state) => this.#agents?.sendActivated(state),
      onStagingFreed: (state) => this.#agents?.sendChanged(state),
      onOutcome: () => this.#wakeUp.raise(),
      onCut: (member) => this.#peers.disconnect([member], 'cut off for good'),
      onLeft: (left) => this.#peers.disconnect(left, 'no member any more'),
    });
    this.#forward = new ForwardPass({
      rank,
      numRanks,
      activation,
      model: header,
      exchange: this.#peers.exchange,
      server,
      router: new ReplicaRouter(rank, header.numLayers, header.numExperts),
      counter: this.#counter,
      pacer: new Pacer(ground.millisPerToken),
      routing: () => this.#routing(),
      follow: (version) => this.#follow(version),
    });
  }

  /** @throws IsobarError ISOBAR_ENGINE_CHECKPOINT, ISOBAR_ENGINE_SETTINGS; TraceError */
  static async load(settings: EngineSettings, logger: Logger): Promise<ReferenceEngine> {
    const ground = await loadGround(settings);
    const engine = new ReferenceEngine(settings, ground, logger);
    if (settings.offeredSlotsFile !== undefined) {
      engine.#port.offer(await readOfferedSlots(settings.offeredSlotsFile));
    }
    for (const { layer, expert, weights } of engine.#residency.startExperts()) {
      await ground.checkpoint.readVerified(layer, expert, weights);
    }
    return engine;
  }

  /**
   * Serves until this engine is asked to stop, or another of its group while it serves; resolves
   * when all is written.
   */
  async run(): Promise<void> {
    const { rank, numRanks, resultsDirectory } = this.#settings;
    const { incarnation } = this.#description;
    const results = await ResultsWriter.create(resultsDirectory, {
      rank,
      numRanks,
      incarnation,
      ...this.#ground.trace.header,
    });
    const beginning = await this.#peers.start();
    if (beginning === 'joining') this.#port.join();
    this.#isResting = beginning === 'joining';
    // Only now: an agent must not be told of an engine that is not known to serve.
    this.#agents = await EngineServer.listen({
      address: parseEngineAddress(this.#settings.listen),
      hello: () => ({ description: this.#description, state: this.#port.state() }),
      handle: (command) => this.#port.handle(command),
      onError: (error) => this.#logger.warn({ err: error }, 'engine port'),
    });
    this.#logger.info({ rank, standing: beginning, ...this.#ground.trace.header }, 'serving');
    for (let ended = beginning === null; !ended; ) {
      ended = await (this.#isResting ? this.#rest() : this.#runStep(results));
    }
    if (this.#leaveTimer !== null) clearTimeout(this.#leaveTimer);
    await this.#peers.close();
    await this.#agents.close();
    await results.close({ standing: this.#port.swap.standing, swaps: this.#work.results() });
    await this.#ground.checkpoint.close();
  }

  /** Reads anew how many slots it is to offer. */
  async readOffer(): Promise<void> {
    const { offeredSlotsFile } = this.#settings;
    if (offeredSlotsFile === undefined) return;
    try {
      this.offer(await readOfferedSlots(offeredSlotsFile));
    } catch (error) {
      this.#logger.error({ err: error }, 'the offer stays as it was');
    }
  }

  /** @param slots of every layer, the first ones */
  offer(slots: number): void {
    this.#port.offer(slots);
    this.#logger.info({ slots }, 'slots offered');
    this.#agents?.sendChanged(this.#port.state());
  }

  /** Has the others go on without this engine, then ends; by itself where that takes too long. */
  leave(onOverdue: () => void): void {
    if (this.#leaveTimer !== null) return;
    if (this.#agents === null) {
      this.stop();
      return;
    }
    const { leaveDeadlineMs } = this.#settings;
    this.#leaveTimer = setTimeout(() => {
      this.#logger.error({ leaveDeadlineMs }, 'ending although the group has not let it go');
      onOverdue();
    }, leaveDeadlineMs);
    this.#port.wantToLeave();
    this.#agents?.sendChanged(this.#port.state());
    this.#wakeUp.raise();
  }

  /** An engine that serves asks its whole group to stop after the step that begins next. */
  stop(): void {
    this.#stopping = true;
    this.#peers.stopStarting();
    this.#wakeUp.raise();
  }

  #onPeersChanged(what: 'connections' | 'outcome' | 'frame'): void {
    if (what !== 'frame') this.#agents?.sendChanged(this.#port.state());
    this.#wakeUp.raise();
  }

  /** Not listed, not yet or no more: answers peers and agent, and follows what lists it. */
  async #rest(): Promise<boolean> {
    this.#peers.exchange.rest();
    if (this.#stopping || (this.#leaveTimer !== null && this.#port.hasLeft)) return true;
    const inPlace = this.#settings.activation === 'in-place';
    this.#port.switchBetweenSteps(inPlace ? this.#peers.versionOfActive : Number.POSITIVE_INFINITY);
    this.#isResting = !(this.#port.mayRoute && this.#peers.isStepKnown);
    if (this.#isResting) await this.#wakeUp.next();
    return false;
  }

  async #runStep(results: ResultsWriter): Promise<boolean> {
    const { exchange } = this.#peers;
    const step = exchange.nextStep;
    const traceStep = step % this.#ground.trace.numSteps;
    const swapOpenBefore = this.#port.swapOpen;
    const startedAtMs = Date.now();
    const startedMs = performance.now();
    exchange.begin(step, this.#peers.takingPart());
    const { diesBefore } = this.#settings.faults;
    if (diesBefore !== undefined && this.#peers.allKnow(diesBefore.version)) {
      return dieAmidStep(exchange.present, diesBefore.tokensTo, step, this.#ownHead());
    }
    const end = await this.#forward.run({
      step,
      traceStep,
      experts: this.#ground.trace.tokens(traceStep),
      numTokens: this.#ground.trace.numTokens(traceStep),
      stopping: this.#stopping,
    });
    if (end === null) {
      this.#isResting = true;
      return false;
    }
    this.#step = step;
    const swapOpen = swapOpenBefore || this.#port.swapOpen;
    const maskedRanks = this.#peers.numUnreachable;
    // Counted into the step: a switch holds inference up as much as any layer does.
    this.#port.switchBetweenSteps(this.#followUpTo(end));
    const stepMillis = performance.now() - startedMs;
    const { numTokens, mappingVersion, attempts, served, checksums, stopping } = end;
    this.#counter.stepEnded(mappingVersion, step, stepMillis);
    this.#tellLoads(stopping);
    await results.append({
      step,
      traceStep,
      numTokens,
      mappingVersion,
      swapOpen,
      startedAtMs,
      stepMillis,
      maskedRanks,
      attempts,
      served,
      checksums,
    });
    this.#isResting = !this.#port.mayRoute;
    // A rank that nothing paces, since it reaches no expert, must not spin.
    if (served.every((tokens) => tokens === 0)) await delay(this.#settings.meanLayerMillis);
    return stopping;
  }

  #followUpTo(end: StepEnd): number {
    const { activation } = this.#settings;
    return activation === 'in-place' ? end.readyVersionOfAll : Number.POSITIVE_INFINITY;
  }

  #routing(): Routing {
    const { mappingVersion, readyVersion } = this.#port;
    const links = this.#peers.linksByRank();
    return { mapping: this.#residency.mapping, mappingVersion, readyVersion, links };
  }

  #ownHead(): OwnHead {
    const { mappingVersion, readyVersion } = this.#port;
    return { mappingVersion, readyVersion, stopping: false };
  }

  /**
   * In the midst of a step: a peer routes by `version` already. Its outcome may be unknown here;
   * then whoever knows it is asked, as long as one that does is connected.
   */
  async #follow(version: number): Promise<boolean> {
    const { outcomes } = this.#peers;
    const lacksOutcome = () =>
      this.#port.mayRoute &&
      this.#port.mappingVersion < version &&
      this.#port.swap.switchingTo === null;
    while (lacksOutcome() && outcomes.peersThatKnow(version).length > 0) {
      outcomes.ask(version);
      await this.#wakeUp.next(askAgainMs);
    }
    this.#port.switchBetweenSteps(version);
    return this.#port.mayRoute;
  }

  #tellLoads(last: boolean): void {
    const nowMs = performance.now();
    if (!last && nowMs - this.#loadToldMs < this.#settings.loadIntervalMs) return;
    this.#loadToldMs = nowMs;
    for (const sample of this.#counter.takeSamples()) this.#agents?.sendLoad(sample);
  }
}
