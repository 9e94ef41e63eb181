import {
  ExpertLoadBalancer,
  ExpertMapping,
  LoadForecaster,
  LocalityAwarePolicy,
} from '@isobar/eplb';
import { createRandom, type Random } from '@isobar/trace';
import { describe, expect, it } from 'vitest';

const shape = { numLayers: 6, numLogicalExperts: 32 };
const entries = shape.numLayers * shape.numLogicalExperts;
const meanLoad = 60;

/** Log popularity of each expert. */
type Popularity = (index: number) => number;

const normals = (random: Random) => Float64Array.from({ length: entries }, () => random.normal());

/** Counts whose variance is twice the mean, drawn as gamma variables, rounded. */
function draw(random: Random, popularity: Popularity, tokensPerExpert = meanLoad): Float64Array {
  const weights = Float64Array.from({ length: entries }, (_, index) =>
    Math.exp(0.6 * popularity(index)),
  );
  return weights.map((weight, index) => {
    const start = index - (index % shape.numLogicalExperts);
    const row = weights.subarray(start, start + shape.numLogicalExperts);
    const share = weight / row.reduce((sum, other) => sum + other, 0);
    const load = share * shape.numLogicalExperts * tokensPerExpert;
    return Math.round(2 * random.gamma(load / 2));
  });
}

/** Windows, each of the popularity that `popularityOf` gives for it. */
function windowsOf(
  seed: number,
  count: number,
  popularityOf: (window: number, random: Random) => Popularity,
): Float64Array[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, (_, window) => draw(random, popularityOf(window, random)));
}

function averageForecasts(windows: readonly Float64Array[], rate: number): Float64Array[] {
  const forecasts: Float64Array[] = [];
  let average = new Float64Array(entries);
  windows.forEach((window, at) => {
    if (at > 0) forecasts.push(average);
    const weight = at === 0 ? 1 : Math.max(rate, rate === 0 ? 1 / (at + 1) : 0);
    average = average.map((value, index) => value + weight * ((window[index] ?? 0) - value));
  });
  return forecasts;
}

/** Σ |forecast − load| ÷ Σ load from the window `first` on. */
function relativeError(
  windows: readonly Float64Array[],
  forecasts: readonly Float64Array[],
  first: number,
): number {
  let error = 0;
  let sum = 0;
  for (let at = first; at < windows.length; at += 1) {
    windows[at]?.forEach((load, index) => {
      error += Math.abs(load - (forecasts[at - 1]?.[index] ?? 0));
      sum += load;
    });
  }
  return error / sum;
}

function forecastOf(forecaster: LoadForecaster) {
  const forecast = forecaster.forecast();
  if (forecast === null) throw new Error('no forecast');
  return forecast;
}

function play(windows: readonly Float64Array[], forecaster = new LoadForecaster(shape)) {
  return windows.map((window) => {
    forecaster.add(window);
    return forecastOf(forecaster);
  });
}

/** Error from the window `first` on: the forecaster's, and that of the best fixed average. */
function compare(windows: readonly Float64Array[], first = 1) {
  const forecasts = play(windows).map(({ loads }) => loads);
  const averages = [0, 0.1, 0.2, 0.35, 0.5, 0.7, 1].map((rate) =>
    relativeError(windows, averageForecasts(windows, rate), first),
  );
  return { error: relativeError(windows, forecasts, first), bestAverage: Math.min(...averages) };
}

