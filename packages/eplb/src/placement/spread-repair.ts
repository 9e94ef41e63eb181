import type { DomainLimits } from './domain-limits.js';
import type { LayerSearch } from './layer-search.js';
import type { LayerState } from './layer-state.js';

/** What a repair may cost, in tokens of the objective, moves included. */
export interface RepairCosts {
  /** An exchange at this cost is taken as found, without a look at the others. */
  readonly enough: number;
  readonly max: number;
  readonly movesMax: number;
  readonly exchangesMax: number;
}

interface Exchange {
  readonly slot: number;
  readonly other: number;
  readonly cost: number;
}

/**
 * Spreads experts of which a failure domain holds more than its part, each by an exchange between
 * domains: the first that is cheap enough, else the cheapest.
 * @param search that knows the state as it is
 */
export function repairSpread(state: LayerState, search: LayerSearch, costs: RepairCosts): void {
  const { limits, shape } = state;
  if (limits === null) return;
  let exchanges = 0;
  for (let expert = 0; expert < shape.numExperts; expert += 1) {
    while (limits.isCrowded(expert)) {
      if (exchanges >= costs.exchangesMax) return;
      const exchange = cheapestExchange(state, limits, search, expert, costs);
      if (exchange === null || !(exchange.cost <= costs.max)) break;
      state.exchange(exchange.slot, exchange.other);
      search.refresh();
      exchanges += 1;
    }
  }
}

function cheapestExchange(
  state: LayerState,
  limits: DomainLimits,
  search: LayerSearch,
  expert: number,
  costs: RepairCosts,
): Exchange | null {
  const { firstSlot, nextSlot, shape } = state;
  const { numRanks, numExperts, rankOfSlot, capacities, pinned } = shape;
  let best: Exchange | null = null;
  for (let slot = firstSlot[expert]; slot >= 0; slot = nextSlot[slot]) {
    const rank = rankOfSlot[slot];
    if (pinned[slot] === 1) continue;
    for (let step = 0; step < numRanks; step += 1) {
      // Not the same ranks first for every expert: what is taken as found is to be spread too.
      const other = (expert + step) % numRanks;
      if (!(capacities[other] > 0) || state.held[other * numExperts + expert] > 0) continue;
      if (!limits.relieves(expert, rank, other) || !limits.mayMove(expert, rank, other)) continue;
      const partner = likestSlot(state, limits, slot, other);
      if (partner < 0) continue;
      if (state.moves + state.movesOfExchange(slot, partner) > costs.movesMax) continue;
      const cost = search.exchangeCost(slot, partner);
      if (best === null || cost < best.cost) best = { slot, other: partner, cost };
      if (cost <= costs.enough) return best;
    }
  }
  return best;
}

/** The slot of another rank with the share nearest to a slot's, of those that may take its place. */
function likestSlot(state: LayerState, limits: DomainLimits, slot: number, other: number): number {
  const { row, shares, held, shape } = state;
  const { numExperts, slotOffsets, rankOfSlot, pinned } = shape;
  const rank = rankOfSlot[slot];
  const share = shares[row[slot]];
  let likest = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let at = slotOffsets[other]; at < slotOffsets[other + 1]; at += 1) {
    const expert = row[at];
    const distance = Math.abs(share - (expert < 0 ? 0 : shares[expert]));
    if (pinned[at] === 1 || distance >= least) continue;
    if (expert >= 0) {
      if (held[rank * numExperts + expert] > 0 || !limits.mayMove(expert, other, rank)) continue;
    }
    likest = at;
    least = distance;
  }
  return likest;
}
