import { createRequire } from 'node:module';

// Its types describe the CommonJS entry only.
const loadHighs: typeof import('highs').default = createRequire(import.meta.url)('highs');
const highs = await loadHighs();

/** One layer to place; sizes as of `largestRankLoadBound`. */
export interface PlacementProblem {
  /** [experts] */
  readonly loads: Float64Array;
  /** [ranks] */
  readonly slotsPerRank: Int32Array;
  /** [ranks] */
  readonly capacities: Float64Array;
  /** Whether one rank may hold several replicas of one expert. */
  readonly duplicates: boolean;
}

export interface SmallInstance {
  /** [experts] */
  readonly loads: Float64Array;
  /** [ranks + 1] */
  readonly slotOffsets: Int32Array;
  /** Smallest largest rank load of all placements without two replicas of an expert on one rank. */
  readonly optimum: number;
}

/**
 * Smallest largest (rank load ÷ capacity) of all placements, by branch and bound: experts by
 * falling load, every replica count, every choice of ranks. Among ranks in the same state the
 * lowest go first. Slots may stay empty.
 */
export function exactLargestRankLoad(problem: PlacementProblem): number {
  return new BranchAndBound(problem).solve();
}

class BranchAndBound {
  readonly #problem: PlacementProblem;
  readonly #loads: number[];
  readonly #rankLoads: Float64Array;
  readonly #freeSlots: Int32Array;
  /** Load of experts from this one on, [experts + 1]. */
  readonly #loadFrom: Float64Array;
  #best = Number.POSITIVE_INFINITY;

  constructor(problem: PlacementProblem) {
    this.#problem = problem;
    this.#loads = [...problem.loads].sort((a, b) => b - a);
    this.#rankLoads = new Float64Array(problem.slotsPerRank.length);
    this.#freeSlots = problem.slotsPerRank.slice();
    this.#loadFrom = new Float64Array(this.#loads.length + 1);
    for (let expert = this.#loads.length - 1; expert >= 0; expert -= 1) {
      this.#loadFrom[expert] = (this.#loadFrom[expert + 1] ?? 0) + (this.#loads[expert] ?? 0);
    }
  }

  solve(): number {
    this.#placeExpert(0);
    return this.#best;
  }

  #relativeLoad(rank: number): number {
    return (this.#rankLoads[rank] ?? 0) / (this.#problem.capacities[rank] ?? 1);
  }

  #placeExpert(expert: number): void {
    if (expert === this.#loads.length) {
      const largest = Math.max(...this.#rankLoads.map((_, rank) => this.#relativeLoad(rank)));
      this.#best = Math.min(this.#best, largest);
      return;
    }
    const later = this.#loads.length - expert - 1;
    const free = this.#freeSlots.reduce((sum, slots) => sum + slots, 0);
    if (!this.#fits(this.#loadFrom[expert] ?? 0)) return;
    for (let count = free - later; count >= 1; count -= 1) {
      this.#placeReplicas(expert, count, count, 0);
    }
  }

  #placeReplicas(expert: number, count: number, left: number, from: number): void {
    if (left === 0) {
      this.#placeExpert(expert + 1);
      return;
    }
    const share = (this.#loads[expert] ?? 0) / count;
    for (let rank = from; rank < this.#rankLoads.length; rank += 1) {
      if (this.#freeSlots[rank] === 0 || this.#sameAsSkipped(rank, from)) continue;
      const before = this.#rankLoads[rank] ?? 0;
      this.#rankLoads[rank] = before + share;
      this.#freeSlots[rank] = (this.#freeSlots[rank] ?? 0) - 1;
      if (this.#relativeLoad(rank) < this.#best) {
        const next = this.#problem.duplicates ? rank : rank + 1;
        this.#placeReplicas(expert, count, left - 1, next);
      }
      this.#rankLoads[rank] = before;
      this.#freeSlots[rank] = (this.#freeSlots[rank] ?? 0) + 1;
    }
  }

  /** Whether a rank that this choice has passed over is in the same state. */
  #sameAsSkipped(rank: number, from: number): boolean {
    for (let other = from; other < rank; other += 1) {
      if (
        this.#rankLoads[other] === this.#rankLoads[rank] &&
        this.#freeSlots[other] === this.#freeSlots[rank] &&
        this.#problem.capacities[other] === this.#problem.capacities[rank]
      ) {
        return true;
      }
    }
    return false;
  }

  /** Whether so much load fits under the best placement so far. */
  #fits(load: number): boolean {
    if (this.#best === Number.POSITIVE_INFINITY) return true;
    let room = 0;
    this.#freeSlots.forEach((slots, rank) => {
      const capacity = this.#problem.capacities[rank] ?? 1;
      if (slots > 0) room += this.#best * capacity - (this.#rankLoads[rank] ?? 0);
    });
    return load < room;
  }
}

