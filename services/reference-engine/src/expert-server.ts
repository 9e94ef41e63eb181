import type { Activation } from '@isobar/protocol';
import { applyExpert } from './expert-network.js';
import {
  type Dispatch,
  entryColumns,
  type ForwardHead,
  type Results,
  Service,
} from './forward-frames.js';
import type { LoadCounter } from './load-counter.js';
import { hiddenSize } from './model-shape.js';
import type { Residency } from './residency.js';

export interface ExpertServerOptions {
  readonly activation: Activation;
  readonly residency: Residency;
  readonly counter: LoadCounter;
}

/** What this rank says of itself in the results that it sends. */
export type OwnHead = Pick<ForwardHead, 'mappingVersion' | 'readyVersion' | 'stopping'>;

/** Applies this rank's experts to the tokens of a dispatch, by the version that they carry. */
export class ExpertServer {
  readonly #options: ExpertServerOptions;

  constructor(options: ExpertServerOptions) {
    this.#options = options;
  }

  serve(dispatch: Dispatch, own: OwnHead): Results {
    const { residency, counter } = this.#options;
    const { entries, numEntries, mappingVersion, layer, step } = dispatch;
    const outputs = new Float64Array(numEntries * hiddenSize);
    const service = new Uint8Array(numEntries).fill(this.#unserved(mappingVersion, own));
    for (let entry = 0; entry < numEntries; entry += 1) {
      const token = entries[entry * entryColumns] ?? 0;
      const slot = entries[entry * entryColumns + 1] ?? 0;
      const expert = entries[entry * entryColumns + 2] ?? 0;
      const weights = residency.weights(mappingVersion, layer, slot, expert);
      if (weights === null) continue;
      applyExpert(weights, dispatch.states, token * hiddenSize, outputs, entry * hiddenSize);
      service[entry] = Service.served;
      counter.served(mappingVersion, step, layer, slot, 1);
    }
    const { attempt } = dispatch;
    const head = { ...own, layer, step, attempt };
    return { ...head, kind: 'results', passive: false, numEntries, outputs, service };
  }

  /** In place, weights of a version before this rank's own have been overwritten. */
  #unserved(mappingVersion: number, own: OwnHead): number {
    const overwritten =
      this.#options.activation === 'in-place' && mappingVersion < own.mappingVersion;
    return overwritten ? Service.outdated : Service.refused;
  }
}

/** Entries of a dispatch that were served. */
export function servedEntries({ service }: Results): number {
  let served = 0;
  for (const value of service) if (value === Service.served) served += 1;
  return served;
}
