import { EplbError } from '../eplb-error.js';
import { DeviationModel } from './deviation-model.js';
import { Followers } from './followers.js';
import { ForecastCombination } from './forecast-combination.js';
import type { ForecastMethod } from './forecast-method.js';
import type { LoadShape } from './load-shape.js';
import { MovingAverage } from './moving-average.js';
import { ResidualFactors } from './residual-factors.js';
import { SeasonalAverage } from './seasonal-average.js';
import { ShiftDetector } from './shift-detector.js';
import { ShiftPersistence } from './shift-persistence.js';
import { SimilarWindows } from './similar-windows.js';
import { WindowHistory } from './window-history.js';

export interface LoadForecasterOptions {
  /** Windows that are kept and compared. Averages remember more than that. @default 48 */
  readonly historyWindowsMax?: number;
}

/** How a layer's forecast came about; plain data. */
export interface LayerForecast {
  /** Weight of each method; they sum to 1. */
  readonly methods: Readonly<Record<string, number>>;
  /** The newest window is of another kind than those before it. */
  readonly shift: boolean;
  /** Windows after which loads recur, where the forecast uses that. */
  readonly period: number | null;
  /** Of forecasts one window ahead: Σ |forecast − load| ÷ Σ load, older windows counting less. */
  readonly relativeError: number;
}

export interface LoadForecast {
  /** Tokens expected in the next window, [layers × experts]. */
  readonly loads: Float64Array;
  /** Standard deviations of the next window's loads, given its total, [layers × experts]. */
  readonly deviations: Float64Array;
  /**
   * Loads that err together: tokens by which each is off at one standard deviation of a factor,
   * each [layers × experts], 0 in a layer without. The deviations hold them too.
   */
  readonly factors: readonly Float64Array[];
  readonly layers: readonly LayerForecast[];
}

/** After a shift: shares that are usual and those of the new state, and how far it is believed. */
interface Doubt {
  readonly usual: Float64Array;
  readonly state: Float64Array;
  readonly persistence: number;
}

/** How fast errors that are reported fade, a window. */
const ERROR_RETENTION = 0.9;
/** Weight of the newest window in the total of tokens that is expected. */
const TOTAL_RATE = 0.3;

/**
 * Forecasts the next window of loads from those before it. Several methods each forecast every
 * layer's shares; they are combined by the errors that they made so far. What is forecast depends
 * on the windows added and nothing else. An idle window changes nothing; an idle layer of a window
 * is left out of averages.
 */
export class LoadForecaster {
  readonly #shape: LoadShape;
  readonly #history: WindowHistory;
  readonly #methods: readonly ForecastMethod[];
  readonly #seasonal: SeasonalAverage;
  readonly #similar: number;
  /** Shares of the next window by each method, each [layers × experts]. */
  readonly #forecasts: readonly Float64Array[];
  /** Shares of the next window, [layers × experts]; null before the first window. */
  #combined: Float64Array | null = null;
  readonly #combination: ForecastCombination;
  readonly #deviations: DeviationModel;
  readonly #factors: ResidualFactors;
  readonly #shifts = new ShiftDetector();
  readonly #persistence = new ShiftPersistence();
  #isShift = false;
  #doubt: Doubt | null = null;
  /** [layers × methods] */
  #weights: Float64Array;
  /** Tokens expected, [layers]. */
  readonly #totals: Float64Array;
  /** Faded sums over windows, [layers]. */
  readonly #errors: Float64Array;
  readonly #loads: Float64Array;
  /** Of the newest window, kept so as not to be allocated anew, each [layers × experts]. */
  readonly #shares: Float64Array;
  readonly #weightedShares: Float64Array;
  readonly #residuals: Float64Array;
  #hasWindow = false;