/**
 * The same by mixed-integer programming (HiGHS), as a check of the oracle itself. Whole numbers
 * n(e, c, r) count expert e's replicas on rank r where it has c of them; y(e, c) chooses c. What
 * is returned is the largest load of the placement that was found, free of the solver's tolerance.
 */
export function largestRankLoadByMilp(problem: PlacementProblem): number {
  const mean = problem.loads.reduce((sum, load) => sum + load, 0) / problem.slotsPerRank.length;
  const solution = highs.solve(milp(problem, mean), { mip_rel_gap: 0, mip_abs_gap: 1e-9 });
  if (solution.Status !== 'Optimal') throw new Error(`HiGHS: ${solution.Status}`);
  const rankLoads = new Float64Array(problem.slotsPerRank.length);
  for (const [name, column] of Object.entries(solution.Columns)) {
    const [kind, expert, count, rank] = name.split('_');
    if (kind !== 'n' || !('Primal' in column)) continue;
    const share = (problem.loads[Number(expert)] ?? 0) / Number(count);
    const replicas = Math.round(column.Primal);
    rankLoads[Number(rank)] = (rankLoads[Number(rank)] ?? 0) + replicas * share;
  }
  return Math.max(...rankLoads.map((load, rank) => load / (problem.capacities[rank] ?? 1)));
}

function milp(problem: PlacementProblem, unit: number): string {
  const { loads, slotsPerRank, capacities, duplicates } = problem;
  const ranks = [...slotsPerRank.keys()];
  const slots = slotsPerRank.reduce((sum, rankSlots) => sum + rankSlots, 0);
  const most = duplicates
    ? slots - loads.length + 1
    : Math.min(slots - loads.length + 1, ranks.length);
  const counts = Array.from({ length: most }, (_, index) => index + 1);
  const experts = [...loads.keys()];
  const pairs = experts.flatMap((expert) => counts.map((count) => [expert, count] as const));
  const rows: string[] = [];
  for (const expert of experts) {
    rows.push(`${counts.map((count) => `y_${expert}_${count}`).join(' + ')} = 1`);
  }
  for (const [expert, count] of pairs) {
    const replicas = ranks.map((rank) => `n_${expert}_${count}_${rank}`);
    rows.push(`${replicas.join(' + ')} - ${count} y_${expert}_${count} = 0`);
    const limit = duplicates ? count : 1;
    rows.push(...replicas.map((name) => `${name} - ${limit} y_${expert}_${count} <= 0`));
  }
  for (const rank of ranks) {
    const names = pairs.map(([expert, count]) => `n_${expert}_${count}_${rank}`);
    rows.push(`${names.join(' + ')} <= ${slotsPerRank[rank] ?? 0}`);
    const terms = pairs.map(
      ([expert, count], index) => `${(loads[expert] ?? 0) / count / unit} ${names[index] ?? ''}`,
    );
    rows.push(`${terms.join(' + ')} - ${capacities[rank] ?? 1} T <= 0`);
  }
  const whole = pairs.flatMap(([expert, count]) => [
    `y_${expert}_${count}`,
    ...ranks.map((rank) => `n_${expert}_${count}_${rank}`),
  ]);
  return `Minimize\n T\nSubject To\n ${rows.join('\n ')}\nGeneral\n ${whole.join(' ')}\nEnd\n`;
}

/** Numbers from 0 to 1 (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 200 instances with their optima: the same at every call, 3 to 12 experts on 2 to 6 ranks. */
export function smallInstances(): SmallInstance[] {
  const random = randomNumbers(1);
  const upTo = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  return Array.from({ length: 200 }, (_, index) => {
    const numRanks = upTo(2, 6);
    const numExperts = upTo(Math.max(3, numRanks), 12);
    const numSlots = numExperts + upTo(1, 5);
    const slotOffsets = Int32Array.from({ length: numRanks + 1 }, (_, rank) => {
      const more = Math.min(rank, numSlots % numRanks);
      return rank * Math.floor(numSlots / numRanks) + more;
    });
    const loads = Float64Array.from({ length: numExperts }, (_, expert) =>
      Math.round(1 + 1000 * (distributions[index % 3]?.(random, expert) ?? 0)),
    );
    const slotsPerRank = slotOffsets.subarray(1).map((end, rank) => end - (slotOffsets[rank] ?? 0));
    const capacities = new Float64Array(numRanks).fill(1);
    const optimum = exactLargestRankLoad({ loads, slotsPerRank, capacities, duplicates: false });
    return { loads, slotOffsets, optimum };
  });
}

/** Lognormal, Zipf, uniform. */
const distributions: readonly ((random: () => number, expert: number) => number)[] = [
  (random) =>
    Math.exp(0.8 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())),
  (random, expert) => (1 + 0.1 * random()) / (1 + expert),
  (random) => random(),
];
