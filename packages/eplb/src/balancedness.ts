/**
 * Σ over layers of the mean rank load ÷ Σ over layers of the largest rank load: 1 is perfect,
 * 0 when idle.
 * @param rankLoads [layers × ranks]
 * @param unavailableRanks as for `numServingRanks`
 */
export function balancedness(
  rankLoads: Float64Array,
  numLayers: number,
  numRanks: number,
  unavailableRanks: readonly number[] = [],
): number {
  const numServing = numServingRanks(rankLoads, numRanks, unavailableRanks);
  let means = 0;
  let largests = 0;
  for (let layer = 0; layer < numLayers; layer += 1) {
    const { sum, largest } = sumAndLargest(rankLoads, layer * numRanks, numRanks);
    means += sum / numServing;
    largests += largest;
  }
  return largests === 0 ? 0 : means / largests;
}

/**
 * Largest rank load ÷ mean rank load, by layer; 1 for an idle layer.
 * @param rankLoads [layers × ranks]
 * @param unavailableRanks as for `numServingRanks`
 */
export function imbalance(
  rankLoads: Float64Array,
  numLayers: number,
  numRanks: number,
  unavailableRanks: readonly number[] = [],
): Float64Array {
  const numServing = numServingRanks(rankLoads, numRanks, unavailableRanks);
  const byLayer = new Float64Array(numLayers);
  for (let layer = 0; layer < numLayers; layer += 1) {
    const { sum, largest } = sumAndLargest(rankLoads, layer * numRanks, numRanks);
    byLayer[layer] = sum === 0 ? 1 : (largest * numServing) / sum;
  }
  return byLayer;
}

/**
 * Each rank's load ÷ the mean of the ranks that serve, all layers together, [ranks]; 0 when idle.
 * @param rankLoads [layers × ranks]
 * @param unavailableRanks as for `numServingRanks`
 */
export function loadShares(
  rankLoads: Float64Array,
  numRanks: number,
  unavailableRanks: readonly number[] = [],
): Float64Array {
  const shares = new Float64Array(numRanks);
  let all = 0;
  rankLoads.forEach((load, index) => {
    shares[index % numRanks] = (shares[index % numRanks] ?? 0) + load;
    all += load;
  });
  if (all === 0) return shares;
  const mean = all / numServingRanks(rankLoads, numRanks, unavailableRanks);
  return shares.map((load) => load / mean);
}

/**
 * Ranks over which load is to be even: those that may hold experts, and those that have load still.
 * @param rankLoads [layers × ranks]
 * @param unavailableRanks that are no members, drained, or offer no slot: nobody expects load of them
 */
export function numServingRanks(
  rankLoads: Float64Array,
  numRanks: number,
  unavailableRanks: readonly number[],
): number {
  const idle = new Set(unavailableRanks);
  if (idle.size === 0) return numRanks;
  rankLoads.forEach((load, index) => {
    if (load > 0) idle.delete(index % numRanks);
  });
  return numRanks - idle.size;
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
