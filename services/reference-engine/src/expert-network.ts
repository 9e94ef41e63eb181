import { hiddenSize, intermediateSize } from './model-shape.js';

/**
 * One expert: output = W2ᵀ · max(0, W1 · input). Both matrices are stored by hidden unit,
 * [intermediateSize × hiddenSize], the first before the second. Sums run in one fixed order,
 * so that the same weights and input give the same bits in every process.
 * @param output added to, hiddenSize numbers from outputOffset
 */
export function applyExpert(
  weights: Float64Array,
  input: Float64Array,
  inputOffset: number,
  output: Float64Array,
  outputOffset: number,
): void {
  const secondMatrix = intermediateSize * hiddenSize;
  for (let unit = 0; unit < intermediateSize; unit += 1) {
    const row = unit * hiddenSize;
    let sum = 0;
    for (let at = 0; at < hiddenSize; at += 1) {
      sum += (weights[row + at] ?? 0) * (input[inputOffset + at] ?? 0);
    }
    if (sum <= 0) continue;
    for (let at = 0; at < hiddenSize; at += 1) {
      const to = outputOffset + at;
      output[to] = (output[to] ?? 0) + sum * (weights[secondMatrix + row + at] ?? 0);
    }
  }
}
