import {
  type EvacuationRequest,
  type EvacuationWave,
  ExpertMapping,
  planEvacuation,
} from '@isobar/eplb';
import { createRandom } from '@isobar/trace';
import { describe, expect, it } from 'vitest';

/** One layer, two slots a rank; −1 for an empty slot. */
function layerOf(numLogicalExperts: number, slots: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 1,
    numLogicalExperts,
    slotOffsets: Int32Array.from({ length: slots.length / 2 + 1 }, (_, rank) => rank * 2),
    physicalToLogical: Int32Array.from(slots),
  });
}

function request(current: ExpertMapping, fields: Partial<EvacuationRequest>): EvacuationRequest {
  return {
    current,
    outRanks: [],
    leavingRanks: [],
    maxIncomingPerRank: new Int32Array(current.numRanks).fill(4),
    ...fields,
  };
}

function wavesOf(asked: EvacuationRequest): readonly EvacuationWave[] {
  const plan = planEvacuation(asked);
  if (plan.kind !== 'waves') throw new Error(`degraded at layer ${plan.layer}`);
  return plan.waves;
}

function rows(waves: readonly EvacuationWave[]): number[][] {
  return waves.map(({ mapping }) => [...mapping.row(0)]);
}

describe('an evacuation', () => {
  it('brings back what only the dead rank held, and empties its slots', () => {
    // Ranks 0 and 2 hold a replica of expert 0 each; rank 1 dies with experts 2 and 3.
    const current = layerOf(4, [0, 1, 2, 3, 0, 1]);
    const waves = wavesOf(request(current, { outRanks: [1] }));
    expect(waves).toHaveLength(1);
    const [row = []] = rows(waves);
    expect([...row.slice(0, 2), ...row.slice(4)].sort()).toEqual([0, 1, 2, 3]);
    expect(row.slice(2, 4)).toEqual([-1, -1]);
    expect(waves[0]?.transfers.map(({ sourceRank }) => sourceRank)).toEqual([-1, -1]);
  });

  it('only empties the slots where nothing is missing', () => {
    const current = layerOf(2, [0, 1, 0, 1]);
    const waves = wavesOf(request(current, { outRanks: [1] }));
    expect(rows(waves)).toEqual([[0, 1, -1, -1]]);
    expect(waves[0]?.transfers).toEqual([]);
  });

  it('takes an expert back where a retained buffer still holds it', () => {
    // Before, rank 2 held expert 3; now only rank 1 does, and it dies.
    const retained = layerOf(4, [0, 1, 2, 0, 3, 1]);
    const current = layerOf(4, [0, 1, 2, 3, 0, 1]);
    const outRanks = [1];
    const ranks = [0, 2];
    const waves = wavesOf(request(current, { outRanks, retained: { mapping: retained, ranks } }));
    const [wave] = waves;
    const rank2 = [...(wave?.mapping.row(0) ?? [])].slice(4);
    expect(rank2).toContain(3);
    expect(wave?.transfers.find(({ expert }) => expert === 3)).toMatchObject({
      destinationRank: 2,
      sourceRank: 2,
    });
    expect(wave?.transfers.find(({ expert }) => expert === 2)?.sourceRank).toBe(-1);
  });

  it('does not ask a rank that has freed its retained buffers', () => {
    const retained = layerOf(4, [0, 1, 2, 0, 3, 1]);
    const current = layerOf(4, [0, 1, 2, 3, 0, 1]);
    const options = { outRanks: [1], retained: { mapping: retained, ranks: [0] } };
    const [wave] = wavesOf(request(current, options));
    expect(wave?.transfers.every(({ sourceRank }) => sourceRank === -1)).toBe(true);
  });

  it('fetches from a retained buffer whose own rank has no slot for it, in the first wave', () => {
    // Rank 2 retains expert 3, but both its slots hold experts that nobody else has.
    const retained = layerOf(6, [0, 1, 2, 4, 3, 5]);
    const current = layerOf(6, [0, 1, 2, 3, 4, 5, 0, 1]);
    const before = ExpertMapping.create({
      numLayers: 1,
      numLogicalExperts: 6,
      slotOffsets: current.slotOffsets,
      physicalToLogical: Int32Array.from([...retained.physicalToLogical, -1, -1]),
    });
    const waves = wavesOf(
      request(current, {
        outRanks: [1],
        retained: { mapping: before, ranks: [0, 2, 3] },
        maxIncomingPerRank: Int32Array.of(1, 1, 1, 1),
      }),
    );
    const first = waves[0]?.transfers.find(({ expert }) => expert === 3);
    expect(first?.sourceRank).toBe(2);
  });

  it('prefers empty slots, then the expert with most replicas', () => {
    const current = layerOf(4, [0, 1, 2, 0, 3, -1, 0, 2]);
    const empty = wavesOf(request(current, { outRanks: [0] }));
    // Expert 1 alone was lost.
    expect(rows(empty)).toEqual([[-1, -1, 2, 0, 3, 1, 0, 2]]);
    const full = layerOf(4, [0, 1, 2, 0, 3, 0, 0, 2]);
    const [row = []] = rows(wavesOf(request(full, { outRanks: [0] })));
    expect(row.filter((expert) => expert === 0)).toHaveLength(2);
    expect(row.filter((expert) => expert === 2)).toHaveLength(2);
  });

  it('gives to the rank with least load', () => {
    const current = layerOf(5, [4, -1, 0, -1, 1, -1, 2, 3]);
    const loads = Float64Array.of(9, 1, 5, 5, 1);
    const [row = []] = rows(wavesOf(request(current, { outRanks: [0], loads })));
    expect(row.slice(4, 6)).toEqual([1, 4]);
  });

  it('keeps pinned slots, of a rank that stays', () => {
    const current = layerOf(3, [0, 1, 0, 2, 0, 1]);
    const pinnedSlots = Int32Array.of(2);
    const [row = []] = rows(wavesOf(request(current, { outRanks: [2], pinnedSlots })));
    expect(row[2]).toBe(0);
  });

  it('takes as many waves as the spare buffers need; each names every expert', () => {
    const current = layerOf(4, [0, 1, 2, 3, 0, 1]);
    const maxIncomingPerRank = Int32Array.of(1, 1, 0);
    const waves = wavesOf(request(current, { outRanks: [1], maxIncomingPerRank }));
    expect(waves).toHaveLength(2);
    // The expert that waits is still named where it was.
    expect([...(waves[0]?.mapping.row(0) ?? [])].slice(2, 4)).toContain(3);
    expect([...(waves[1]?.mapping.row(0) ?? [])].slice(2, 4)).toEqual([-1, -1]);
  });

  it('takes from a live rank that leaves', () => {
    const current = layerOf(4, [0, 1, 2, 3, -1, -1]);
    const [wave] = wavesOf(request(current, { leavingRanks: [1] }));
    expect(wave?.transfers.map(({ sourceRank }) => sourceRank)).toEqual([1, 1]);
    expect([...(wave?.mapping.row(0) ?? [])].slice(2, 4)).toEqual([-1, -1]);
  });

  it('brings a returning rank all that its slots name, without a limit', () => {
    const current = layerOf(4, [0, 1, 2, 3]);
    const waves = wavesOf(
      request(current, { returningRanks: [1], maxIncomingPerRank: Int32Array.of(1, 0) }),
    );
    expect(rows(waves)).toEqual([[0, 1, 2, 3]]);
    expect(waves[0]?.transfers).toEqual([
      { layer: 0, slot: 2, expert: 2, destinationRank: 1, sourceRank: -1 },
      { layer: 0, slot: 3, expert: 3, destinationRank: 1, sourceRank: -1 },
    ]);
  });

  it('is refused with fewer live slots than experts, or no buffer to receive into', () => {
    const current = layerOf(4, [0, 1, 2, 3]);
    expect(planEvacuation(request(current, { outRanks: [1] }))).toEqual({
      kind: 'degraded',
      layer: 0,
      expert: 2,
      lacks: 'slots',
      liveSlots: 2,
    });
    const roomy = layerOf(2, [0, -1, 1, -1]);
    const none = request(roomy, { outRanks: [1], maxIncomingPerRank: new Int32Array(2) });
    expect(planEvacuation(none)).toMatchObject({ kind: 'degraded', lacks: 'buffers' });
  });

  it('keeps its promises whatever dies and leaves', () => {
    let refused = 0;
    for (let seed = 1; seed <= 300; seed += 1) {
      const asked = randomRequest(seed);
      const plan = planEvacuation(asked);
      if (plan.kind === 'degraded') refused += 1;
      else checkWaves(asked, plan.waves, seed);
      expect(planEvacuation(asked), `seed ${seed}`).toEqual(plan);
    }
    expect(refused).toBeGreaterThan(10);
    expect(refused).toBeLessThan(200);
  });

  it('is cut into waves that messages have room for, and ends as it would without', () => {
    let cut = 0;
    for (let seed = 1; seed <= 300; seed += 1) {
      const asked = { ...randomRequest(seed), retained: null };
      const plan = planEvacuation({ ...asked, room });
      if (plan.kind === 'degraded') continue;
      checkWaves(asked, plan.waves, seed);
      expect(largestBytes(asked.current, plan.waves), `seed ${seed}`).toBeLessThanOrEqual(
        room.bytesMax,
      );
      const whole = wavesOf(asked);
      if (plan.waves.length > whole.length) cut += 1;
      expect(plan.waves.at(-1)?.mapping).toEqual(whole.at(-1)?.mapping);
    }
    expect(cut).toBeGreaterThan(50);
  });

  it('is not cut where a message has no room for any expert', () => {
    const asked = request(twoLayers([0, 1, 2, 3, 0, 1]), { outRanks: [1] });
    const none = { ...room, bytesMax: room.layerBytes };
    expect(planEvacuation({ ...asked, room: none })).toEqual(planEvacuation(asked));
    expect(planEvacuation({ ...asked, room })).not.toEqual(planEvacuation(asked));
  });

  it('takes back what ranks retain, and returns ranks, in the first wave whatever the room', () => {
    const tight = { bytesMax: 60, layerBytes: 40, moveBytes: 20 };
    // Ranks 0 and 2 retain an expert each that died with rank 1, in two layers.
    const retained = { mapping: twoLayers([2, 1, 0, 1, 3, 0]), ranks: [0, 2] };
    const asked = request(twoLayers([0, 1, 2, 3, 0, 1]), { outRanks: [1], retained, room: tight });
    const [first] = wavesOf(asked);
    expect(first?.transfers.map(({ sourceRank }) => sourceRank)).toEqual([0, 2, 0, 2]);
    const again = request(twoLayers([0, 1, 2, 3, -1, -1]), { returningRanks: [1], room: tight });
    expect(wavesOf(again).map(({ transfers }) => transfers.length)).toEqual([4]);
  });
});