  /** @throws EplbError ISOBAR_EPLB_REQUEST_INVALID naming the field */
  constructor(shape: LoadShape, options: LoadForecasterOptions = {}) {
    const { historyWindowsMax = 48 } = options;
    assertPositiveInteger('historyWindowsMax', historyWindowsMax);
    assertPositiveInteger('numLayers', shape.numLayers);
    assertPositiveInteger('numLogicalExperts', shape.numLogicalExperts);
    const { numLayers, numLogicalExperts } = shape;
    this.#shape = { numLayers, numLogicalExperts };
    this.#history = new WindowHistory(shape, historyWindowsMax);
    this.#seasonal = new SeasonalAverage(shape, Math.floor(historyWindowsMax / 2));
    const similar = new SimilarWindows(shape);
    // The mean comes first: the others fall back on it for a layer that they know nothing of.
    this.#methods = [
      new MovingAverage('mean', shape, 0),
      new MovingAverage('last-window', shape, 1),
      new MovingAverage('fast-average', shape, 0.5),
      new MovingAverage('slow-average', shape, 0.2),
      similar,
      new Followers(shape),
      this.#seasonal,
    ];
    this.#similar = this.#methods.indexOf(similar);
    const entries = shape.numLayers * shape.numLogicalExperts;
    this.#forecasts = this.#methods.map(() => new Float64Array(entries));
    this.#combination = new ForecastCombination(shape, this.#methods.length);
    this.#deviations = new DeviationModel(shape);
    this.#factors = new ResidualFactors(shape);
    this.#weights = this.#combination.weights();
    this.#totals = new Float64Array(shape.numLayers);
    this.#errors = new Float64Array(shape.numLayers);
    this.#loads = new Float64Array(shape.numLayers);
    this.#shares = new Float64Array(entries);
    this.#weightedShares = new Float64Array(entries);
    this.#residuals = new Float64Array(entries);
  }

  /**
   * Takes in the newest window, tokens by expert, [layers × experts].
   * @throws EplbError ISOBAR_EPLB_LOADS_SHAPE; ISOBAR_EPLB_REQUEST_INVALID where a load is negative
   *   or not finite; then nothing has changed
   */
  add(window: Float64Array): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    if (window.length !== numLayers * numLogicalExperts) {
      throw new EplbError(
        'ISOBAR_EPLB_LOADS_SHAPE',
        `loads have ${window.length} entries, not ${numLayers} × ${numLogicalExperts}`,
        { field: 'loads' },
      );
    }
    const totals = this.#totalsOf(window);
    this.#hasWindow = true;
    if (totals.every((total) => total === 0)) return;
    const shares = this.#sharesOf(window, totals);
    this.#judge(window, shares, totals);
    this.#remember(shares, totals);
    this.#combine();
  }

  #totalsOf(window: Float64Array): Float64Array {
    const { numLayers, numLogicalExperts } = this.#shape;
    const totals = new Float64Array(numLayers);
    let index = 0;
    for (let layer = 0; layer < numLayers; layer += 1) {
      let total = 0;
      for (const end = index + numLogicalExperts; index < end; index += 1) {
        const load = window[index] ?? 0;
        if (!(load >= 0 && load < Number.POSITIVE_INFINITY)) throw invalidLoad(load, index);
        total += load;
      }
      totals[layer] = total;
    }
    return totals;
  }

  #sharesOf(window: Float64Array, totals: Float64Array): Float64Array {
    const { numLogicalExperts } = this.#shape;
    const shares = this.#shares.fill(0);
    totals.forEach((total, layer) => {
      if (total === 0) return;
      const start = layer * numLogicalExperts;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        shares[index] = (window[index] ?? 0) / total;
      }
    });
    return shares;
  }

  /** Holds the forecasts made before against the window that came. */
  #judge(window: Float64Array, shares: Float64Array, totals: Float64Array): void {
    const combined = this.#combined;
    if (combined === null) return;
    const residuals = this.#residuals.fill(0);
    totals.forEach((total, layer) => {
      const expected = this.#totals[layer] ?? 0;
      if (total === 0 || expected === 0) return;
      this.#combination.add(layer, this.#forecasts, shares);
      this.#deviations.add(layer, combined, window, total, residuals);
      if (this.#doubt !== null) {
        const { usual, state } = this.#doubt;
        this.#persistence.add(
          this.#rowOf(usual, layer),
          this.#rowOf(state, layer),
          this.#rowOf(shares, layer),
        );
      }
      const shareOf = this.#rowOf(combined, layer);
      const error = this.#rowOf(window, layer).reduce(
        (sum, load, expert) => sum + Math.abs((shareOf[expert] ?? 0) * expected - load),
        0,
      );
      this.#errors[layer] = (this.#errors[layer] ?? 0) * ERROR_RETENTION + error;
      this.#loads[layer] = (this.#loads[layer] ?? 0) * ERROR_RETENTION + total;
    });
    this.#factors.add(residuals);
  }

  /** One layer's part of [layers × experts], [experts]; not a copy. */
  #rowOf(values: Float64Array, layer: number): Float64Array {
    const { numLogicalExperts } = this.#shape;
    return values.subarray(layer * numLogicalExperts, (layer + 1) * numLogicalExperts);
  }

  #remember(shares: Float64Array, totals: Float64Array): void {
    const { numLogicalExperts } = this.#shape;
    const weights = totals.map((total, layer) => total / (total + (this.#totals[layer] || total)));
    totals.forEach((total, layer) => {
      if (total === 0) return;
      const before = this.#totals[layer] || total;
      this.#totals[layer] = before + TOTAL_RATE * (total - before);
    });
    const weighted = this.#weightedShares;
    const rootShares = new Float32Array(shares.length);
    weights.forEach((weight, layer) => {
      const start = layer * numLogicalExperts;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        weighted[index] = weight * (shares[index] ?? 0);
        rootShares[index] = Math.sqrt(shares[index] ?? 0);
      }
    });
    this.#history.add({ rootShares, weights });
    this.#isShift = this.#history.size > 1 && this.#shifts.add(this.#jump());
    for (const method of this.#methods) method.add(this.#history, weighted);
  }

  /** From the window before to the newest, less where either has fewer tokens than usual. */
  #jump(): number {
    const [newest, before] = this.#history.windows;
    const meanOf = (weights: Float64Array = new Float64Array()) =>
      weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
    const [a, b] = [meanOf(newest?.weights), meanOf(before?.weights)];
    // Noise grows with 1 ÷ tokens; a weight is ½ at the usual number of them.
    return this.#history.distance(0, 1) * Math.min(1, (4 * a * b) / (a + b));
  }

  #combine(): void {
    const { numLayers, numLogicalExperts } = this.#shape;
    const combined = new Float64Array(numLayers * numLogicalExperts);
    this.#weights = this.#combination.weights();
    this.#methods.forEach((method, at) => {
      const forecast = this.#forecasts[at];
      if (forecast === undefined) return;
      method.forecast(this.#history, forecast);
      for (let layer = 0; layer < numLayers; layer += 1) {
        const start = layer * numLogicalExperts;
        const weight = this.#weights[layer * this.#methods.length + at] ?? 0;
        normalize(forecast, start, numLogicalExperts, this.#forecasts[0]);
        for (let index = start; index < start + numLogicalExperts; index += 1) {
          combined[index] = (combined[index] ?? 0) + weight * (forecast[index] ?? 0);
        }
      }
    });
    this.#combined = combined;
    const state = this.#forecasts[this.#similar];
    this.#doubt = null;
    if (this.#isShift && state !== undefined) this.#follow(combined, state);
  }

  /** Goes part of the way from what is usual to the state that a shift led to. */
  #follow(usual: Float64Array, state: Float64Array): void {
    const persistence = this.#persistence.persistence(usual, state);
    this.#doubt = { usual, state, persistence };
    this.#combined = usual.map(
      (share, index) => share + persistence * ((state[index] ?? 0) - share),
    );
    this.#weights = this.#weights.map((weight, index) => {
      const isSimilar = index % this.#methods.length === this.#similar;
      return weight * (1 - persistence) + (isSimilar ? persistence : 0);
    });
  }

  /** Null before the first window. */
  forecast(): LoadForecast | null {
    if (!this.#hasWindow) return null;
    const { numLayers, numLogicalExperts } = this.#shape;
    const loads = new Float64Array(numLayers * numLogicalExperts);
    const combined = this.#combined ?? loads;
    this.#totals.forEach((total, layer) => {
      const start = layer * numLogicalExperts;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        loads[index] = (combined[index] ?? 0) * total;
      }
    });
    const deviations = new Float64Array(loads.length);
    this.#deviations.fill(deviations, loads);
    const factors = this.#factors.factors(deviations);
    if (this.#doubt !== null) this.#addDoubt(deviations, this.#doubt);
    const layers = Array.from({ length: numLayers }, (_, layer) => this.#report(layer));
    return { loads, deviations, factors, layers };
  }

  /** Adds the variance of not knowing whether a shift lasts: that of two values, one of which holds. */
  #addDoubt(deviations: Float64Array, { usual, state, persistence }: Doubt): void {
    const { numLogicalExperts } = this.#shape;
    const factor = persistence * (1 - persistence);
    this.#totals.forEach((total, layer) => {
      const start = layer * numLogicalExperts;
      for (let index = start; index < start + numLogicalExperts; index += 1) {
        const apart = ((state[index] ?? 0) - (usual[index] ?? 0)) * total;
        deviations[index] = Math.sqrt((deviations[index] ?? 0) ** 2 + factor * apart ** 2);
      }
    });
  }

  #report(layer: number): LayerForecast {
    const weights = this.#weights.subarray(layer * this.#methods.length);
    const methods = Object.fromEntries(
      this.#methods.map(({ name }, index) => [name, weights[index] ?? 0]),
    );
    const isSeasonal = (methods[this.#seasonal.name] ?? 0) > 0;
    const loads = this.#loads[layer] ?? 0;
    return {
      methods,
      shift: this.#isShift,
      period: isSeasonal ? this.#seasonal.period : null,
      relativeError: loads === 0 ? 0 : (this.#errors[layer] ?? 0) / loads,
    };
  }
}

/** Makes a layer's proportions sum to 1. Where all are 0 they become those of `other`. */
function normalize(
  proportions: Float64Array,
  start: number,
  length: number,
  other: Float64Array = proportions,
): void {
  let sum = 0;
  for (let index = start; index < start + length; index += 1) sum += proportions[index] ?? 0;
  for (let index = start; index < start + length; index += 1) {
    if (sum > 0) proportions[index] = (proportions[index] ?? 0) / sum;
    else proportions[index] = other === proportions ? 1 / length : (other[index] ?? 0);
  }
}

function invalidLoad(load: number, index: number): EplbError {
  const text = `loads has ${load} at entry ${index}: it must be finite, not negative`;
  return new EplbError('ISOBAR_EPLB_REQUEST_INVALID', text, { field: 'loads' });
}

function assertPositiveInteger(field: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  const text = `${field} must be a positive integer, not ${value}`;
  throw new EplbError('ISOBAR_EPLB_REQUEST_INVALID', text, { field });
}
