/**
 * What the tests of other balancers expect, held against ours. Functions that are internal here
 * (packing, replication) are tested through placements of one layer. What is not tested as it
 * stands there, and why:
 *
 * | case | reason |
 * | --- | --- |
 * | `vllm_ascend_expert_map`, `vllm_ascend_log2phy_rotation`, `rank1_log2phy` | which replica a rank sends to is a matter of dispatch tables, which these packages do not have yet |
 * | `trtllm_update_schedule` | it updates so many layers an iteration by turns; `planWaves` takes those with most gain per move first, as buffers allow |
 * | `trtllm_replication`, zero loads | TensorRT-LLM spreads copies evenly; ours is DeepSeek's, which gives all of them to the first expert |
 * | `trtllm_placement`, replica counts | our policy chooses them itself; the tolerance is kept all the same |
 * | `vllm_ascend_stair`, hysteresis | in async-expert-rebalancer.test.ts: `shouldRebalance` looks at the balancedness alone, not at that of the last plan, and decides alike |
 * | `vllm_ascend_stair`, per_layer_acceptance | our policies are handed no candidate; its acceptance is recomputed with `largestRankLoads`, and our own plan does no worse on any window |
 * | `vllm_ascend_stair`, hold | holds here where equal loads are even over the ranks; where they are not, placing better is no mistake |
 * | `vllm_ascend_stair`, no current map | no error here: the plan starts from `ExpertMapping.contiguous` |
 * | `hust_transfer_plan`, source | the nearest holder and not the first that drops the expert; dictionaries to keep the order of there are none |
 * | `xllm` | nothing is asserted there; the natural check is |
 */
import { readFileSync } from 'node:fs';
import {
  type AbstractEplbPolicy,
  balancedness,
  DefaultEplbPolicy,
  EplbMetrics,
  ExpertLoadBalancer,
  ExpertMapping,
  ExpertType,
  keepSlots,
  LocalityAwarePolicy,
  planTransfers,
  type RebalanceRequest,
  uniformSlotOffsets,
} from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

type Row = readonly number[];
type Rows = readonly Row[];

interface Vectors {
  readonly deepseek_readme_and_vllm_basic: {
    readonly weight: Rows;
    readonly num_replicas: number;
    readonly num_groups: number;
    readonly num_nodes: number;
    readonly num_gpus: number;
    readonly exact: { readonly phy2log: Rows; readonly logcnt: Rows };
  };
  readonly vllm_algo_properties: {
    readonly cases: readonly { readonly name: string; readonly weight: Rows; readonly args: Row }[];
  };
  readonly vllm_logical_maps_with_holes: {
    readonly num_logical: number;
    readonly phy2log: Rows;
    readonly exact: { readonly logcnt: Rows; readonly log2phy_row0: Rows };
  };
  readonly vllm_balancedness: {
    readonly num_tokens_per_rank: Rows;
    readonly exact: { readonly balancedness: number };
  };
  readonly vllm_preserve_intragpu_slots: {
    readonly cases: readonly {
      readonly ranks: number;
      readonly slots: number;
      readonly old: Row;
      readonly new: Row;
    }[];
  };
  readonly trtllm_replication: {
    readonly cases: readonly (TrtllmShape & { readonly exact_replicas: Row })[];
  };
  readonly trtllm_placement: {
    readonly cases: readonly (TrtllmShape & { readonly tol: number })[];
  };
  readonly trtllm_rank_failure: {
    readonly cases: readonly {
      readonly slots_per_rank: number;
      readonly initial: Row;
      readonly dead_rank: number;
      readonly exact_surviving_replicas?: Row;
    }[];
  };
  readonly vllm_ascend_default_placement: {
    readonly experts: number;
    readonly ranks: number;
    readonly redundant: number;
    readonly exact: {
      readonly placement: Rows;
      readonly rank1_expert_map: Row;
      readonly no_eplb_rank1_expert_map: Row;
    };
  };
  readonly vllm_ascend_default_policy: {
    readonly cases: readonly [
      { readonly table: Rows[]; readonly workload: Rows[]; readonly exact_logical_load: Rows },
      { readonly counts: Row; readonly exact: number },
      { readonly workload: readonly Rows[]; readonly exact: Row },
      { readonly current: Rows[]; readonly new: Rows[]; readonly exact: Rows[] },
    ];
  };
  readonly vllm_ascend_stair: { readonly cases: readonly StairCase[] };
  readonly sglang_balanced_packing: {
    readonly weight: Row;
    readonly packs: number;
    readonly exact_max_pack: number;
  };
  readonly fastdeploy: {
    readonly cases: readonly [
      { readonly pack: Row; readonly packs: number; readonly exact_pack_idx: Row },
      { readonly replicate: Row; readonly num_phy: number },
      { readonly replicate: Row; readonly num_phy: number; readonly exact_phy2log: Row },
    ];
  };
  readonly xllm: {
    readonly device_experts: number;
    readonly devices: number;
    readonly load: Row;
  };
}

