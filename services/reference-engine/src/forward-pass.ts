import type { ExpertMapping } from '@isobar/eplb';
import { lostMark, misroutedMark, outputChecksum } from './checksum.js';
import { applyExpert } from './expert-network.js';
import {
  type Dispatch,
  encodeDispatch,
  encodeResults,
  entryColumns,
  type Results,
} from './forward-frames.js';
import { combine, initialState } from './hidden-state.js';
import type { LoadCounter } from './load-counter.js';
import { hiddenSize, type ModelShape } from './model-shape.js';
import type { Pacer } from './pacer.js';
import type { PeerNetwork } from './peer-network.js';
import type { ReplicaRouter } from './replica-router.js';
import type { Residency } from './residency.js';

export interface ForwardPassOptions {
  readonly rank: number;
  readonly numRanks: number;
  readonly model: ModelShape;
  readonly residency: Residency;
  readonly peers: PeerNetwork;
  readonly router: ReplicaRouter;
  readonly counter: LoadCounter;
  readonly pacer: Pacer;
}

/** What a rank brings into a step, and tells its peers with the first layer's tokens. */
export interface StepStart {
  readonly step: number;
  readonly traceStep: number;
  /** Chosen experts of all the step's tokens, [tokens × layers × topK]. */
  readonly experts: Int16Array;
  readonly numTokens: number;
  readonly mappingVersion: number;
  readonly readyVersion: number;
  readonly stopping: boolean;
}

export interface StepEnd {
  /** Tokens of this rank. */
  readonly numTokens: number;
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
  readonly mapping: ExpertMapping;
  /** Positions of this rank's tokens in the step. */
  readonly tokens: readonly number[];
  readonly states: Float64Array;
  readonly checksums: Uint32Array;
  readonly served: Uint32Array;
  readyVersionOfAll: number;
  stopping: boolean;
}

/** Where the result of each of a token's experts will be: rank and entry, by [token × topK]. */
interface Routes {
  readonly dispatches: readonly Dispatch[];
  readonly rankOf: Int32Array;
  readonly entryOf: Int32Array;
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

  async run(start: StepStart): Promise<StepEnd> {
    const { model } = this.#options;
    const step = this.#begin(start);
    for (let layer = 0; layer < model.numLayers; layer += 1) await this.#runLayer(step, layer);
    const { checksums, served, readyVersionOfAll, stopping, tokens } = step;
    return { numTokens: tokens.length, checksums, served, readyVersionOfAll, stopping };
  }

