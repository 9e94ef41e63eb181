import type { LayerForecast } from './load-forecaster.js';

/** How a forecast came about, over all of its layers; plain data. */
export interface ForecastSummary {
  /** Mean over layers of Σ |forecast − load| ÷ Σ load, one window ahead. */
  readonly relativeError: number;
  /** Mean over layers of each method's weight; they sum to 1. */
  readonly methods: Readonly<Record<string, number>>;
  readonly layers: number;
  /** Layers whose newest window is of another kind than those before it. */
  readonly shiftedLayers: number;
  /** Layers whose forecast uses that loads recur. */
  readonly periodicLayers: number;
}

/** Without layers all is 0, and no method has a weight. */
export function summarizeForecast(layers: readonly LayerForecast[]): ForecastSummary {
  const methods: Record<string, number> = {};
  let relativeError = 0;
  for (const layer of layers) {
    relativeError += layer.relativeError / layers.length;
    for (const [method, weight] of Object.entries(layer.methods)) {
      methods[method] = (methods[method] ?? 0) + weight / layers.length;
    }
  }
  return {
    relativeError,
    methods,
    layers: layers.length,
    shiftedLayers: layers.filter(({ shift }) => shift).length,
    periodicLayers: layers.filter(({ period }) => period !== null).length,
  };
}
