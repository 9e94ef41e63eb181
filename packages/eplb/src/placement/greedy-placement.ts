import type { LayerState } from './layer-state.js';

/**
 * A start for the search: one replica of each expert, then one more of whichever has the largest
 * share, as long as there are slots and ranks for it; then replicas to ranks, largest share first,
 * each to the rank that is left relatively lightest, never two of one expert to a rank, and within
 * the limits on domains while some rank is. Pinned slots keep what they hold. Slots that no replica
 * fits stay empty.
 *
 * For any slots and capacities; with slots that divide evenly it is the published replication and
 * packing but for the duplicates.
 * @param row what pinned slots hold, [slots]; overwritten with the placement
 * @param homes fast domain of each expert, [experts]: each domain is placed by itself; null: all
 *   ranks together
 */
export function placeGreedily(
  state: LayerState,
  loads: Float64Array,
  row: Int32Array,
  homes: Int32Array | null,
): void {
  const { pinned, fastDomains } = state.shape;
  for (let slot = 0; slot < row.length; slot += 1) if (pinned[slot] === 0) row[slot] = -1;
  state.load(row);
  const experts = [...loads.keys()];
  if (homes === null || fastDomains === null) {
    placeWithin(state, loads, experts, new Uint8Array(state.shape.numRanks).fill(1));
  } else {
    for (const home of new Set(homes)) {
      const within = Uint8Array.from(fastDomains, (domain) => (domain === home ? 1 : 0));
      placeWithin(
        state,
        loads,
        experts.filter((expert) => homes[expert] === home),
        within,
      );
    }
  }
  row.set(state.row);
}

/** @param within 1 for ranks that take the experts, [ranks] */
function placeWithin(
  state: LayerState,
  loads: Float64Array,
  experts: readonly number[],
  within: Uint8Array,
): void {
  const { shape } = state;
  const free = freeSlots(state, within);
  const wanted = replicaCounts(state, loads, experts, within);
  const order = [...experts].sort((a, b) => loads[b] / wanted[b] - loads[a] / wanted[a] || a - b);
  const rankLoads = new Float64Array(shape.numRanks);
  for (const expert of order) {
    while (state.counts[expert] < wanted[expert]) {
      const share = loads[expert] / wanted[expert];
      const slot =
        lightestSlot(state, free, rankLoads, expert) ?? makeRoom(state, free, within, expert);
      if (slot === null) break;
      state.put(slot, expert);
      free[shape.rankOfSlot[slot]] -= 1;
      rankLoads[shape.rankOfSlot[slot]] += share;
    }
  }
}

/** Replicas that each expert shall have, [experts]: no more than ranks that could hold them. */
function replicaCounts(
  state: LayerState,
  loads: Float64Array,
  experts: readonly number[],
  within: Uint8Array,
): Int32Array {
  const { shape } = state;
  let slots = freeSlots(state, within).reduce((sum, count) => sum + count, 0);
  const counts = state.counts.slice();
  for (const expert of experts) {
    if (counts[expert] > 0) continue;
    counts[expert] = 1;
    slots -= 1;
  }
  const ranks = shape.slotOffsets.reduce(
    (sum, offset, rank) =>
      sum +
      (within[rank] === 1 && shape.capacities[rank] > 0 && shape.slotOffsets[rank + 1] > offset
        ? 1
        : 0),
    0,
  );
  for (; slots > 0; slots -= 1) {
    let most = -1;
    for (const expert of experts) {
      if (counts[expert] >= ranks) continue;
      if (most < 0 || loads[expert] * counts[most] > loads[most] * counts[expert]) most = expert;
    }
    if (most < 0) break;
    counts[most] += 1;
  }
  return counts;
}

/** Empty slots that may be filled, by rank, [ranks]. */
function freeSlots(state: LayerState, within: Uint8Array): Int32Array {
  const { numRanks, rankOfSlot, pinned, capacities } = state.shape;
  const free = new Int32Array(numRanks);
  state.row.forEach((expert, slot) => {
    const rank = rankOfSlot[slot];
    if (expert < 0 && pinned[slot] === 0 && within[rank] === 1 && capacities[rank] > 0) {
      free[rank] += 1;
    }
  });
  return free;
}

function lightestSlot(
  state: LayerState,
  free: Int32Array,
  rankLoads: Float64Array,
  expert: number,
): number | null {
  const { numRanks, numExperts, capacities } = state.shape;
  let lightest = -1;
  let isOpen = false;
  for (let rank = 0; rank < numRanks; rank += 1) {
    if (free[rank] === 0 || state.held[rank * numExperts + expert] > 0) continue;
    const open = state.limits === null || state.limits.mayAdd(expert, rank);
    if (isOpen && !open) continue;
    if (
      lightest < 0 ||
      (open && !isOpen) ||
      rankLoads[rank] / capacities[rank] < rankLoads[lightest] / capacities[lightest]
    ) {
      lightest = rank;
      isOpen = open;
    }
  }
  return lightest < 0 ? null : emptySlot(state, lightest);
}

function emptySlot(state: LayerState, rank: number): number | null {
  const { slotOffsets, pinned } = state.shape;
  for (let slot = slotOffsets[rank]; slot < slotOffsets[rank + 1]; slot += 1) {
    if (state.row[slot] < 0 && pinned[slot] === 0) return slot;
  }
  return null;
}

/**
 * Every rank with an empty slot holds the expert: another rank gives one of its experts to such a
 * rank. @returns the slot that this frees, null where none can
 */
function makeRoom(
  state: LayerState,
  free: Int32Array,
  within: Uint8Array,
  expert: number,
): number | null {
  const { numExperts, rankOfSlot, pinned, capacities } = state.shape;
  for (let to = 0; to < free.length; to += 1) {
    const empty = free[to] > 0 ? emptySlot(state, to) : null;
    if (empty === null) continue;
    for (let slot = 0; slot < state.row.length; slot += 1) {
      const rank = rankOfSlot[slot];
      const given = state.row[slot];
      if (given < 0 || pinned[slot] === 1 || !(capacities[rank] > 0)) continue;
      if (within[rank] === 0) continue;
      if (state.held[rank * numExperts + expert] > 0) continue;
      if (state.held[to * numExperts + given] > 0) continue;
      state.exchange(slot, empty);
      free[to] -= 1;
      free[rank] += 1;
      return slot;
    }
  }
  return null;
}
