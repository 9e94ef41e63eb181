import { lostMark, outputChecksum } from './checksum.js';
import { applyExpert } from './expert-network.js';
import { combine, initialState } from './hidden-state.js';
import { bytesPerExpert, hiddenSize, type ModelShape, numbersPerExpert } from './model-shape.js';

/** Every expert of the model, [layers × experts × numbersPerExpert] 64-bit numbers. */
export type AllWeights = Float64Array;

/** A token some of whose results never came: it went on without them. */
export interface BrokenToken {
  readonly token: number;
  /** 1 where a result is missing, [layers × topK]. */
  readonly missing: Uint8Array;
}

/**
 * The same forward pass in one process with every expert at hand: checksums of each token's
 * expert outputs, [tokens × layers × topK].
 * @param experts chosen experts of the step, [tokens × layers × topK]
 */
export function oracleChecksums(
  weights: AllWeights,
  model: ModelShape,
  traceStep: number,
  experts: Int16Array,
): Uint32Array {
  const perToken = model.numLayers * model.topK;
  const checksums = new Uint32Array(experts.length);
  for (let token = 0; token * perToken < experts.length; token += 1) {
    const chosen = experts.subarray(token * perToken, (token + 1) * perToken);
    checksums.set(tokenChecksums(weights, model, traceStep, token, chosen), token * perToken);
  }
  return checksums;
}

/**
 * Checksums of one token's expert outputs, [layers × topK].
 * @param experts the token's experts, [layers × topK]
 * @param missing 1 where the token went on without a result, [layers × topK]; its checksum is
 *   that of the result which should have come
 */
export function tokenChecksums(
  weights: AllWeights,
  model: ModelShape,
  traceStep: number,
  token: number,
  experts: Int16Array,
  missing?: Uint8Array,
): Uint32Array {
  const { numLayers, numExperts, topK } = model;
  const checksums = new Uint32Array(experts.length);
  const state = new Float64Array(hiddenSize);
  initialState(traceStep, token, state, 0);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const first = layer * topK;
    const chosen = experts.subarray(first, first + topK);
    const outputs = Array.from(chosen, (expert, k) => {
      if (expert < 0) {
        checksums[first + k] = lostMark;
        return null;
      }
      const output = new Float64Array(hiddenSize);
      const at = (layer * numExperts + expert) * numbersPerExpert;
      applyExpert(weights.subarray(at, at + numbersPerExpert), state, 0, output, 0);
      checksums[first + k] = outputChecksum(output);
      return missing?.[first + k] === 1 ? null : output;
    });
    combine(state, 0, chosen, outputs);
  }
  return checksums;
}

/** Bytes that the weights of a whole model take. */
export function modelBytes(model: ModelShape): number {
  return model.numLayers * model.numExperts * bytesPerExpert;
}
