import { closedSlots } from '@isobar/eplb';
import { type LeaderState, usableSlots } from '@isobar/protocol';
import type { SimulatedEngine } from '../engine/simulated-engine.js';
import type { LeadersView } from '../processes/simulated-coordinator.js';
import type { World } from '../world.js';

/**
 * L1: one leader with nothing open, and on every rank that has not left an engine that routes by
 * the newest version, with nothing staged, voted for or retained; and drained ranks hold nothing.
 * @returns what is missing for that, null once it is so
 */
export function unsettled(world: World): string | null {
  const { leader } = world.operator;
  const view = leader?.view ?? null;
  if (leader === null || view === null) return 'nobody leads';
  const { role } = leader.state;
  if (role.kind === 'leading' && role.leader.swap.open !== null) {
    return `version ${role.leader.swap.open.proposal.version} is open`;
  }
  if (role.kind === 'leading') {
    const { control, stuck } = role.leader;
    const rank = control.drained.find((drained) => holdsExperts(view, drained));
    const isWanted = !control.paused && !stuck.has('drain');
    if (rank !== undefined && isWanted) return `rank ${rank} is not drained`;
    const limited = isWanted ? unclearedRank(role.leader) : null;
    if (limited !== null) return `rank ${limited} holds something in a closed slot`;
  }
  for (let rank = 0; rank < world.numRanks; rank += 1) {
    if (world.supervisor.ranksLeft.has(rank)) continue;
    const engine = world.engines.find((one) => one.rank === rank && one.routes);
    if (engine === undefined) return `no engine of rank ${rank} serves`;
    const missing = unsettledEngine(engine, view.version);
    if (missing !== null) return `${engine.name} ${missing}`;
    const listed = view.members.some(({ incarnation }) => incarnation === engine.incarnation);
    if (!listed && view.version > 0) return `${engine.name} is not listed`;
  }
  return null;
}

/** A member with experts beyond what its engine offers and operators let it; null where there is none. */
function unclearedRank({ mapping, evidence, control, swap }: LeaderState): number | null {
  const { slotOffsets } = mapping;
  const usable = usableSlots(mapping, evidence, control);
  const members = new Set(swap.members.map(({ rank }) => rank));
  for (const slot of closedSlots({ slotOffsets, usableSlots: usable })) {
    const rank = mapping.rankOfSlot(slot);
    for (let layer = 0; layer < mapping.numLayers; layer += 1) {
      if (members.has(rank) && mapping.getLogicalExpert(layer, slot) >= 0) return rank;
    }
  }
  return null;
}

function holdsExperts({ mapping, members }: LeadersView, rank: number): boolean {
  if (!members.some((member) => member.rank === rank)) return false;
  const { numLayers, slotOffsets } = mapping;
  const [begin, end] = [slotOffsets[rank], slotOffsets[rank + 1]];
  return Array.from({ length: numLayers }, (_, layer) => mapping.row(layer)).some((row) =>
    row.subarray(begin, end).some((expert) => expert >= 0),
  );
}

function unsettledEngine({ swap, isStaging }: SimulatedEngine, version: number): string | null {
  if (swap.mappingVersion !== version) {
    return `routes by version ${swap.mappingVersion}, the newest is ${version}`;
  }
  if (swap.vote !== null) return `waits for the outcome of version ${swap.vote.version}`;
  if (isStaging || swap.staging !== null) return 'is staging';
  if (swap.activatedVersion !== version) return `has activated ${swap.activatedVersion}`;
  if (swap.retiredUpTo !== version) return `has retired up to ${swap.retiredUpTo}`;
  return null;
}
