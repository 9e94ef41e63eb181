import type { Trace } from '@isobar/trace';

/** Pearson's. */
export function correlation(a: Float64Array, b: Float64Array): number {
  const meanA = mean(a);
  const meanB = mean(b);
  let ab = 0;
  let aa = 0;
  let bb = 0;
  a.forEach((value, index) => {
    const da = value - meanA;
    const db = (b[index] ?? 0) - meanB;
    ab += da * db;
    aa += da * da;
    bb += db * db;
  });
  return ab / Math.sqrt(aa * bb);
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index += 1) sum += values[index] ?? 0;
  return sum / values.length;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

export function byLayer<T>(trace: Trace, of: (layer: number) => T): T[] {
  return Array.from({ length: trace.header.numLayers }, (_, layer) => of(layer));
}

const loadsOfTrace = new WeakMap<Trace, Float64Array[]>();

function allLoads(trace: Trace): Float64Array[] {
  const known = loadsOfTrace.get(trace);
  if (known !== undefined) return known;
  const loads = Array.from({ length: trace.numSteps }, (_, step) => trace.loads(step));
  loadsOfTrace.set(trace, loads);
  return loads;
}

/** Loads of one layer by step, from one step until before another. */
export function layerLoads(
  trace: Trace,
  layer: number,
  from = 0,
  until = trace.numSteps,
): Float64Array[] {
  const { numExperts } = trace.header;
  return allLoads(trace)
    .slice(from, until)
    .map((loads) => loads.slice(layer * numExperts, (layer + 1) * numExperts));
}

export function sumOf(rows: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(rows[0]?.length ?? 0);
  for (const row of rows) {
    row.forEach((value, index) => {
      sum[index] = (sum[index] ?? 0) + value;
    });
  }
  return sum;
}

/** Mean correlation of each row with the next. */
export function stepCorrelation(rows: readonly Float64Array[]): number {
  return mean(rows.slice(1).map((row, index) => correlation(row, rows[index] ?? row)));
}

/** Variance over rows, summed over experts, in multinomial variances. */
export function varianceRatio(rows: readonly Float64Array[]): number {
  const means = sumOf(rows).map((value) => value / rows.length);
  const total = means.reduce((sum, value) => sum + value, 0);
  let variance = 0;
  let multinomial = 0;
  means.forEach((value, expert) => {
    for (const row of rows) variance += ((row[expert] ?? 0) - value) ** 2 / (rows.length - 1);
    multinomial += value * (1 - value / total);
  });
  return variance / multinomial;
}

/** Part of a token's experts that the token before has too, over a step's tokens of one layer. */
export function adjacentSharing(trace: Trace, layer: number): number {
  let shared = 0;
  let choices = 0;
  for (let step = 0; step < trace.numSteps; step += 1) {
    const tokens = tokensOf(trace, step, layer);
    tokens.slice(1).forEach((token, index) => {
      const before = new Set(tokens[index]);
      shared += token.filter((expert) => before.has(expert)).length;
      choices += token.length;
    });
  }
  return shared / choices;
}

/** What `adjacentSharing` would be of independent tokens of the same loads. */
export function sharingByChance(loads: Float64Array, topK: number): number {
  const total = loads.reduce((sum, load) => sum + load, 0);
  return loads.reduce((sum, load) => sum + (load / total) ** 2, 0) * topK;
}

/** How often two of a token's experts are of one group, and of two, against chance. */
export function groupLift(
  trace: Trace,
  layer: number,
  groupSize: number,
): { within: number; across: number } {
  const group = (expert: number) => Math.floor(expert / groupSize);
  const observed = new PairShare();
  for (let step = 0; step < trace.numSteps; step += 1) {
    for (const token of tokensOf(trace, step, layer)) {
      forEachPair(token.length, (a, b) => {
        observed.add(group(token[a] ?? 0) === group(token[b] ?? 0), 1);
      });
    }
  }
  const loads = sumOf(layerLoads(trace, layer));
  const chance = new PairShare();
  forEachPair(loads.length, (a, b) => {
    chance.add(group(a) === group(b), (loads[a] ?? 0) * (loads[b] ?? 0));
  });
  return {
    within: observed.within() / chance.within(),
    across: (1 - observed.within()) / (1 - chance.within()),
  };
}

class PairShare {
  #inside = 0;
  #all = 0;

  add(isInside: boolean, weight: number): void {
    this.#all += weight;
    if (isInside) this.#inside += weight;
  }

  within(): number {
    return this.#inside / this.#all;
  }
}

function forEachPair(count: number, visit: (a: number, b: number) => void): void {
  for (let a = 0; a < count; a += 1) {
    for (let b = a + 1; b < count; b += 1) visit(a, b);
  }
}

function tokensOf(trace: Trace, step: number, layer: number): number[][] {
  const { numLayers, topK } = trace.header;
  const entries = trace.tokens(step);
  return Array.from({ length: trace.numTokens(step) }, (_, token) => {
    const start = (token * numLayers + layer) * topK;
    return Array.from(entries.subarray(start, start + topK));
  });
}