/** Two layers alike, two slots a rank. */
function twoLayers(slots: readonly number[]): ExpertMapping {
  return ExpertMapping.create({
    numLayers: 2,
    numLogicalExperts: 4,
    slotOffsets: Int32Array.of(0, 2, 4, 6),
    physicalToLogical: Int32Array.from([...slots, ...slots]),
  });
}

/** For two layers and a move, or one and three. */
const room = { bytesMax: 100, layerBytes: 40, moveBytes: 20 };

function largestBytes(current: ExpertMapping, waves: readonly EvacuationWave[]): number {
  const { layerBytes, moveBytes } = room;
  const bytes = waves.map(({ mapping, transfers }, index) => {
    const before = waves[index - 1]?.mapping ?? current;
    return before.delta(mapping).layers.length * layerBytes + transfers.length * moveBytes;
  });
  return Math.max(...bytes);
}

function randomRequest(seed: number): EvacuationRequest {
  const random = createRandom(seed);
  const numRanks = 3 + random.integer(4);
  const perRank = 2 + random.integer(3);
  const numPhysicalExperts = numRanks * perRank;
  const numLogicalExperts = Math.max(2, numPhysicalExperts - perRank - random.integer(3));
  const slotOffsets = Int32Array.from({ length: numRanks + 1 }, (_, rank) => rank * perRank);
  const numLayers = 3;
  const shuffled = () => {
    const rows = ExpertMapping.contiguous({
      numLayers,
      numLogicalExperts,
      numRanks,
      numPhysicalExperts,
    }).physicalToLogical.slice();
    for (let layer = 0; layer < numLayers; layer += 1) {
      const row = rows.subarray(layer * numPhysicalExperts, (layer + 1) * numPhysicalExperts);
      for (let at = row.length - 1; at > 0; at -= 1) {
        const other = random.integer(at + 1);
        [row[at], row[other]] = [row[other] ?? -1, row[at] ?? -1];
      }
    }
    const spec = { numLayers, numLogicalExperts, slotOffsets, physicalToLogical: rows };
    return ExpertMapping.create(spec);
  };
  const current = shuffled();
  const fate = Array.from({ length: numRanks }, () => random.integer(numRanks + 1));
  const ranks = fate.map((_, rank) => rank);
  const outRanks = ranks.filter((rank) => fate[rank] === 0);
  return {
    current,
    retained:
      random.integer(2) === 0
        ? null
        : { mapping: shuffled(), ranks: ranks.filter(() => random.integer(3) > 0) },
    outRanks,
    leavingRanks: ranks.filter((rank) => fate[rank] === 1 && random.integer(2) === 0),
    maxIncomingPerRank: Int32Array.from({ length: numRanks }, () => 1 + random.integer(3)),
  };
}

