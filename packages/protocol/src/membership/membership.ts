import {
  type EvacuationPlan,
  type EvacuationRequest,
  type EvacuationWave,
  type ExpertMapping,
  planEvacuation,
} from '@isobar/eplb';
import type { Change } from '../change.js';
import { mappingFromWhole, wholeMapping } from '../map-record.js';
import { includesMember, type Member, membersWithout, unionOfMembers } from '../member.js';
import { encodeTransfers } from '../proposal.js';
import { differingField } from '../swap/differing-field.js';
import type { Wave } from '../swap/open-swap.js';
import { engineOf } from './evidence.js';
import { closedSlotsOf, describeOffers, offeredSlots, ranksToClear } from './offered-slots.js';
import {
  candidates,
  deadMembers,
  describedEngine,
  incomingMax,
  isJoining,
  isStarting,
  livingMembers,
  type Situation,
} from './situation.js';
import { livingStarters } from './starting-group.js';

/*
 * The next change of members, as waves. All of them are versions like any other: those who live
 * of base and target vote, so whoever is listed has agreed, whoever leaves has too, and whoever is
 * dropped is proven dead. Nobody is dropped for being silent.
 */

export type MembershipPlan =
  | {
      readonly kind: 'waves';
      readonly change: Change;
      readonly waves: readonly Wave[];
    }
  /** Nothing can be committed as things are. */
  | {
      readonly kind: 'degraded';
      readonly lacks: 'slots' | 'buffers' | 'members' | 'proof' | 'payload';
      readonly fields: Readonly<Record<string, unknown>>;
    };

/**
 * A version without the dead, and before it whatever brings their experts back. Where too few
 * slots live, engines that would join take part with what their ranks' slots hold. Where nobody
 * lives the group begins anew.
 */
export function planRemoval(situation: Situation): MembershipPlan {
  const dead = deadMembers(situation);
  if (livingMembers(situation).length === 0) return planRestart(situation, dead);
  const reason = reasonOf(situation, dead);
  const targets = { dead, joiners: [] };
  const spared = planEvacuation(removalRequest(situation, [], situation.drained));
  if (spared.kind === 'waves') return removal(situation, spared.waves, targets, reason);
  // A drained rank, and a slot that an operator closed, hold nothing for as long as others can.
  const { mapping, evidence } = situation;
  const inNeed = { ...situation, usableSlots: offeredSlots(mapping, evidence) };
  const all = planEvacuation(removalRequest(inNeed, [], []));
  if (all.kind === 'waves') return removal(situation, all.waves, targets, reason);
  const joiners = returning(situation);
  if (joiners.length === 0) return degraded(all);
  const returned = planEvacuation(removalRequest(inNeed, joiners, []));
  if (returned.kind === 'degraded') return degraded(returned);
  return removal(situation, returned.waves, { dead, joiners }, reason);
}

/** Engines that would join, at ranks where no member lives. */
function returning(situation: Situation): Member[] {
  const living = new Set(livingMembers(situation).map(({ rank }) => rank));
  return candidates(situation, isJoining).filter(({ rank }) => !living.has(rank));
}

function reasonOf({ evidence }: Situation, dead: readonly Member[]): string {
  const deaths = evidence.proven
    .filter(({ member }) => includesMember(dead, member))
    .map(({ member, proof }) => `rank ${member.rank} has died (${proof})`);
  return deaths.join(', ').slice(0, 1_000);
}

function removalRequest(
  situation: Situation,
  joiners: readonly Member[],
  spared: readonly number[],
): EvacuationRequest {
  const living = livingMembers(situation);
  const maxIncomingPerRank = incomingMax(situation, false);
  for (const rank of spared) maxIncomingPerRank[rank] = 0;
  return evacuationRequest(situation, [...living, ...joiners], {
    leavingRanks: [],
    leavingSlots: closedAt(situation, joiners),
    returningRanks: joiners.map(({ rank }) => rank),
    retained: retainedBy(situation, living),
    maxIncomingPerRank,
  });
}

/** Closed slots of members that have nothing in them yet. */
function closedAt(situation: Situation, joiners: readonly Member[]): Int32Array {
  const ranks = new Set(joiners.map(({ rank }) => rank));
  return closedSlotsOf(situation).filter((slot) => ranks.has(situation.mapping.rankOfSlot(slot)));
}

