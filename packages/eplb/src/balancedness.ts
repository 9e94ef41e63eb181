/**
 * Σ over layers of the mean rank load ÷ Σ over layers of the largest rank load: 1 is perfect,
 * 0 when idle.
 * @param rankLoads [layers × ranks]
 */
export function balancedness(rankLoads: Float64Array, numLayers: number, numRanks: number): number {
  let means = 0;
  let largests = 0;
  for (let layer = 0; layer < numLayers; layer += 1) {
    const { sum, largest } = sumAndLargest(rankLoads, layer * numRanks, numRanks);
    means += sum / numRanks;
    largests += largest;
  }
  return largests === 0 ? 0 : means / largests;
}

/**
 * Largest rank load ÷ mean rank load, by layer; 1 for an idle layer.
 * @param rankLoads [layers × ranks]
 */
export function imbalance(
  rankLoads: Float64Array,
  numLayers: number,
  numRanks: number,
): Float64Array {
  const byLayer = new Float64Array(numLayers);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const { sum, largest } = sumAndLargest(rankLoads, layer * numRanks, numRanks);
    byLayer[layer] = sum === 0 ? 1 : (largest * numRanks) / sum;
  }
  return byLayer;
}

function sumAndLargest(values: Float64Array, start: number, length: number) {
  let sum = 0;
  let largest = 0;
  for (let index = start; index < start + length; index += 1) {
    const value = values[index] ?? 0;
    sum += value;
    if (value > largest) largest = value;
  }
  return { sum, largest };
}
