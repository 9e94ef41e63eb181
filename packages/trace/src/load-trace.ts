import { assertStep, type Trace, type TraceHeader } from './trace.js';

/**
 * A trace that knows only tokens per expert. Its tokens are laid out so that the counts are
 * exact; which experts share a token means nothing.
 */
export class LoadTrace implements Trace {
  readonly header: TraceHeader;
  readonly numSteps: number;
  readonly #tokensPerStep: number;
  /** [steps × layers × experts] */
  readonly #counts: Int32Array;

  /**
   * @param counts [steps × layers × experts], not written again: none above tokensPerStep, no
   *   layer's sum above tokensPerStep × topK
   */
  constructor(header: TraceHeader, tokensPerStep: number, counts: Int32Array) {
    this.header = header;
    this.#tokensPerStep = tokensPerStep;
    this.#counts = counts;
    this.numSteps = counts.length / (header.numLayers * header.numExperts);
  }

  #step(step: number): Int32Array {
    assertStep(step, this.numSteps);
    const entries = this.header.numLayers * this.header.numExperts;
    return this.#counts.subarray(step * entries, (step + 1) * entries);
  }

  numTokens(step: number): number {
    assertStep(step, this.numSteps);
    return this.#tokensPerStep;
  }

  tokens(step: number): Int16Array {
    const { numLayers, numExperts, topK } = this.header;
    const counts = this.#step(step);
    const tokens = new Int16Array(this.#tokensPerStep * numLayers * topK).fill(-1);
    for (let layer = 0; layer < numLayers; layer += 1) {
      const row = counts.subarray(layer * numExperts, (layer + 1) * numExperts);
      this.#layOut(row, layer, tokens);
    }
    return tokens;
  }

  /**
   * Entry j, expert by expert, goes to token j mod T: an expert's entries are consecutive and at
   * most T, so no token gets it twice.
   */
  #layOut(row: Int32Array, layer: number, tokens: Int16Array): void {
    const { numLayers, topK } = this.header;
    let entry = 0;
    row.forEach((count, expert) => {
      for (let copy = 0; copy < count; copy += 1, entry += 1) {
        const token = entry % this.#tokensPerStep;
        const choice = Math.floor(entry / this.#tokensPerStep);
        tokens[(token * numLayers + layer) * topK + choice] = expert;
      }
    });
  }

  /** Its tokens are of no sequence. */
  sequences(step: number): Int32Array {
    return new Int32Array(this.numTokens(step)).fill(-1);
  }

  loads(step: number): Float64Array {
    return Float64Array.from(this.#step(step));
  }
}