/** @param staying members of the target; all other ranks end empty, and can give nothing */
function evacuationRequest(
  situation: Situation,
  staying: readonly Member[],
  fields: Omit<
    EvacuationRequest,
    'current' | 'outRanks' | 'closedSlots' | 'pinnedSlots' | 'topology' | 'loads' | 'room'
  >,
): EvacuationRequest {
  const { mapping, topology, loads } = situation;
  const ranks = new Set(staying.map(({ rank }) => rank));
  const outRanks = Array.from({ length: mapping.numRanks }, (_, rank) => rank).filter(
    (rank) => !ranks.has(rank),
  );
  const described = staying.flatMap((member) => describedEngine(situation, member) ?? []);
  const pinnedSlots = described[0]?.description.pinnedSlots ?? new Int32Array(0);
  const known = {
    ...(topology === null ? {} : { topology }),
    ...(loads === null ? {} : { loads }),
  };
  const placing = { closedSlots: closedSlotsOf(situation), pinnedSlots };
  const room = situation.roomFor(unionOfMembers(situation.members, staying));
  return { current: mapping, outRanks, ...placing, ...known, room, ...fields };
}

/** Ranks that have held it, and by their newest word have not retired it, nor failed as sources. */
function retainedBy(
  { evidence, newest, retained, distrusted }: Situation,
  living: readonly Member[],
): NonNullable<EvacuationRequest['retained']> | null {
  if (retained === null) return null;
  const ranks = living
    .filter((member) => {
      const mayHold = includesMember(retained.members, member);
      if (!mayHold || distrusted.includes(member.rank)) return false;
      const engine = engineOf(evidence, member);
      return engine !== null && engine.retiredUpTo < newest.version;
    })
    .map(({ rank }) => rank);
  return { mapping: retained.mapping, ranks };
}

function removal(
  situation: Situation,
  waves: readonly EvacuationWave[],
  { dead, joiners }: { readonly dead: readonly Member[]; readonly joiners: readonly Member[] },
  reason: string,
): MembershipPlan {
  // Until its experts are back a dead member stays listed, unless its rank has returned.
  const replaced = dead.filter(({ rank }) => joiners.some((joiner) => joiner.rank === rank));
  const during = unionOfMembers(membersWithout(situation.members, replaced), joiners);
  const last = membersWithout(during, dead);
  const wavesMade = wavesOf(situation, waves, {
    change: 'evacuation',
    reason,
    during,
    last,
  });
  return { kind: 'waves', change: 'evacuation', waves: wavesMade };
}

interface WaveContent {
  readonly change: Change;
  readonly reason: string;
  /** Members of every wave but the last, and of the last. */
  readonly during: readonly Member[];
  readonly last: readonly Member[];
}

/** Sources that have failed give way to the backing store. */
function wavesOf(
  { mapping: from, distrusted }: Situation,
  waves: readonly EvacuationWave[],
  { change, reason, during, last }: WaveContent,
): Wave[] {
  let before = from;
  return waves.map(({ mapping, transfers }, index) => {
    const { layers, rows } = before.delta(mapping);
    before = mapping;
    return {
      change,
      reason: waves.length === 1 ? reason : `${reason}; wave ${index + 1} of ${waves.length}`,
      mapping: wholeMapping(mapping),
      digest: mapping.digest(),
      layers,
      rows,
      transfers: encodeTransfers(
        transfers.map((transfer) =>
          distrusted.includes(transfer.sourceRank) ? { ...transfer, sourceRank: -1 } : transfer,
        ),
      ),
      members: index + 1 < waves.length ? during : last,
    };
  });
}

function degraded(plan: Extract<EvacuationPlan, { readonly kind: 'degraded' }>): MembershipPlan {
  const { lacks, layer, expert, liveSlots } = plan;
  return { kind: 'degraded', lacks, fields: { lacks, layer, expert, liveSlots } };
}

/**
 * All members are dead. Only with every configured rank: each of two leaders that would begin the
 * group anew then needs the votes of all. Who has started with them and is replaced must be proven
 * dead. Engines that hold one identical start mapping keep it; otherwise the newest mapping holds,
 * from the backing store.
 */
