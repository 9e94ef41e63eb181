import { assertStep, type Trace, type TraceHeader } from './trace.js';

/** A trace that knows each token's experts; all its steps have the same number of tokens. */
export class TokenTrace implements Trace {
  readonly header: TraceHeader;
  readonly numSteps: number;
  readonly #tokensPerStep: number;
  /** [steps × tokensPerStep × layers × topK] */
  readonly #experts: Uint8Array | Int16Array;
  /** [sequences] */
  readonly #sequenceTokens: Int32Array;

  /**
   * @param experts [tokens × layers × topK], checked and not written again; what is left after
   *   the last whole step is no step
   * @param sequenceTokens tokens of each sequence, [sequences], end to end; at least as many in all
   *   as the steps have
   */
  constructor(
    header: TraceHeader,
    tokensPerStep: number,
    experts: Uint8Array | Int16Array,
    sequenceTokens: Int32Array,
  ) {
    this.header = header;
    this.#tokensPerStep = tokensPerStep;
    this.#experts = experts;
    this.#sequenceTokens = sequenceTokens;
    this.numSteps = Math.floor(experts.length / this.#entriesPerStep());
  }

  #entriesPerStep(): number {
    return this.#tokensPerStep * this.header.numLayers * this.header.topK;
  }

  numTokens(step: number): number {
    assertStep(step, this.numSteps);
    return this.#tokensPerStep;
  }

  tokens(step: number): Int16Array {
    assertStep(step, this.numSteps);
    const entries = this.#entriesPerStep();
    return new Int16Array(this.#experts.subarray(step * entries, (step + 1) * entries));
  }

  sequences(step: number): Int32Array {
    assertStep(step, this.numSteps);
    const first = step * this.#tokensPerStep;
    const last = first + this.#tokensPerStep;
    const sequences = new Int32Array(this.#tokensPerStep);
    let start = 0;
    this.#sequenceTokens.forEach((tokens, sequence) => {
      const end = start + tokens;
      if (end > first && start < last) {
        sequences.fill(sequence, Math.max(0, start - first), Math.min(end, last) - first);
      }
      start = end;
    });
    return sequences;
  }

  loads(step: number): Float64Array {
    assertStep(step, this.numSteps);
    const { numLayers, numExperts, topK } = this.header;
    const loads = new Float64Array(numLayers * numExperts);
    const entries = this.#entriesPerStep();
    const end = (step + 1) * entries;
    for (let start = step * entries, layer = 0; start < end; start += topK) {
      for (let index = start; index < start + topK; index += 1) {
        const at = layer * numExperts + (this.#experts[index] ?? 0);
        loads[at] = (loads[at] ?? 0) + 1;
      }
      layer = (layer + 1) % numLayers;
    }
    return loads;
  }
}