interface TrtllmShape {
  readonly slots_per_rank: number;
  readonly ep: number;
  readonly load: Row;
}

interface StairCase {
  readonly name: string;
  readonly load?: Row | string;
  readonly current?: Row | number;
  readonly ranks?: number;
  readonly slots?: number;
  readonly layers?: number;
  readonly experts?: number;
  readonly load_window?: readonly Rows[];
  readonly placement?: Rows;
  readonly candidate?: Rows;
  readonly exact_accept?: readonly boolean[];
  readonly property?: string;
}

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`./fixtures/${name}`, import.meta.url), 'utf8')) as T;
}

const vectors = fixture<Vectors>('other-balancers.json');

/** A mapping with as many slots on each rank. */
function mappingOf(rows: Rows, numRanks: number, numLogicalExperts?: number): ExpertMapping {
  return ExpertMapping.create({
    numLayers: rows.length,
    numLogicalExperts: numLogicalExperts ?? 1 + Math.max(...rows.flat()),
    slotOffsets: uniformSlotOffsets(rows[0]?.length ?? 0, numRanks),
    physicalToLogical: Int32Array.from(rows.flat()),
  });
}

function requestOf(loads: Rows, slots: number, numRanks: number) {
  return {
    numLayers: loads.length,
    numLogicalExperts: loads[0]?.length ?? 0,
    slotOffsets: uniformSlotOffsets(slots, numRanks),
    loads: Float64Array.from(loads.flat()),
  } satisfies RebalanceRequest;
}

function placeByDefault(loads: Rows, [slots, numGroups, numNodes, numRanks]: Row): ExpertMapping {
  const request = { ...requestOf(loads, slots ?? 0, numRanks ?? 0), numNodes, numGroups };
  return new DefaultEplbPolicy().rebalanceExperts(request as RebalanceRequest).mapping;
}

function placeLocally(mapping: ExpertMapping, loads: Rows, options?: Partial<RebalanceRequest>) {
  const request = requestOf(loads, mapping.numPhysicalExperts, mapping.numRanks);
  const all = { ...request, currentMapping: mapping, ...options };
  return new LocalityAwarePolicy().rebalanceExperts(all).mapping;
}

function rowsOf(mapping: ExpertMapping): number[][] {
  return Array.from({ length: mapping.numLayers }, (_, layer) => [...mapping.row(layer)]);
}

function replicaCounts(mapping: ExpertMapping): number[][] {
  return Array.from({ length: mapping.numLayers }, (_, layer) =>
    Array.from({ length: mapping.numLogicalExperts }, (_, expert) =>
      mapping.replicaCount(layer, expert),
    ),
  );
}

/** Experts of each rank of a layer, by slot. */
function heldByRank(mapping: ExpertMapping, layer = 0): number[][] {
  return Array.from({ length: mapping.numRanks }, (_, rank) => [
    ...mapping.row(layer).subarray(mapping.slotOffsets[rank], mapping.slotOffsets[rank + 1]),
  ]);
}