function planRestart(situation: Situation, dead: readonly Member[]): MembershipPlan {
  const fresh = candidates(situation, (engine) => isJoining(engine) || isStarting(engine));
  const present = new Set(fresh.map(({ rank }) => rank));
  const missingRanks = situation.configuredRanks.filter((rank) => !present.has(rank));
  if (missingRanks.length > 0) {
    return { kind: 'degraded', lacks: 'members', fields: { lacks: 'members', missingRanks } };
  }
  const differing = differingEngine(situation, fresh);
  if (differing !== null) return { kind: 'degraded', lacks: 'members', fields: differing };
  const members = livingStarters(situation.evidence, fresh);
  if (members.length > 0) return { kind: 'degraded', lacks: 'proof', fields: { members } };
  const start = commonStart(situation, fresh);
  const inNeed = {
    ...situation,
    usableSlots: offeredSlots(situation.mapping, situation.evidence),
  };
  if (start !== null && !fillsWithdrawn(inNeed, start, fresh)) {
    return startWave(situation, start, fresh);
  }
  const request = evacuationRequest(inNeed, fresh, {
    leavingRanks: [],
    leavingSlots: closedAt(inNeed, fresh),
    returningRanks: fresh.map(({ rank }) => rank),
    maxIncomingPerRank: new Int32Array(situation.mapping.numRanks),
  });
  const plan = planEvacuation(request);
  if (plan.kind === 'degraded') return degraded(plan);
  const reason = 'the whole group has started again, with mappings that differ';
  return removal(situation, plan.waves, { dead, joiners: fresh }, reason);
}

function differingEngine(
  situation: Situation,
  fresh: readonly Member[],
): Readonly<Record<string, unknown>> | null {
  const descriptions = fresh.flatMap(
    (member) => describedEngine(situation, member)?.description ?? [],
  );
  const [first] = descriptions;
  for (const description of descriptions) {
    const field = first === undefined ? null : differingField(first, description);
    if (field !== null) return { lacks: 'members', rank: description.rank, differsIn: field };
  }
  return null;
}

/** Whether a start mapping has something in closed slots of engines that don't serve it. */
function fillsWithdrawn(
  situation: Situation,
  start: ExpertMapping,
  fresh: readonly Member[],
): boolean {
  const joining = fresh.filter(({ rank }) => {
    const engine = situation.evidence.witnesses.get(rank)?.engine ?? null;
    return engine !== null && isJoining(engine);
  });
  return closedAt(situation, joining).some((slot) =>
    Array.from({ length: start.numLayers }, (_, layer) => layer).some(
      (layer) => start.getLogicalExpert(layer, slot) >= 0,
    ),
  );
}

/** The start mapping that all engines hold, null where they differ or hold something else. */
function commonStart(situation: Situation, fresh: readonly Member[]): ExpertMapping | null {
  const states = fresh.flatMap((member) => describedEngine(situation, member)?.state ?? []);
  const [first] = states;
  if (first === undefined) return null;
  const isCommon = states.every(
    ({ mappingVersion, mappingDigest }) =>
      mappingVersion === 0 && mappingDigest === first.mappingDigest,
  );
  if (!isCommon) return null;
  const { numLayers, numLogicalExperts, slotOffsets } = situation.mapping;
  const { physicalToLogical } = first;
  return mappingFromWhole({ numLayers, numLogicalExperts, slotOffsets, physicalToLogical });
}

function startWave(
  situation: Situation,
  start: ExpertMapping,
  members: readonly Member[],
): MembershipPlan {
  const reason = 'the whole group has started again, with one mapping';
  const content = { change: 'start', reason, during: members, last: members } as const;
  const waves = wavesOf(situation, [{ mapping: start, transfers: [] }], content);
  return { kind: 'waves', change: 'start', waves };
}

/** The version that writes down what the engines hold at the start, as version 1. */
export function firstWave(situation: Situation): Wave {
  return wholeWave(situation, 'start', 'first version: what the engines hold at their start');
}

/** The mapping and the members that there are, as a version in which nothing moves. */
export function wholeWave(
  { mapping, members }: Pick<Situation, 'mapping' | 'members'>,
  change: Change,
  reason: string,
): Wave {
  return {
    change,
    reason,
    mapping: wholeMapping(mapping),
    digest: mapping.digest(),
    layers: new Int32Array(0),
    rows: new Int32Array(0),
    transfers: new Int32Array(0),
    members,
  };
}