  #begin(start: StepStart): Step {
    const { rank, numRanks, model, residency } = this.#options;
    const tokens: number[] = [];
    for (let token = rank; token < start.numTokens; token += numRanks) tokens.push(token);
    const states = new Float64Array(tokens.length * hiddenSize);
    tokens.forEach((token, at) => {
      initialState(start.traceStep, token, states, at * hiddenSize);
    });
    return {
      start,
      mapping: residency.mapping,
      tokens,
      states,
      checksums: new Uint32Array(tokens.length * model.numLayers * model.topK),
      served: new Uint32Array(model.numLayers),
      readyVersionOfAll: start.readyVersion,
      stopping: start.stopping,
    };
  }

  async #runLayer(step: Step, layer: number): Promise<void> {
    const { rank, numRanks, peers, pacer, counter } = this.#options;
    const { step: number, mappingVersion } = step.start;
    const routes = this.#route(step, layer);
    for (let peer = 0; peer < numRanks; peer += 1) {
      const dispatch = routes.dispatches[peer];
      if (peer !== rank && dispatch !== undefined) peers.send(peer, encodeDispatch(dispatch));
    }
    const dispatches = await peers.gather('dispatch', number, layer);
    const startedMs = performance.now();
    const own = routes.dispatches[rank];
    const answers = new Map<number, Results>();
    for (const [peer, frame] of dispatches) {
      if (frame.kind !== 'dispatch') continue;
      if (layer === 0) this.#hear(step, frame);
      answers.set(peer, this.#serve(step, layer, frame));
    }
    if (own !== undefined) answers.set(rank, this.#serve(step, layer, own));
    await pacer.hold(step.served[layer] ?? 0, startedMs);
    counter.layerServed(mappingVersion, number, layer, performance.now() - startedMs);
    for (const [peer, results] of answers) {
      if (peer !== rank) peers.send(peer, encodeResults(results));
    }
    const results = new Map<number, Results>();
    for (const [peer, frame] of await peers.gather('results', number, layer)) {
      if (frame.kind === 'results') results.set(peer, frame);
    }
    const ownResults = answers.get(rank);
    if (ownResults !== undefined) results.set(rank, ownResults);
    this.#combine(step, layer, routes, results);
  }

  #hear(step: Step, peer: Dispatch): void {
    step.readyVersionOfAll = Math.min(step.readyVersionOfAll, peer.readyVersion);
    step.stopping ||= peer.stopping;
  }

  #expertsOf(step: Step, layer: number, token: number): Int16Array {
    const { numLayers, topK } = this.#options.model;
    const first = (token * numLayers + layer) * topK;
    return step.start.experts.subarray(first, first + topK);
  }

  #route(step: Step, layer: number): Routes {
    const { numRanks, model, router, peers } = this.#options;
    const { tokens, mapping, states } = step;
    const rankOf = new Int32Array(tokens.length * model.topK).fill(-1);
    const entryOf = new Int32Array(tokens.length * model.topK);
    const entries = Array.from({ length: numRanks }, () => [] as number[]);
    const sent = Array.from({ length: numRanks }, () => [] as number[]);
    tokens.forEach((token, at) => {
      this.#expertsOf(step, layer, token).forEach((expert, k) => {
        if (expert < 0) return;
        const slot = router.choose(mapping, layer, expert, peers.broken);
        if (slot < 0) return;
        const rank = mapping.rankOfSlot(slot);
        const columns = entries[rank];
        const tokensSent = sent[rank];
        if (columns === undefined || tokensSent === undefined) return;
        if (tokensSent.at(-1) !== at) tokensSent.push(at);
        rankOf[at * model.topK + k] = rank;
        entryOf[at * model.topK + k] = columns.length / entryColumns;
        columns.push(tokensSent.length - 1, slot, expert);
      });
    });
    const dispatches = entries.map((columns, rank) =>
      this.#dispatch(step, layer, columns, sent[rank] ?? [], states),
    );
    return { dispatches, rankOf, entryOf };
  }

  #dispatch(
    step: Step,
    layer: number,
    columns: readonly number[],
    tokens: readonly number[],
    states: Float64Array,
  ): Dispatch {
    const { start } = step;
    const copied = new Float64Array(tokens.length * hiddenSize);
    tokens.forEach((token, at) => {
      copied.set(states.subarray(token * hiddenSize, (token + 1) * hiddenSize), at * hiddenSize);
    });
    return {
      kind: 'dispatch',
      layer,
      step: start.step,
      mappingVersion: start.mappingVersion,
      readyVersion: start.readyVersion,
      stopping: start.stopping,
      numTokens: tokens.length,
      states: copied,
      numEntries: columns.length / entryColumns,
      entries: Uint32Array.from(columns),
    };
  }

  #serve(step: Step, layer: number, dispatch: Dispatch): Results {
    const { residency, counter } = this.#options;
    const { entries, numEntries, mappingVersion } = dispatch;
    const outputs = new Float64Array(numEntries * hiddenSize);
    const served = new Uint8Array(numEntries);
    for (let entry = 0; entry < numEntries; entry += 1) {
      const token = entries[entry * entryColumns] ?? 0;
      const slot = entries[entry * entryColumns + 1] ?? 0;
      const expert = entries[entry * entryColumns + 2] ?? 0;
      const weights = residency.weights(mappingVersion, layer, slot, expert);
      if (weights === null) continue;
      applyExpert(weights, dispatch.states, token * hiddenSize, outputs, entry * hiddenSize);
      served[entry] = 1;
      step.served[layer] = (step.served[layer] ?? 0) + 1;
      counter.served(mappingVersion, step.start.step, layer, slot, 1);
    }
    return { ...dispatch, kind: 'results', numEntries, outputs, served };
  }

  #combine(step: Step, layer: number, routes: Routes, results: ReadonlyMap<number, Results>): void {
    const { numLayers, topK } = this.#options.model;
    step.tokens.forEach((token, at) => {
      const experts = this.#expertsOf(step, layer, token);
      const outputs: (Float64Array | null)[] = [];
      for (let k = 0; k < topK; k += 1) {
        const from = results.get(routes.rankOf[at * topK + k] ?? -1);
        const entry = routes.entryOf[at * topK + k] ?? 0;
        const output = from === undefined ? null : outputOf(from, entry);
        outputs.push(output);
        const mark = from === undefined ? lostMark : misroutedMark;
        step.checksums[(at * numLayers + layer) * topK + k] =
          output === null ? mark : outputChecksum(output);
      }
      combine(step.states, at * hiddenSize, experts, outputs);
    });
  }
}

function outputOf(results: Results, entry: number): Float64Array | null {
  if (results.served[entry] !== 1) return null;
  return results.outputs.subarray(entry * hiddenSize, (entry + 1) * hiddenSize);
}