function checkWaves(
  asked: EvacuationRequest,
  waves: readonly EvacuationWave[],
  seed: number,
): void {
  const { current, outRanks, leavingRanks, retained = null, maxIncomingPerRank } = asked;
  const ends = new Set([...outRanks, ...leavingRanks]);
  let before = current;
  waves.forEach(({ mapping, transfers }, wave) => {
    const where = `seed ${seed}, wave ${wave}`;
    const incoming = new Int32Array(current.numRanks);
    expect(
      transfers.map(({ layer, slot, expert }) => [layer, slot, expert]),
      where,
    ).toEqual(before.moves(mapping).map(({ layer, slot, expert }) => [layer, slot, expert]));
    for (const { layer, expert, sourceRank, destinationRank } of transfers) {
      expect(ends.has(destinationRank), where).toBe(false);
      if (sourceRank !== destinationRank) {
        incoming[destinationRank] = (incoming[destinationRank] ?? 0) + 1;
      }
      if (sourceRank < 0) continue;
      expect(outRanks, where).not.toContain(sourceRank);
      const retains =
        wave === 0 &&
        retained?.ranks.includes(sourceRank) === true &&
        retained.mapping.holds(layer, sourceRank, expert);
      expect(before.holds(layer, sourceRank, expert) || retains, where).toBe(true);
    }
    incoming.forEach((count, rank) => {
      expect(count, where).toBeLessThanOrEqual(maxIncomingPerRank[rank] ?? 0);
    });
    // What lives under the mapping before lives under this one.
    for (let layer = 0; layer < mapping.numLayers; layer += 1) {
      for (let expert = 0; expert < mapping.numLogicalExperts; expert += 1) {
        if (!hasLiveReplica(before, outRanks, layer, expert)) continue;
        expect(hasLiveReplica(mapping, outRanks, layer, expert), where).toBe(true);
      }
    }
    before = mapping;
  });
  before.physicalToLogical.forEach((expert, index) => {
    const rank = before.rankOfSlot(index % before.numPhysicalExperts);
    if (ends.has(rank)) expect(expert, `seed ${seed}, at the end`).toBe(-1);
  });
}

function hasLiveReplica(
  mapping: ExpertMapping,
  outRanks: readonly number[],
  layer: number,
  expert: number,
): boolean {
  return [...mapping.getPhysicalExperts(layer, expert)].some(
    (slot) => !outRanks.includes(mapping.rankOfSlot(slot)),
  );
}