describe('LoadForecaster', () => {
  const random = createRandom(1);
  const domains = Array.from({ length: 4 }, () => normals(random));
  const domain = (at: number): Popularity => {
    const values = domains[at % domains.length];
    return (index) => values?.[index] ?? 0;
  };

  it('is near the average of all windows where they are noise around a constant', () => {
    const { error, bestAverage } = compare(windowsOf(2, 40, () => domain(0)));
    expect(error).toBeLessThan(bestAverage * 1.02);
  });

  it('follows slow drift as the best fixed average does', () => {
    const levels = normals(random);
    const windows = windowsOf(3, 40, (_, source) => {
      for (let index = 0; index < entries; index += 1) {
        levels[index] = (levels[index] ?? 0) + 0.2 * source.normal();
      }
      return (index) => levels[index] ?? 0;
    });
    const { error, bestAverage } = compare(windows);
    expect(error).toBeLessThan(bestAverage * 1.02);
  });

  it.each([2, 3, 5, 8, 12])('finds change with a period of %i windows', (period) => {
    const phases = Float64Array.from({ length: entries }, () => 2 * Math.PI * random.next());
    const windows = windowsOf(period, 5 * period + 20, (window) => (index) => {
      const angle = (2 * Math.PI * window) / period + (phases[index] ?? 0);
      return domain(0)(index) + Math.cos(angle);
    });
    const { error, bestAverage } = compare(windows, 2 * period + 2);
    expect(error).toBeLessThan(bestAverage * 0.85);
    const last = play(windows).at(-1)?.layers ?? [];
    const periods = last.map((layer) => layer.period).filter((found) => found !== null);
    expect(periods.length).toBeGreaterThan(0);
    expect(periods.every((found) => found % period === 0)).toBe(true);
  });

  it('follows a sudden shift of domain, and says so in its window', () => {
    const windows = windowsOf(5, 40, (window) => domain(window < 20 ? 0 : 1));
    const { error, bestAverage } = compare(windows, 21);
    expect(error).toBeLessThan(bestAverage * 1.05);
    const shifts = play(windows).flatMap(({ layers }, at) =>
      layers.every(({ shift }) => shift) ? [at] : [],
    );
    expect(shifts).toEqual([20]);
  });

  it('knows a domain again that it saw before', () => {
    const windows = windowsOf(6, 33, (window) => domain(window < 16 || window >= 32 ? 0 : 1));
    const returned = windowsOf(7, 1, () => domain(0));
    const all = [...windows, ...returned];
    const { error, bestAverage } = compare(all, 33);
    expect(error).toBeLessThan(bestAverage * 0.95);
  });

  it('alternates with domains that alternate', () => {
    const windows = windowsOf(8, 40, (window) => domain(window));
    const { error, bestAverage } = compare(windows, 10);
    expect(error).toBeLessThan(bestAverage * 0.6);
  });

  it('expects what followed before, where it recurs in no period', () => {
    // After 1 comes 2; the rest is in no order.
    const order = [0, 1, 2, 0, 3, 1, 2, 3, 0, 1, 2, 0, 0, 1, 2, 3, 3, 3, 1, 2, 0, 3, 0, 1, 2, 1, 2];
    const windows = windowsOf(22, order.length, (window) => domain(order[window] ?? 0));
    const afterOne = order.flatMap((at, window) => (at === 2 && window > 12 ? [window] : []));
    const errorOf = (forecasts: readonly Float64Array[]) => {
      const errors = afterOne.map((window) => {
        const forecast = forecasts[window - 1] ?? new Float64Array(entries);
        return relativeError([windows[0], windows[window]] as Float64Array[], [forecast], 1);
      });
      return errors.reduce((sum, error) => sum + error, 0) / errors.length;
    };
    const averages = [0, 0.2, 0.5, 1].map((rate) => errorOf(averageForecasts(windows, rate)));
    const error = errorOf(play(windows).map(({ loads }) => loads));
    expect(error).toBeLessThan(0.8 * Math.min(...averages));
  });

  it('learns that bursts pass', () => {
    const windows = windowsOf(9, 60, (window, source) => {
      if (window % 7 !== 6) return domain(0);
      const burst = normals(source);
      return (index) => burst[index] ?? 0;
    });
    const afterBurst = windows.filter((_, window) => window % 7 === 0 && window > 20);
    const forecasts = play(windows).filter((_, window) => window % 7 === 6 && window >= 20);
    const last = averageForecasts(windows, 0.5).filter((_, at) => at % 7 === 6 && at >= 20);
    const errorOf = (of: readonly Float64Array[]) =>
      relativeError([new Float64Array(entries), ...afterBurst], of, 1);
    expect(errorOf(forecasts.map(({ loads }) => loads))).toBeLessThan(errorOf(last) * 0.75);
  });

  it('weighs methods so that they sum to 1, and reports plain data', () => {
    for (const { layers } of play(windowsOf(10, 12, () => domain(0)))) {
      expect(structuredClone(layers)).toEqual(layers);
      expect(layers).toHaveLength(shape.numLayers);
      for (const { methods } of layers) {
        const weights = Object.values(methods);
        expect(Math.min(...weights)).toBeGreaterThanOrEqual(0);
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
      }
    }
  });

  it('reports the error that its forecasts had', () => {
    const windows = windowsOf(11, 60, () => domain(0));
    const forecasts = play(windows);
    const error = relativeError(
      windows,
      forecasts.map(({ loads }) => loads),
      40,
    );
    const layers = forecasts.at(-1)?.layers ?? [];
    const reported = layers.reduce((sum, layer) => sum + layer.relativeError, 0) / layers.length;
    expect(reported).toBeGreaterThan(error * 0.9);
    expect(reported).toBeLessThan(error * 1.1);
  });

  it('states deviations that residuals have, for hot experts and cold ones', () => {
    const windows = windowsOf(12, 80, () => domain(0));
    const forecasts = play(windows);
    const squares = { cold: [] as number[], hot: [] as number[] };
    windows.slice(10).forEach((window, at) => {
      const forecast = forecasts[at + 9];
      window.forEach((load, index) => {
        const expected = forecast?.loads[index] ?? 0;
        const square = ((load - expected) / (forecast?.deviations[index] ?? 0)) ** 2;
        squares[expected < meanLoad ? 'cold' : 'hot'].push(square);
      });
    });
    for (const of of [squares.cold, squares.hot]) {
      const mean = of.reduce((sum, square) => sum + square, 0) / of.length;
      expect(mean).toBeGreaterThan(0.85);
      expect(mean).toBeLessThan(1.15);
    }
  });

  it('finds the experts whose loads err together, and none among independent ones', () => {
    const isSwayed = (index: number) => index % shape.numLogicalExperts < 8;
    const swayed = windowsOf(19, 40, (_, source) => {
      const sway = source.normal();
      return (index) => domain(0)(index) + (isSwayed(index) ? 0.8 * sway : 0);
    });
    const [factor, ...others] = play(swayed).at(-1)?.factors ?? [];
    expect(others.length).toBeLessThanOrEqual(1);
    for (let layer = 0; layer < shape.numLayers; layer += 1) {
      const start = layer * shape.numLogicalExperts;
      const row = factor?.subarray(start, start + shape.numLogicalExperts) ?? new Float64Array();
      const sum = row.reduce((total, tokens) => total + Math.abs(tokens), 0);
      const ofSwayed = row.subarray(0, 8);
      expect(Math.abs(ofSwayed.reduce((total, tokens) => total + tokens, 0))).toBeGreaterThan(
        0.35 * sum,
      );
      expect(new Set(ofSwayed.map(Math.sign)).size).toBe(1);
    }
    const independent = play(windowsOf(20, 40, () => domain(0))).at(-1)?.factors ?? [];
    const layersWithFactor = Array.from({ length: shape.numLayers }, (_, layer) =>
      independent.some((of) => of[layer * shape.numLogicalExperts] !== 0),
    ).filter(Boolean).length;
    expect(layersWithFactor).toBeLessThanOrEqual(1);
  });

  it('is less sure of loads in the window of a shift, where they may return or stay', () => {
    const windows = windowsOf(21, 21, (window) => domain(window < 20 ? 0 : 1));
    const [before, after] = play(windows).slice(-2);
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    const deviationOf = (of: typeof before) =>
      sum(of?.deviations ?? new Float64Array()) / sum(of?.loads ?? new Float64Array());
    expect(deviationOf(after)).toBeGreaterThan(1.5 * deviationOf(before));
  });

  it('depends on the windows added alone', () => {
    const windows = windowsOf(13, 30, (window) => domain(Math.floor(window / 7)));
    const whole = play(windows);
    for (const length of [1, 2, 9, 20]) {
      expect(play(windows.slice(0, length)).at(-1)).toEqual(whole[length - 1]);
    }
  });

  it('does not change what it has handed out, nor what it was given', () => {
    const [first, ...rest] = windowsOf(14, 6, () => domain(0));
    const given = first?.slice();
    const forecaster = new LoadForecaster(shape);
    forecaster.add(first ?? new Float64Array(entries));
    const early = forecastOf(forecaster);
    const copy = structuredClone(early);
    play(rest, forecaster);
    expect(early).toEqual(copy);
    expect(first).toEqual(given);
  });

  it('forecasts well with a history of few windows', () => {
    const windows = windowsOf(15, 60, () => domain(0));
    const forecaster = new LoadForecaster(shape, { historyWindowsMax: 4 });
    const forecasts = play(windows, forecaster).map(({ loads }) => loads);
    const best = compare(windows).bestAverage;
    expect(relativeError(windows, forecasts, 1)).toBeLessThan(best * 1.03);
  });

  it('takes windows of different lengths', () => {
    const source = createRandom(16);
    const windows = Array.from({ length: 30 }, (_, window) =>
      draw(source, domain(0), window % 3 === 2 ? 3 : meanLoad),
    );
    const shares = (of: Float64Array) => {
      const total = of.subarray(0, shape.numLogicalExperts).reduce((sum, load) => sum + load, 0);
      return of.subarray(0, shape.numLogicalExperts).map((load) => load / total);
    };
    const long = windows.reduce((sum, window) => sum.map((load, at) => load + (window[at] ?? 0)));
    const last = play(windows).at(-1)?.loads ?? new Float64Array(entries);
    const difference = shares(last)
      .map((share, expert) => Math.abs(share - (shares(long)[expert] ?? 0)))
      .reduce((sum, value) => sum + value, 0);
    expect(difference).toBeLessThan(0.04);
  });

  it('is not disturbed by idle windows, nor an idle layer', () => {
    const windows = windowsOf(17, 20, (window) => domain(window < 10 ? 0 : 1));
    const idle = new Float64Array(entries);
    const plain = play(windows).at(-1);
    const withPauses = play(windows.flatMap((window) => [window, idle, idle])).at(-1);
    expect(withPauses).toEqual(plain);
    const halves = windows.map((window, at) =>
      at % 2 === 0 ? window : window.map((load, index) => (index < 32 ? 0 : load)),
    );
    const { loads, deviations } = play(halves).at(-1) ?? { loads: idle, deviations: idle };
    expect(loads.every(Number.isFinite)).toBe(true);
    expect(deviations.every((deviation) => deviation > 0)).toBe(true);
    const total = loads.subarray(0, 32).reduce((sum, load) => sum + load, 0);
    expect(total / 32 / meanLoad).toBeCloseTo(1, 0);
  });

  it('goes on expecting of a layer that is idle about what it expected before', () => {
    const source = createRandom(23);
    const levels = normals(source);
    // Much drift, little noise: the last window is what counts.
    const windows = Array.from({ length: 14 }, () => {
      for (let index = 0; index < entries; index += 1) {
        levels[index] = (levels[index] ?? 0) + 0.5 * source.normal();
      }
      return draw(source, (index) => levels[index] ?? 0, 5_000);
    });
    const layerOf = (values: Float64Array | undefined) =>
      (values ?? new Float64Array(entries)).subarray(0, shape.numLogicalExperts);
    const paused = windows.slice();
    const last = paused.pop() ?? new Float64Array(entries);
    const before = layerOf(play(paused).at(-1)?.loads);
    const pause = last.map((load, index) => (index < shape.numLogicalExperts ? 0 : load));
    const after = layerOf(play([...paused, pause]).at(-1)?.loads);
    const sum = before.reduce((total, load) => total + load, 0);
    const change = before.reduce((total, load, at) => total + Math.abs(load - (after[at] ?? 0)), 0);
    expect(change / sum).toBeLessThan(0.2);
  });

  it('refuses loads that are none, and is as before', () => {
    const windows = windowsOf(25, 3, () => domain(0));
    const forecaster = new LoadForecaster(shape);
    const before = play(windows, forecaster).at(-1);
    for (const wrong of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      expect(() => forecaster.add(new Float64Array(entries).fill(wrong))).toThrow(
        expect.objectContaining({ code: 'ISOBAR_EPLB_REQUEST_INVALID' }),
      );
    }
    expect(forecaster.forecast()).toEqual(before);
  });

  it('expects nothing before anything was seen', () => {
    const forecaster = new LoadForecaster(shape);
    expect(forecaster.forecast()).toBeNull();
    forecaster.add(new Float64Array(entries));
    const { loads, deviations } = forecastOf(forecaster);
    expect(loads).toEqual(new Float64Array(entries));
    expect(deviations).toEqual(new Float64Array(entries));
  });

  it('handles one expert, and one layer that always has the same loads', () => {
    const forecaster = new LoadForecaster({ numLayers: 1, numLogicalExperts: 1 });
    for (let window = 0; window < 8; window += 1) forecaster.add(Float64Array.of(7));
    expect(forecastOf(forecaster).loads[0]).toBeCloseTo(7, 9);
    const same = new LoadForecaster({ numLayers: 1, numLogicalExperts: 3 });
    for (let window = 0; window < 8; window += 1) same.add(Float64Array.of(5, 0, 1));
    const { loads, deviations } = forecastOf(same);
    expect([...loads].map((load) => Math.round(load * 1e6) / 1e6)).toEqual([5, 0, 1]);
    expect(deviations.every((deviation) => deviation > 0 && deviation < 20)).toBe(true);
  });

  it('refuses windows of another shape, and senseless sizes', () => {
    expect(() => new LoadForecaster(shape).add(new Float64Array(3))).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_LOADS_SHAPE' }),
    );
    expect(() => new LoadForecaster(shape, { historyWindowsMax: 0 })).toThrow(
      expect.objectContaining({ code: 'ISOBAR_EPLB_REQUEST_INVALID' }),
    );
  });
});

describe('ExpertLoadBalancer', () => {
  it('plans for the forecast and its deviations', () => {
    const mapping = ExpertMapping.contiguous({
      numLayers: shape.numLayers,
      numLogicalExperts: shape.numLogicalExperts,
      numRanks: 4,
      numPhysicalExperts: 40,
    });
    const balancer = new ExpertLoadBalancer({ policy: new LocalityAwarePolicy(), mapping });
    expect(balancer.forecast()).toBeNull();
    const forecaster = new LoadForecaster(shape);
    for (const window of windowsOf(18, 5, () => () => 0)) {
      balancer.recordLogicalLoad(window);
      balancer.advanceWindow();
      forecaster.add(window);
    }
    const forecast = forecastOf(forecaster);
    expect(balancer.forecast()).toEqual(forecast);
    expect(balancer.averageLoad()).toEqual(forecast.loads);
    const { loads, loadDeviations } = balancer.request();
    expect({ loads, deviations: loadDeviations }).toMatchObject({
      loads: forecast.loads,
      deviations: forecast.deviations,
    });
  });
});
