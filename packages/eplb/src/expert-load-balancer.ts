import type {
  AbstractEplbPolicy,
  RebalanceRequest,
  RebalanceResult,
} from './abstract-eplb-policy.js';
import { EplbError } from './eplb-error.js';
import { EplbMetrics } from './eplb-metrics.js';
import type { ExpertMapping } from './expert-mapping.js';
import { type LoadForecast, LoadForecaster } from './forecast/load-forecaster.js';

export interface ExpertLoadBalancerOptions {
  readonly policy: AbstractEplbPolicy;
  readonly mapping: ExpertMapping;
  /** Passes that the sliding window holds. @default 8 */
  readonly windowPassesMax?: number;
}

/** What a request takes from the balancer, and what its caller may add. */
export type RebalanceOptions = Omit<
  RebalanceRequest,
  | 'numLayers'
  | 'numLogicalExperts'
  | 'slotOffsets'
  | 'loads'
  | 'loadDeviations'
  | 'loadFactors'
  | 'currentMapping'
>;

/** Figures of the window under the mapping in force. */
export interface BalancerStats {
  readonly passes: number;
  readonly balancedness: number;
  /** Largest ÷ mean rank load, the mean over layers. */
  readonly imbalance: number;
}

/** Owns metrics, window, forecast, policy and current mapping of one deployment. */
export class ExpertLoadBalancer {
  #policy: AbstractEplbPolicy;
  readonly #metrics: EplbMetrics;
  readonly #forecaster: LoadForecaster;

  constructor(options: ExpertLoadBalancerOptions) {
    this.#policy = options.policy;
    this.#metrics = new EplbMetrics(options.mapping, options.windowPassesMax ?? 8);
    this.#forecaster = new LoadForecaster(options.mapping);
  }

  get policy(): AbstractEplbPolicy {
    return this.#policy;
  }

  /** Plans are made by this policy from now on. */
  usePolicy(policy: AbstractEplbPolicy): void {
    this.#policy = policy;
  }

  /**
   * The window holds so many passes from now on; the oldest fall out.
   * @throws EplbError ISOBAR_EPLB_OPTIONS_INVALID where it holds none
   */
  useWindow(windowPassesMax: number): void {
    this.#metrics.windowPassesMax = windowPassesMax;
  }

  get mapping(): ExpertMapping {
    return this.#metrics.mapping;
  }

  applyMapping(mapping: ExpertMapping): void {
    this.#metrics.setMapping(mapping);
  }

  /** Adds tokens that slots served under the mapping in force, [layers × slots]. */
  recordLoad(physicalLoads: Float64Array): void {
    this.recordLogicalLoad(this.logicalLoads(physicalLoads));
  }

  /** Adds tokens by logical expert, [layers × experts]. */
  recordLogicalLoad(logicalLoads: Float64Array): void {
    this.#metrics.add(logicalLoads);
  }

  /** Ends a pass; the window slides and the forecast takes it in. */
  advanceWindow(): void {
    this.#forecaster.add(this.#metrics.advance());
  }

  /** Of the next pass; null before the first. */
  forecast(): LoadForecast | null {
    return this.#forecaster.forecast();
  }

  /** Loads that are forecast for the next pass, [layers × experts]; null before the first. */
  averageLoad(): Float64Array | null {
    return this.forecast()?.loads ?? null;
  }

  /** Loads of the window, summed, [layers × experts]: steadier than a forecast of one pass. */
  windowLoads(): Float64Array {
    return this.#metrics.windowSum();
  }

  /** Tokens by logical expert of tokens by slot, under the mapping in force. */
  logicalLoads(physicalLoads: Float64Array): Float64Array {
    const { mapping } = this;
    if (physicalLoads.length !== mapping.physicalToLogical.length) {
      throw new EplbError(
        'ISOBAR_EPLB_LOADS_SHAPE',
        `loads have ${physicalLoads.length} entries, not ${mapping.numLayers} × ${mapping.numPhysicalExperts}`,
        { field: 'loads' },
      );
    }
    const logical = new Float64Array(mapping.numLayers * mapping.numLogicalExperts);
    mapping.physicalToLogical.forEach((expert, index) => {
      if (expert < 0) return;
      const layer = Math.floor(index / mapping.numPhysicalExperts);
      const at = layer * mapping.numLogicalExperts + expert;
      logical[at] = (logical[at] ?? 0) + (physicalLoads[index] ?? 0);
    });
    return logical;
  }

  /**
   * The request that `rebalance` would plan.
   * @throws EplbError ISOBAR_EPLB_NO_LOADS before the first pass
   */
  request(options: RebalanceOptions = {}): RebalanceRequest {
    const forecast = this.forecast();
    if (forecast === null) {
      throw new EplbError('ISOBAR_EPLB_NO_LOADS', 'no pass of loads has been recorded yet');
    }
    const { mapping } = this;
    const { numLayers, numLogicalExperts, slotOffsets } = mapping;
    return {
      ...options,
      numLayers,
      numLogicalExperts,
      slotOffsets,
      loads: forecast.loads,
      loadDeviations: forecast.deviations,
      loadFactors: forecast.factors,
      currentMapping: mapping,
    };
  }

  /** Plans on this thread. The mapping in force stays until `applyMapping`. */
  rebalance(options: RebalanceOptions = {}): RebalanceResult {
    return this.#policy.rebalanceExperts(this.request(options));
  }

  /** @param unavailableRanks count only where they have load */
  stats(unavailableRanks: readonly number[] = []): BalancerStats {
    const imbalance = this.#metrics.imbalance(unavailableRanks);
    return {
      passes: this.#metrics.window.length,
      balancedness: this.#metrics.balancedness(unavailableRanks),
      imbalance: imbalance.reduce((sum, value) => sum + value, 0) / imbalance.length,
    };
  }
}
