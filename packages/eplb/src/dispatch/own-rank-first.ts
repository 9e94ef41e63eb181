/** One layer's dispatch while shares are moved to the source's own rank. */
export interface OwnRankFacts {
  /** Expert of each slot on a rank that serves, −1 for none, [slots]. */
  readonly row: Int32Array;
  readonly rankOfSlot: Int32Array;
  readonly numExperts: number;
  /** Ranks of one domain that send, and the part of the domain's tokens that each sends. */
  readonly ranks: Int32Array;
  readonly parts: Float64Array;
}

/**
 * Turns shares that all ranks of a domain have in common into shares by source rank: a rank keeps
 * its own tokens as far as the replica beside it has room for them, and sends the rest where others
 * leave room. What each slot takes from the domain as a whole stays the same.
 * @param common share of each slot among its expert's replicas, [slots]
 * @param write takes the share of a slot for the tokens of `ranks[index]`
 */
export function ownRankFirst(
  { row, rankOfSlot, numExperts, ranks, parts }: OwnRankFacts,
  common: Float64Array,
  write: (index: number, slot: number, share: number) => void,
): void {
  const indexOfRank = new Map([...ranks].map((rank, index) => [rank, index]));
  /** Of each source and expert the slot beside it, counted from 1, and what it keeps there. */
  const ownSlots = new Int32Array(ranks.length * numExperts);
  const kept = new Float64Array(ranks.length * numExperts);
  const leftover = Float64Array.from(common);
  const pools = new Float64Array(numExperts);
  for (let slot = 0; slot < row.length; slot += 1) {
    const expert = row[slot];
    if (expert < 0) continue;
    const at = (indexOfRank.get(rankOfSlot[slot]) ?? -1) * numExperts + expert;
    if (at >= 0 && ownSlots[at] === 0) {
      const part = parts[Math.floor(at / numExperts)];
      ownSlots[at] = slot + 1;
      kept[at] = Math.min(1, common[slot] / part);
      leftover[slot] = Math.max(0, common[slot] - kept[at] * part);
    }
    pools[expert] += leftover[slot];
  }
  for (let index = 0; index < ranks.length; index += 1) {
    for (let slot = 0; slot < row.length; slot += 1) {
      const expert = row[slot];
      if (expert < 0) continue;
      const at = index * numExperts + expert;
      // No room is left only where every source keeps all of its own.
      const own = pools[expert] > 1e-12 || ownSlots[at] === 0 ? kept[at] : 1;
      const rest = own < 1 ? (1 - own) * (leftover[slot] / pools[expert]) : 0;
      write(index, slot, (ownSlots[at] === slot + 1 ? own : 0) + rest);
    }
  }
}
