import type { ExpertMapping } from '@isobar/eplb';
import type { Activation } from '@isobar/protocol';
import { lostMark, misroutedMark, outputChecksum } from './checksum.js';
import { type ExpertServer, servedEntries } from './expert-server.js';
import { type Dispatch, type ForwardHead, type Results, Service } from './forward-frames.js';
import { combine, initialState } from './hidden-state.js';
import type { LoadCounter } from './load-counter.js';
import { hiddenSize, type ModelShape } from './model-shape.js';
import type { Pacer } from './pacer.js';
import type { PeerLink } from './peer-link.js';
import type { ReplicaRouter } from './replica-router.js';
import type { StepExchange } from './step-exchange.js';
import { dispatchOf, routeTokens, type TokenRoutes } from './token-routes.js';

/** How this rank routes: fixed while an attempt at a step lasts. */
export interface Routing {
  readonly mapping: ExpertMapping;
  readonly mappingVersion: number;
  readonly readyVersion: number;
  /** Included connections to the members of that mapping, by rank, null where there is none. */
  readonly links: readonly (PeerLink | null)[];
}

export interface ForwardPassOptions {
  readonly rank: number;
  readonly numRanks: number;
  readonly activation: Activation;
  readonly model: ModelShape;
  readonly exchange: StepExchange<PeerLink>;
  readonly server: ExpertServer;
  readonly router: ReplicaRouter;
  readonly counter: LoadCounter;
  readonly pacer: Pacer;
  readonly routing: () => Routing;
  /**
   * In-place activation: a peer has switched to `version` already, and this rank must follow it,
   * if it can, before it routes another token; resolves false where it may route no longer.
   */
  readonly follow: (version: number) => Promise<boolean>;
}

/** What a rank brings into a step. */
export interface StepStart {
  readonly step: number;
  readonly traceStep: number;
  /** Chosen experts of all the step's tokens, [tokens × layers × topK]. */
  readonly experts: Int16Array;
  readonly numTokens: number;
  readonly stopping: boolean;
}

export interface StepEnd {
  /** Tokens of this rank. */
  readonly numTokens: number;
  readonly mappingVersion: number;
  /** How often the step was begun: more than once where a peer had switched before this rank. */
  readonly attempts: number;
  /** [tokens × layers × topK] of this rank's tokens */
  readonly checksums: Uint32Array;
  /** Tokens that this rank's slots served, [layers]. */
  readonly served: Uint32Array;
  /** Smallest `readyVersion` of all ranks in this step. */
  readonly readyVersionOfAll: number;
  /** Some rank asked the group to stop after this step. */
  readonly stopping: boolean;
}

interface Step {
  readonly start: StepStart;
  /** Positions of this rank's tokens in the step. */
  readonly tokens: readonly number[];
  readonly states: Float64Array;
  readonly checksums: Uint32Array;
  readonly served: Uint32Array;
  routing: Routing;
  /** Highest version that a peer has routed or served by in this step. */
  versionOfPeers: number;
  readyVersionOfAll: number;
  stopping: boolean;
}

/**
 * One rank's part of an expert-parallel forward pass. In every layer each rank sends every
 * other the tokens for its slots, serves what has come, sends the results back and combines
 * its own: no rank goes on before the busiest has answered.
 */
export class ForwardPass {
  readonly #options: ForwardPassOptions;

  constructor(options: ForwardPassOptions) {
    this.#options = options;
  }

  /** @returns null where this rank may route no longer: nothing of the step counts */
  async run(start: StepStart): Promise<StepEnd | null> {
    const { exchange, follow, routing } = this.#options;
    const step = this.#begin(start);
    while (!(await this.#runLayers(step))) {
      if (!(await follow(step.versionOfPeers))) return null;
      exchange.restart();
      step.routing = routing();
      step.versionOfPeers = step.routing.mappingVersion;
      this.#enterTokens(step);
    }
    const { checksums, served, readyVersionOfAll, stopping, tokens } = step;
    return {
      numTokens: tokens.length,
      mappingVersion: step.routing.mappingVersion,
      attempts: exchange.attempt + 1,
      checksums,
      served,
      readyVersionOfAll,
      stopping,
    };
  }

  #begin(start: StepStart): Step {
    const { rank, numRanks, model } = this.#options;
    const routing = this.#options.routing();
    const tokens: number[] = [];
    for (let token = rank; token < start.numTokens; token += numRanks) tokens.push(token);
    const step: Step = {
      start,
      routing,
      tokens,
      states: new Float64Array(tokens.length * hiddenSize),
      checksums: new Uint32Array(tokens.length * model.numLayers * model.topK),
      served: new Uint32Array(model.numLayers),
      versionOfPeers: routing.mappingVersion,
      readyVersionOfAll: routing.readyVersion,
      stopping: start.stopping,
    };
    this.#enterTokens(step);
    return step;
  }

