import type { LayerState } from './layer-state.js';

/**
 * Makes a placement valid: every expert that no serving rank holds gets a slot, the least useful
 * there is, whatever it costs; and where a rank holds two copies of one expert, the second becomes
 * a copy of the hottest expert that the rank lacks, as long as moves are left.
 */
export function mend(state: LayerState, movesMax: number): void {
  const { row, counts, held, shape } = state;
  for (let expert = 0; expert < counts.length; expert += 1) {
    if (counts[expert] > 0) continue;
    let slot = expendableSlot(state, expert, true);
    if (slot < 0) slot = expendableSlot(state, expert, false);
    if (slot >= 0) state.put(slot, expert);
  }
  for (let slot = 0; slot < row.length; slot += 1) {
    const rank = shape.rankOfSlot[slot];
    if (row[slot] < 0 || held[rank * shape.numExperts + row[slot]] < 2) continue;
    if (!mayOverwrite(state, slot)) continue;
    let expert = hottestAbsent(state, rank, true);
    if (expert < 0) expert = hottestAbsent(state, rank, false);
    const moves = expert < 0 ? 0 : 1 - state.heldBefore[rank * shape.numExperts + expert];
    if (expert >= 0 && state.moves + moves <= movesMax) state.put(slot, expert);
  }
}

/** Whether a slot is empty or holds one of several replicas, and may be changed. */
export function mayOverwrite({ row, counts, shape }: LayerState, slot: number): boolean {
  if (shape.pinned[slot] === 1 || !(shape.capacities[shape.rankOfSlot[slot]] > 0)) return false;
  return row[slot] < 0 || counts[row[slot]] > 1;
}

/** The same, where the limits on domains may have to let it go too. */
export function mayClear(state: LayerState, slot: number): boolean {
  if (!mayOverwrite(state, slot)) return false;
  const { row, limits, shape } = state;
  return limits === null || row[slot] < 0 || limits.mayDrop(row[slot], shape.rankOfSlot[slot]);
}

function expendableSlot(state: LayerState, expert: number, obeying: boolean): number {
  const { row, shares, limits, shape } = state;
  if (obeying && limits === null) return -1;
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < row.length; slot += 1) {
    if (!(obeying ? mayClear(state, slot) : mayOverwrite(state, slot))) continue;
    if (obeying && limits?.mayAdd(expert, shape.rankOfSlot[slot]) === false) continue;
    const share = row[slot] < 0 ? -1 : shares[row[slot]];
    if (share >= least) continue;
    best = slot;
    least = share;
  }
  return best;
}

function hottestAbsent(state: LayerState, rank: number, obeying: boolean): number {
  const { held, sharesWithMore, limits, shape } = state;
  if (obeying && limits === null) return -1;
  let hottest = -1;
  for (let expert = 0; expert < shape.numExperts; expert += 1) {
    if (held[rank * shape.numExperts + expert] > 0) continue;
    if (obeying && limits?.mayAdd(expert, rank) === false) continue;
    if (hottest < 0 || sharesWithMore[expert] > sharesWithMore[hottest]) hottest = expert;
  }
  return hottest;
}

/**
 * Fills what the search left empty, each slot with the expert that leaves the largest relative rank
 * load lowest; with a second copy on the rank only where it holds every expert already. Slots stay
 * empty where filling them would raise the largest load, or crowd a domain.
 */
export function fillEmptySlots(state: LayerState): void {
  const before = state.row.slice();
  const largest = largestLoad(state) * (1 + 1e-9);
  fill(state, Number.POSITIVE_INFINITY);
  if (largestLoad(state) <= largest) return;
  state.load(before);
  fill(state, largest);
}

/** @param largestMax a slot stays empty where the largest load would be above it */
function fill(state: LayerState, largestMax: number): void {
  const { row, held, limits, shape } = state;
  for (let slot = 0; slot < row.length; slot += 1) {
    if (row[slot] >= 0 || !mayOverwrite(state, slot)) continue;
    const rank = shape.rankOfSlot[slot];
    const at = rank * shape.numExperts;
    const ownAll = held.subarray(at, at + shape.numExperts).every((copies) => copies > 0);
    let best = -1;
    let lowest = largestMax;
    for (let expert = 0; expert < shape.numExperts; expert += 1) {
      if (held[at + expert] > 0 && !ownAll) continue;
      if (limits?.mayAdd(expert, rank) === false) continue;
      state.put(slot, expert);
      const largest = largestLoad(state);
      if (best < 0 ? largest <= lowest : largest < lowest) {
        lowest = largest;
        best = expert;
      }
    }
    state.put(slot, best);
  }
}

function largestLoad({ rankLoads, shape }: LayerState): number {
  let largest = 0;
  for (let rank = 0; rank < shape.numRanks; rank += 1) {
    if (!(shape.capacities[rank] > 0)) continue;
    largest = Math.max(largest, rankLoads[rank] / shape.capacities[rank]);
  }
  return largest;
}
