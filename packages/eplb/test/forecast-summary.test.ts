import { LoadForecaster, summarizeForecast } from '@isobar/eplb';
import { describe, expect, it } from 'vitest';

describe('summarizeForecast', () => {
  it('takes means over layers, also of methods that not every layer names, and counts', () => {
    const layers = [
      { methods: { mean: 1 }, shift: false, period: null, relativeError: 0.1 },
      { methods: { mean: 0.5, seasonal: 0.5 }, shift: true, period: 3, relativeError: 0.4 },
      { methods: { mean: 0, seasonal: 1 }, shift: true, period: null, relativeError: 0.4 },
      { methods: { mean: 0.5, other: 0.5 }, shift: true, period: null, relativeError: 0.3 },
    ];
    const summary = summarizeForecast(layers);
    expect(summary).toEqual({
      relativeError: expect.closeTo(0.3, 12),
      methods: { mean: 0.5, seasonal: 0.375, other: 0.125 },
      layers: 4,
      shiftedLayers: 3,
      periodicLayers: 1,
    });
  });

  it('of a forecast has weights that sum to 1', () => {
    const forecaster = new LoadForecaster({ numLayers: 3, numLogicalExperts: 4 });
    for (let window = 0; window < 6; window += 1) {
      forecaster.add(Float64Array.from({ length: 12 }, (_, at) => 10 + ((at * 7 + window) % 5)));
    }
    const { methods, relativeError, layers } = summarizeForecast(
      forecaster.forecast()?.layers ?? [],
    );
    expect(layers).toBe(3);
    expect(Object.values(methods).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
    expect(relativeError).toBeGreaterThan(0);
    expect(relativeError).toBeLessThan(1);
  });

  it('of no layer is empty', () => {
    expect(summarizeForecast([])).toEqual({
      relativeError: 0,
      methods: {},
      layers: 0,
      shiftedLayers: 0,
      periodicLayers: 0,
    });
  });
});