  #enterTokens({ start, tokens, states }: Step): void {
    tokens.forEach((token, at) => {
      initialState(start.traceStep, token, states, at * hiddenSize);
    });
  }

  /** @returns false where the step must be done anew, by a version that a peer has switched to */
  async #runLayers(step: Step): Promise<boolean> {
    const { numLayers } = this.#options.model;
    for (let layer = 0; layer < numLayers; layer += 1) {
      if (!(await this.#runLayer(step, layer))) return false;
    }
    return true;
  }

  async #runLayer(step: Step, layer: number): Promise<boolean> {
    const { rank, exchange, server } = this.#options;
    const head = this.#headOf(step, layer);
    const routes = this.#route(step, head);
    const nothing = dispatchOf({ head, states: step.states }, [], []);
    const { links } = step.routing;
    exchange.send(layer, (link) => {
      const isRouted = links[link.rank] === link;
      return (isRouted ? routes.dispatches[link.rank] : undefined) ?? nothing;
    });
    const own = routes.dispatches[rank] ?? nothing;
    const ownResults = exchange.awaitsDispatches(layer)
      ? await this.#servePeers(step, layer, own)
      : server.serve(own, head);
    if (this.#isOutdated(step)) return false;
    const results = await exchange.gatherResults();
    for (const peer of results.values()) this.#hear(step, layer, peer);
    if (this.#isOutdated(step)) return false;
    const byRank = links.map((link) => (link === null ? null : (results.get(link) ?? null)));
    byRank[rank] = ownResults;
    this.#combine(step, layer, routes, byRank);
    return true;
  }

  #headOf({ routing, start }: Step, layer: number): ForwardHead {
    const { mappingVersion, readyVersion } = routing;
    const { step, stopping } = start;
    const { attempt } = this.#options.exchange;
    return { layer, step, attempt, mappingVersion, readyVersion, stopping };
  }

  /** Serves what every peer and this rank itself have sent, and lets that take its time. */
  async #servePeers(step: Step, layer: number, own: Dispatch): Promise<Results> {
    const { exchange, server, pacer, counter } = this.#options;
    const { mappingVersion } = step.routing;
    const dispatches = await exchange.gatherDispatches(layer);
    const startedMs = performance.now();
    const answers = new Map<PeerLink, Results>();
    for (const [link, dispatch] of dispatches) {
      this.#hear(step, layer, dispatch);
      answers.set(link, server.serve(dispatch, own));
    }
    const ownResults = server.serve(own, own);
    let served = servedEntries(ownResults);
    for (const results of answers.values()) served += servedEntries(results);
    step.served[layer] = served;
    await pacer.hold(served, startedMs);
    counter.layerServed(mappingVersion, step.start.step, layer, performance.now() - startedMs);
    for (const [link, results] of answers) exchange.reply(link, results);
    return ownResults;
  }

  #hear(step: Step, layer: number, frame: Dispatch | Results): void {
    const routed = frame.kind === 'dispatch' || frame.service.includes(Service.outdated);
    if (routed) step.versionOfPeers = Math.max(step.versionOfPeers, frame.mappingVersion);
    if (layer > 0) return;
    step.readyVersionOfAll = Math.min(step.readyVersionOfAll, frame.readyVersion);
    step.stopping ||= frame.stopping;
  }

  /** In place, a peer that has switched can't serve the version before any more. */
  #isOutdated({ routing, versionOfPeers }: Step): boolean {
    return this.#options.activation === 'in-place' && versionOfPeers > routing.mappingVersion;
  }

  #expertsOf(step: Step, layer: number, token: number): Int16Array {
    const { numLayers, topK } = this.#options.model;
    const first = (token * numLayers + layer) * topK;
    return step.start.experts.subarray(first, first + topK);
  }

  #route(step: Step, head: ForwardHead): TokenRoutes {
    const { model, router, rank } = this.#options;
    const { mapping, links } = step.routing;
    const masked = new Set<number>();
    links.forEach((link, peer) => {
      if (peer !== rank && link?.isOpen !== true) masked.add(peer);
    });
    const { tokens, states } = step;
    const expertsOf = (at: number) => this.#expertsOf(step, head.layer, tokens[at] ?? 0);
    const { topK } = model;
    return routeTokens(
      { head, mapping, topK, numTokens: tokens.length, states, expertsOf, masked },
      router,
    );
  }

  #combine(
    step: Step,
    layer: number,
    routes: TokenRoutes,
    results: readonly (Results | null)[],
  ): void {
    const { numLayers, topK } = this.#options.model;
    step.tokens.forEach((token, at) => {
      const experts = this.#expertsOf(step, layer, token);
      const outputs: (Float64Array | null)[] = [];
      for (let k = 0; k < topK; k += 1) {
        const from = results[routes.rankOf[at * topK + k] ?? -1] ?? null;
        const entry = routes.entryOf[at * topK + k] ?? 0;
        const output = from === null ? null : outputOf(from, entry);
        outputs.push(output);
        const mark = from === null ? lostMark : misroutedMark;
        step.checksums[(at * numLayers + layer) * topK + k] =
          output === null ? mark : outputChecksum(output);
      }
      combine(step.states, at * hiddenSize, experts, outputs);
    });
  }
}

function outputOf(results: Results, entry: number): Float64Array | null {
  if (results.service[entry] !== Service.served) return null;
  return results.outputs.subarray(entry * hiddenSize, (entry + 1) * hiddenSize);
}
