/** Outcome of `replicateGreedily`. */
export interface Replication {
  /** Expert of each physical expert, [physical]. */
  readonly physicalToLogical: Int32Array;
  /** [experts] */
  readonly replicaCounts: Int32Array;
}

/**
 * One copy of each expert, then one more of whichever has the largest load ÷ copies, until all
 * slots are used; ties go to the lowest expert, quotients are 32-bit.
 * Source: `replicate_experts` of DeepSeek's EPLB.
 * @param loads [experts]
 */
export function replicateGreedily(loads: Float32Array, numPhysicalExperts: number): Replication {
  const numExperts = loads.length;
  const physicalToLogical = new Int32Array(numPhysicalExperts);
  const replicaCounts = new Int32Array(numExperts).fill(1);
  const shares = loads.slice();
  for (let slot = 0; slot < numPhysicalExperts; slot += 1) {
    if (slot < numExperts) {
      physicalToLogical[slot] = slot;
      continue;
    }
    const expert = indexOfLargest(shares);
    physicalToLogical[slot] = expert;
    const count = (replicaCounts[expert] ?? 0) + 1;
    replicaCounts[expert] = count;
    shares[expert] = (loads[expert] ?? 0) / count;
  }
  return { physicalToLogical, replicaCounts };
}

function indexOfLargest(values: Float32Array): number {
  let index = 0;
  let largest = -1;
  for (let candidate = 0; candidate < values.length; candidate += 1) {
    const value = values[candidate] ?? 0;
    if (value > largest) {
      largest = value;
      index = candidate;
    }
  }
  return index;
}