function sorted(values: Iterable<number>): number[] {
  return [...values].sort((a, b) => a - b);
}

function indexOfLargest(values: Row): number {
  return values.indexOf(Math.max(...values));
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

it('speaks of every case in the file', () => {
  const covered = [
    'deepseek_readme_and_vllm_basic',
    'fastdeploy',
    'hust_transfer_plan',
    'sglang_balanced_packing',
    'trtllm_placement',
    'trtllm_rank_failure',
    'trtllm_replication',
    'vllm_algo_properties',
    'vllm_ascend_default_placement',
    'vllm_ascend_default_policy',
    'vllm_ascend_stair',
    'vllm_balancedness',
    'vllm_logical_maps_with_holes',
    'vllm_preserve_intragpu_slots',
    'xllm',
  ];
  const notOurs = [
    'trtllm_update_schedule',
    'vllm_ascend_expert_map',
    'vllm_ascend_log2phy_rotation',
  ];
  const present = Object.keys(vectors).filter((key) => !key.startsWith('_'));
  expect(present.sort()).toEqual([...covered, ...notOurs].sort());
});

describe('DeepSeek and vLLM', () => {
  it('the case of their README and tests, slot for slot', () => {
    const vector = vectors.deepseek_readme_and_vllm_basic;
    const { num_replicas, num_groups, num_nodes, num_gpus } = vector;
    const mapping = placeByDefault(vector.weight, [num_replicas, num_groups, num_nodes, num_gpus]);
    expect(rowsOf(mapping)).toEqual(vector.exact.phy2log);
    expect(replicaCounts(mapping)).toEqual(vector.exact.logcnt);
  });

  const properties: Readonly<Record<string, (counts: Rows, weight: Rows) => void>> = {
    single_gpu: (counts) => expect(counts).toEqual([[1, 1, 1, 1]]),
    equal_weights: (counts) => expect(counts).toEqual([[1, 1, 1, 1, 1, 1, 1, 1]]),
    extreme: ([counts]) => expect(counts?.[0]).toBeGreaterThan(counts?.[1] ?? 0),
    multi_layer: (counts) => expect(counts).toHaveLength(3),
    non_divisible_groups_fall_back_to_global: (counts) => expect(counts).toHaveLength(1),
    small_hierarchical: expectHottestTwice,
    global_fallback: (counts) => expect(counts).toHaveLength(1),
    large: (counts) => expect(counts).toHaveLength(1),
    mirrored: expectHottestTwice,
  };

  function expectHottestTwice(counts: Rows, weight: Rows): void {
    counts.forEach((layerCounts, layer) => {
      expect(layerCounts[indexOfLargest(weight[layer] ?? [])]).toBeGreaterThanOrEqual(2);
    });
  }

  it.each(vectors.vllm_algo_properties.cases)('$name', ({ name, weight, args }) => {
    if (name === 'replicas_not_divisible_by_gpus') {
      expect(() => placeByDefault(weight, args)).toThrow(
        expect.objectContaining({ code: 'ISOBAR_EPLB_SIZES', fields: { field: 'slotOffsets' } }),
      );
      return;
    }
    const counts = replicaCounts(placeByDefault(weight, args));
    for (const layerCounts of counts) {
      expect(sum(layerCounts)).toBe(args[0]);
      expect(Math.min(...layerCounts)).toBeGreaterThanOrEqual(1);
    }
    const property = properties[name];
    expect(property, `a check of ${name}`).toBeDefined();
    property?.(counts, weight);
  });

  it('maps of experts past empty slots', () => {
    const { num_logical, phy2log, exact } = vectors.vllm_logical_maps_with_holes;
    const metrics = new EplbMetrics(mappingOf(phy2log, 2, num_logical), 1);
    expect([...metrics.replicaCounts]).toEqual(exact.logcnt.flat());
    expect([...metrics.logicalToPhysical.subarray(0, num_logical)]).toEqual(
      exact.log2phy_row0.flat(),
    );
  });

  it('balancedness over ranks, summed over layers first', () => {
    const { num_tokens_per_rank, exact } = vectors.vllm_balancedness;
    const [layers, ranks] = [num_tokens_per_rank.length, num_tokens_per_rank[0]?.length ?? 0];
    const loads = Float64Array.from(num_tokens_per_rank.flat());
    expect(balancedness(loads, layers, ranks)).toBe(exact.balancedness);
  });

  const keptSlots = [
    [0, 1, 5, 4, 2, 3, 6, 7],
    [0, 1, 0, 5, 4, 3, 2, 6, 1, 2],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
  ];
  it.each(
    vectors.vllm_preserve_intragpu_slots.cases.map((vector, index) => ({
      ...vector,
      kept: keptSlots[index] ?? [],
    })),
  )('slots that experts keep: $old to $new', ({ ranks, old, new: next, kept }) => {
    const from = mappingOf([old], ranks);
    const to = mappingOf([next], ranks);
    const aligned = keepSlots(from, to);
    expect([...aligned.row(0)]).toEqual(kept);
    heldByRank(aligned).forEach((held, rank) => {
      const before = heldByRank(from)[rank] ?? [];
      expect(sorted(held)).toEqual(sorted(heldByRank(to)[rank] ?? []));
      for (const expert of new Set(held)) {
        if (before.includes(expert)) expect(held[before.indexOf(expert)]).toBe(expert);
      }
    });
  });
});

describe('TensorRT-LLM', () => {
  it.each(vectors.trtllm_replication.cases)('replicas of $load', (vector) => {
    const { slots_per_rank, ep, load, exact_replicas } = vector;
    const counts = replicaCounts(placeByDefault([load], [slots_per_rank * ep, 1, 1, ep]))[0];
    const isIdle = load.every((tokens) => tokens === 0);
    expect(counts).toEqual(isIdle ? [3, 1, 1, 1] : exact_replicas);
  });

  it.each(vectors.trtllm_placement.cases)(
    'rank loads within $tol of each other: $load',
    (vector) => {
      const { slots_per_rank, ep, load, tol } = vector;
      const request = requestOf([load], slots_per_rank * ep, ep);
      const { mapping } = new LocalityAwarePolicy().rebalanceExperts(request);
      const rankLoads = mapping.rankLoads(request.loads);
      expect(Math.max(...rankLoads) - Math.min(...rankLoads)).toBeLessThanOrEqual(tol);
      expect([...mapping.row(0)]).not.toContain(-1);
    },
  );

  const [survivable, fatal] = vectors.trtllm_rank_failure.cases;

  it('a rank that fails leaves the replicas of the others', () => {
    const { initial = [], dead_rank = 0, slots_per_rank = 1 } = survivable ?? {};
    const numRanks = initial.length / slots_per_rank;
    const current = mappingOf([initial], numRanks);
    const loads = new Array<number>(current.numLogicalExperts).fill(1);
    const mapping = placeLocally(current, [loads], { unavailableRanks: [dead_rank], maxMoves: 0 });
    const surviving = loads.map(
      (_, expert) =>
        [...mapping.getPhysicalExperts(0, expert)].filter(
          (slot) => mapping.rankOfSlot(slot) !== dead_rank,
        ).length,
    );
    expect(surviving).toEqual(survivable?.exact_surviving_replicas);
  });

  it.each([new DefaultEplbPolicy(), new LocalityAwarePolicy()])(
    '$name refuses where the slots that are left can not hold every expert',
    (policy) => {
      const { initial = [], dead_rank = 0 } = fatal ?? {};
      const currentMapping = mappingOf([initial], initial.length);
      const before = [...initial];
      const request = requestOf([initial.map(() => 1)], initial.length, initial.length);
      const unavailableRanks = [dead_rank];
      expect(() =>
        policy.rebalanceExperts({ ...request, currentMapping, unavailableRanks }),
      ).toThrow(expect.objectContaining({ code: 'ISOBAR_EPLB_SIZES' }));
      expect([...currentMapping.row(0)]).toEqual(before);
    },
  );
});

describe('vLLM-Ascend', () => {
  it('the placement at the start', () => {
    const { experts, ranks, redundant, exact } = vectors.vllm_ascend_default_placement;
    const start = (slots: number) =>
      ExpertMapping.contiguous({
        numLayers: 1,
        numLogicalExperts: experts,
        numRanks: ranks,
        numPhysicalExperts: slots,
      });
    const localSlots = (mapping: ExpertMapping, rank: number) =>
      Array.from({ length: experts }, (_, expert) => heldByRank(mapping)[rank]?.indexOf(expert));
    const withRedundant = start(experts + redundant);
    expect(heldByRank(withRedundant)).toEqual(exact.placement);
    expect(localSlots(withRedundant, 1)).toEqual(exact.rank1_expert_map);
    expect(localSlots(start(experts), 1)).toEqual(exact.no_eplb_rank1_expert_map);
  });

  const [gathered, redundancy, heat, exchange] = vectors.vllm_ascend_default_policy.cases;

  it('loads of experts from loads of slots', () => {
    const mapping = mappingOf(
      gathered.table.map((layer) => layer.flat()),
      2,
    );
    const balancer = new ExpertLoadBalancer({ policy: new DefaultEplbPolicy(), mapping });
    const physicalLoads = Float64Array.from(gathered.workload.flat(2));
    expect([...balancer.logicalLoads(physicalLoads)]).toEqual(gathered.exact_logical_load.flat());
  });

  it('the number of redundant slots', () => {
    const row = redundancy.counts.flatMap((count, expert) => new Array<number>(count).fill(expert));
    const mapping = mappingOf([row], 1);
    const redundant = row.filter((_, slot) => mapping.expertType(0, slot) === ExpertType.REDUNDANT);
    expect(redundant).toHaveLength(redundancy.exact);
  });

  it('the largest rank load of each layer', () => {
    const mapping = mappingOf(
      heat.workload.map((layer) => layer.flat().map((_, slot) => slot)),
      2,
    );
    const loads = Float64Array.from(heat.workload.flat(2));
    expect([...mapping.largestRankLoads(loads)]).toEqual(heat.exact);
  });

  it('experts that change places within a rank do not', () => {
    const of = (table: readonly Rows[]) =>
      mappingOf(
        table.map((layer) => layer.flat()),
        2,
      );
    const kept = keepSlots(of(exchange.current), of(exchange.new));
    expect(rowsOf(kept)).toEqual(exchange.exact.map((layer) => layer.flat()));
  });
});

describe('STAIR of vLLM-Ascend', () => {
  function stair(name: string): StairCase {
    const found = vectors.vllm_ascend_stair.cases.find((vector) => vector.name === name);
    if (found === undefined) throw new Error(`there is no case ${name}`);
    return found;
  }

  it('incremental: better, no duplicates, and experts that stay keep their slots', () => {
    const vector = stair('incremental');
    const [load, ranks] = [vector.load as Row, vector.ranks ?? 0];
    const current = mappingOf([vector.current as Row], ranks, load.length);
    const mapping = placeLocally(current, [load]);
    const loads = Float64Array.from(load);
    expect(mapping.balancedness(loads)).toBeGreaterThan(current.balancedness(loads));
    for (const held of heldByRank(mapping)) expect(new Set(held).size).toBe(held.length);
    expect([...keepSlots(current, mapping).row(0)]).toEqual([...mapping.row(0)]);
  });

  it('never worse in any layer', () => {
    const vector = stair('never_worse');
    const loads = fixture<Rows>('stair-loads.json');
    expect([loads.length, loads[0]?.length]).toEqual([vector.layers, vector.experts]);
    const row = vector.current as Row;
    const current = mappingOf(
      loads.map(() => row),
      vector.ranks ?? 0,
    );
    const flat = Float64Array.from(loads.flat());
    const before = current.largestRankLoads(flat);
    const after = placeLocally(current, loads).largestRankLoads(flat);
    after.forEach((load, layer) => {
      expect(load).toBeLessThanOrEqual((before[layer] ?? 0) * (1 + 1e-12));
    });
    expect(sum(after)).toBeLessThan(sum(before));
  });

  it('per layer acceptance: only what helps on every window', () => {
    const {
      load_window = [],
      placement = [],
      candidate = [],
      ...vector
    } = stair('per_layer_acceptance');
    const current = mappingOf(placement, vector.ranks ?? 0);
    const largest = (mapping: ExpertMapping) =>
      load_window.map((window) => mapping.largestRankLoads(Float64Array.from(window.flat())));
    const before = largest(current);
    const helps = (mapping: ExpertMapping, least: (after: number, before: number) => boolean) =>
      placement.map((_, layer) =>
        largest(mapping).every((after, window) =>
          least(after[layer] ?? 0, before[window]?.[layer] ?? 0),
        ),
      );
    const proposed = mappingOf(candidate, vector.ranks ?? 0);
    expect(helps(proposed, (after, load) => after < load)).toEqual(vector.exact_accept);

    const mean = placement.map((row, layer) =>
      row.map((_, expert) => sum(load_window.map((window) => window[layer]?.[expert] ?? 0)) / 2),
    );
    const planned = placeLocally(current, mean);
    expect(helps(planned, (after, load) => after < load)[0]).toBe(true);
    expect(helps(planned, (after, load) => after <= load)).toEqual([true, true]);
  });

  it.each([0, 7])('holds at equal loads of %d', (load) => {
    expect(stair('hold').property).toBe('placement unchanged');
    const current = mappingOf([[3, 1, 2, 0, 7, 5, 6, 4]], 4);
    const mapping = placeLocally(current, [new Array<number>(8).fill(load)]);
    expect([...mapping.row(0)]).toEqual([...current.row(0)]);
  });

  it.each([
    ['an expert id out of range', () => mappingOf([[0, 1, 2, 4]], 2, 4), 'MAPPING_INVALID'],
    ['an expert with no replica', () => mappingOf([[0, 1, 2, 2]], 2, 4), 'MAPPING_INVALID'],
    ['a negative load', () => placeByDefault([[1, -1]], [2, 1, 1, 1]), 'REQUEST_INVALID'],
    ['an infinite load', () => placeByDefault([[1, 1 / 0]], [2, 1, 1, 1]), 'REQUEST_INVALID'],
    [
      'a load that is no number',
      () => placeByDefault([[1, 0 / 0]], [2, 1, 1, 1]),
      'REQUEST_INVALID',
    ],
  ])('rejects %s', (_, act, code) => {
    expect(act).toThrow(expect.objectContaining({ code: `ISOBAR_EPLB_${code}` }));
  });

  it('places anew where there is no current map', () => {
    const loads = [[4, 1, 3, 2]];
    const { mapping } = new LocalityAwarePolicy().rebalanceExperts(requestOf(loads, 4, 2));
    expect([...mapping.largestRankLoads(Float64Array.from(loads.flat()))]).toEqual([5]);
  });
});

describe('SGLang', () => {
  it('balanced packing', () => {
    const { weight, packs, exact_max_pack } = vectors.sglang_balanced_packing;
    const place = () => placeByDefault([weight], [weight.length, 1, 1, packs]);
    const mapping = place();
    expect([...mapping.largestRankLoads(Float64Array.from(weight))]).toEqual([exact_max_pack]);
    expect(sorted(mapping.row(0))).toEqual(sorted(weight.keys()));
    expect(place().equals(mapping)).toBe(true);
  });
});

describe('FastDeploy', () => {
  const [packed, replicated, single] = vectors.fastdeploy.cases;

  it('one item a pack: item i in pack i', () => {
    const mapping = placeByDefault([packed.pack], [packed.pack.length, 1, 1, packed.packs]);
    const ranks = packed.pack.map((_, expert) =>
      mapping.rankOfSlot(mapping.getPhysicalExperts(0, expert)[0] ?? -1),
    );
    expect(ranks).toEqual(packed.exact_pack_idx);
  });

  it('more copies for the heavier', () => {
    const { replicate, num_phy } = replicated;
    const [counts] = replicaCounts(placeByDefault([replicate], [num_phy, 1, 1, 2]));
    expect(counts?.[0]).toBeGreaterThan(counts?.[1] ?? 0);
  });

  it('as many slots as experts: experts in order', () => {
    const { replicate, num_phy, exact_phy2log } = single;
    const mapping = placeByDefault([replicate], [num_phy, 1, 1, num_phy]);
    expect([...mapping.row(0)]).toEqual(exact_phy2log);
  });
});

describe('xLLM', () => {
  const { device_experts, devices, load } = vectors.xllm;

  function expectHotTwice(policy: AbstractEplbPolicy): void {
    const request = requestOf([load], device_experts * devices, devices);
    const [counts] = replicaCounts(policy.rebalanceExperts(request).mapping);
    expect(counts).toEqual(load.map((tokens) => (tokens === 100 ? 2 : 1)));
  }

  it('the default policy gives each hot expert a second copy', () => {
    expectHotTwice(new DefaultEplbPolicy());
  });

  it('the locality-aware policy gives each hot expert a second copy', () => {
    expectHotTwice(new LocalityAwarePolicy());
  });
});

describe('vllm-hust', () => {
  function generator(seed: number): (below: number) => number {
    let state = (seed + 1) * 69_621;
    return (below) => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
  }

  function pair(seed: number) {
    const next = generator(seed);
    const pick = <T>(values: readonly [T, ...T[]]): T => values[next(values.length)] ?? values[0];
    const numRanks = pick([2, 4, 8, 16]);
    const experts = pick([8, 16, 32, 64, 256]);
    const layers = pick([1, 3, 10]);
    const slots = Math.ceil((experts + pick([0, 2, experts / 4])) / numRanks) * numRanks;
    const shuffledRow = () => {
      const row = Array.from({ length: slots }, (_, slot) =>
        slot < experts ? slot : next(experts),
      );
      for (let slot = slots - 1; slot > 0; slot -= 1) {
        const other = next(slot + 1);
        [row[slot], row[other]] = [row[other] ?? 0, row[slot] ?? 0];
      }
      return row;
    };
    const before = Array.from({ length: layers }, shuffledRow);
    const after = before.map((row) => (next(10) < 3 ? row : shuffledRow()));
    return { from: mappingOf(before, numRanks, experts), to: mappingOf(after, numRanks, experts) };
  }

  it.each(Array.from({ length: 60 }, (_, seed) => seed))('transfers, seed %d', (seed) => {
    const { from, to } = pair(seed);
    expect(planTransfers(from, from)).toEqual([]);
    const transfers = planTransfers(from, to);
    const changed = new Set(from.delta(to).layers);
    const wrong = transfers.filter(
      ({ layer, expert, slot, sourceRank, destinationRank }) =>
        !changed.has(layer) ||
        sourceRank === destinationRank ||
        !from.holds(layer, sourceRank, expert) ||
        from.holds(layer, destinationRank, expert) ||
        to.rankOfSlot(slot) !== destinationRank ||
        to.getLogicalExpert(layer, slot) !== expert,
    );
    expect(wrong).toEqual([]);
    let lacking = 0;
    to.physicalToLogical.forEach((expert, index) => {
      const layer = Math.floor(index / to.numPhysicalExperts);
      const rank = to.rankOfSlot(index % to.numPhysicalExperts);
      if (!from.holds(layer, rank, expert)) lacking += 1;
    });
    expect(transfers).toHaveLength(lacking);
  });
});