/**
 * Engines that may be listed now, where their ranks are not: an old incarnation that is still listed
 * must be proven dead and removed first.
 */
export function joinersOf(situation: Situation): Member[] {
  const listed = new Set(situation.members.map(({ rank }) => rank));
  const joiners = candidates(situation, isJoining).filter(({ rank }) => !listed.has(rank));
  return joiners.sort((a, b) => a.rank - b.rank);
}

/** A version that lists new engines; a rank that is no member has only empty slots, and keeps them. */
export function planJoin(situation: Situation, joiners: readonly Member[]): MembershipPlan {
  const members = unionOfMembers(situation.members, joiners);
  const request = evacuationRequest(situation, members, {
    leavingRanks: [],
    returningRanks: joiners.map(({ rank }) => rank),
    maxIncomingPerRank: incomingMax(situation, true),
  });
  const plan = planEvacuation(request);
  if (plan.kind === 'degraded') return degraded(plan);
  const ranks = joiners.map(({ rank }) => rank).join(', ');
  const reason = `rank ${ranks} joins`;
  const content = { change: 'membership', reason, during: members, last: members } as const;
  const waves = wavesOf(situation, plan.waves, content);
  return { kind: 'waves', change: 'membership', waves };
}

/**
 * All that is to be emptied: drained ranks, and closed slots. Where not all of that can be, what can:
 * slots before ranks, since their memory is wanted.
 */
export function planDrains(situation: Situation): MembershipPlan {
  const drained = ranksToDrain(situation);
  const all = planEmptying(situation, drained, false, true);
  if (all.kind === 'waves' || drained.length === 0) return all;
  if (ranksToClear(situation).length === 0) return all;
  const slots = planEmptying(situation, [], false, true);
  if (slots.kind === 'waves') return slots;
  const ranks = planEmptying(situation, drained, false, false);
  return ranks.kind === 'waves' ? ranks : all;
}

/**
 * Waves that empty ranks which live and give what they hold.
 * @param isLeaving whether the last wave no longer lists them
 * @param clears closed slots of all members too
 */
export function planEmptying(
  situation: Situation,
  ranks: readonly number[],
  isLeaving: boolean,
  clears: boolean,
): MembershipPlan {
  const { members, drained } = situation;
  const maxIncomingPerRank = incomingMax(situation, true);
  for (const rank of drained) maxIncomingPerRank[rank] = 0;
  const request = evacuationRequest(situation, members, {
    leavingRanks: [...ranks],
    leavingSlots: clears ? closedSlotsOf(situation) : new Int32Array(0),
    maxIncomingPerRank,
  });
  const plan = planEvacuation(request);
  if (plan.kind === 'degraded') return degraded(plan);
  const change = isLeaving ? 'membership' : 'drain';
  const named = `rank ${ranks.join(', ')} ${isLeaving ? 'leaves' : 'is drained'}`;
  const limited = clears ? ranksToClear(situation).filter((rank) => !ranks.includes(rank)) : [];
  const told = [
    ...(ranks.length === 0 ? [] : [named]),
    ...(limited.length === 0 ? [] : [describeOffers(situation, limited)]),
  ];
  const reason = told.join('; ').slice(0, 1_000);
  const last = isLeaving ? members.filter(({ rank }) => !ranks.includes(rank)) : members;
  const waves = wavesOf(situation, plan.waves, { change, reason, during: members, last });
  return { kind: 'waves', change, waves };
}

/** Drained ranks of living members that still hold something. */
export function ranksToDrain(situation: Situation): number[] {
  const { mapping, drained } = situation;
  if (drained.length === 0) return [];
  const living = new Set(livingMembers(situation).map(({ rank }) => rank));
  return drained.filter((rank) => living.has(rank) && holdsExperts(mapping, rank));
}

export function holdsExperts(mapping: ExpertMapping, rank: number): boolean {
  for (let layer = 0; layer < mapping.numLayers; layer += 1) {
    const row = mapping.row(layer);
    const own = row.subarray(mapping.slotOffsets[rank] ?? 0, mapping.slotOffsets[rank + 1] ?? 0);
    if (own.some((expert) => expert >= 0)) return true;
  }
  return false;
}
